use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::{self, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes: base64 (standard, padded) in JSON, bytes in MessagePack and CBOR.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

/// A JSON text, kept byte for byte as it came in JSON; in MessagePack and CBOR it is the value that the text stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub Bytes);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<str>::deserialize(deserializer)?;
            let bytes = STANDARD.decode(text.as_bytes());
            return bytes.map(|bytes| Self(bytes.into())).map_err(|why| de::Error::custom(format!("no base64: {why}")));
        }
        deserializer.deserialize_byte_buf(BlobVisitor)
    }
}

struct BlobVisitor;

impl<'de> Visitor<'de> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
        Ok(Blob(bytes.into()))
    }
}

impl Json {
    /// The JSON text of a value.
    ///
    /// # Errors
    /// A value that has no JSON form.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_vec(value)?.into()))
    }

    fn raw(&self) -> Option<&RawValue> {
        serde_json::from_slice(&self.0).ok()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = self.raw().ok_or_else(|| ser::Error::custom("this is no JSON text"))?;
        if serializer.is_human_readable() {
            return raw.serialize(serializer);
        }
        let value: serde_json::Value = serde_json::from_str(raw.get()).map_err(ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let raw = Box::<RawValue>::deserialize(deserializer)?;
            return Ok(Self(Bytes::from(String::from(Box::<str>::from(raw)))));
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::of(&value).map_err(de::Error::custom)
    }
}

/// Whole numbers, which may come as strings: JavaScript loses those above 2^53.
pub(in crate::builtin) mod number {
    use super::{Deserializer, Visitor, de, fmt};
    use serde::Deserialize;

    struct Whole(u64);

    impl<'de> Deserialize<'de> for Whole {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(WholeVisitor)
        }
    }

    struct WholeVisitor;

    impl Visitor<'_> for WholeVisitor {
        type Value = Whole;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number from 0 on")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Whole, E> {
            Ok(Whole(number))
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Whole, E> {
            u64::try_from(number).map(Whole).map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
        }

        /// What languages with one kind of number send in MessagePack.
        fn visit_f64<E: de::Error>(self, number: f64) -> Result<Whole, E> {
            let is_whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
            if is_whole {
                Ok(Whole(number as u64))
            } else {
                Err(E::invalid_value(de::Unexpected::Float(number), &self))
            }
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Whole, E> {
            text.parse().map(Whole).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    pub(in crate::builtin) fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        Ok(Whole::deserialize(deserializer)?.0)
    }

    pub(in crate::builtin) fn maybe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        Ok(Option::<Whole>::deserialize(deserializer)?.map(|whole| whole.0))
    }

    pub(in crate::builtin) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
        let list = Option::<Vec<Whole>>::deserialize(deserializer)?;
        Ok(list.unwrap_or_default().into_iter().map(|whole| whole.0).collect())
    }
}
