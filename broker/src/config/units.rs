//! Sizes and durations as people write them.
//!
//! The modules are for `#[serde(with = ..)]`, so that the rest of the broker sees `usize` and `Duration`.

use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};
use std::fmt;
use std::time::Duration;

const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];
const DURATIONS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes of a text such as `64KiB`, `1 MiB`, `16777215`; the unit in any case.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text).ok_or_else(|| format!("`{text}` is not a size"))?;
    let scale = match SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, scale)) => *scale,
        None if unit.is_empty() => 1,
        None => return Err(format!("`{unit}` is not a unit of size (B, KiB, MiB, GiB, KB, MB, GB)")),
    };
    let bytes = number.checked_mul(scale).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("`{text}` is more than this machine can address"))
}

/// Time of a text such as `500ms`, `5s`, `2m`; the unit is needed.
///
/// # Errors
/// What is wrong, in words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text).ok_or_else(|| format!("`{text}` is not a duration"))?;
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit (ms, s, m, h)"));
    }
    let Some((_, scale)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is not a unit of time (ms, s, m, h)"));
    };
    let millis = number.checked_mul(*scale).ok_or_else(|| format!("`{text}` is too long"))?;
    Ok(Duration::from_millis(millis))
}

/// The shortest exact form: `64KiB`, `16777215`.
pub fn human_size(bytes: usize) -> String {
    let binary = SIZES[..3].iter().find(|(_, scale)| bytes > 0 && (bytes as u64).is_multiple_of(*scale));
    binary.map_or_else(|| bytes.to_string(), |(unit, scale)| format!("{}{unit}", bytes as u64 / scale))
}

/// The shortest exact form, to the millisecond: `90s`, `500ms`, `2m`.
pub fn human_duration(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let unit = match millis {
        0 => ("s", 1_000),
        _ if millis.is_multiple_of(3_600_000) => ("h", 3_600_000),
        _ if millis.is_multiple_of(60_000) => ("m", 60_000),
        _ if millis.is_multiple_of(1_000) => ("s", 1_000),
        _ => ("ms", 1),
    };
    format!("{}{}", millis / unit.1, unit.0)
}

/// `"10 MiB"` is `(10, "MiB")`.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

pub(super) mod size {
    use super::*;

    pub(in crate::config) fn serialize<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&human_size(*bytes))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        from.deserialize_any(Text { what: "a size such as `1MiB`", parse: parse_size })
    }
}

pub(super) mod optional_size {
    use super::*;

    pub(in crate::config) fn serialize<S: Serializer>(bytes: &Option<usize>, to: S) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => size::serialize(bytes, to),
            None => to.serialize_none(),
        }
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
        struct Maybe;
        impl<'de> Visitor<'de> for Maybe {
            type Value = Option<usize>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `1MiB`")
            }

            fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
                size::deserialize(from).map(Some)
            }
        }
        from.deserialize_option(Maybe)
    }
}

pub(super) mod duration {
    use super::*;

    pub(in crate::config) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&human_duration(*time))
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(Text { what: "a duration such as `5s`", parse: parse_duration })
    }
}

/// Reads a text, or the text of a bare number.
struct Text<T> {
    what: &'static str,
    parse: fn(&str) -> Result<T, String>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}
