use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::split::{Form, Split};
use crate::encoding::EncodingError;

/// Walks the top level of a JSON text. Elements are skipped without recursion.
pub(super) fn split<'a>(bytes: &'a [u8], split: &mut Split<'_, 'a>) -> Result<Form, EncodingError> {
    let form = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => Form::Array,
        Some(b'{') => Form::Map,
        _ => return Ok(Form::Other),
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    Walk(split).deserialize(&mut reader)?;
    reader.end()?;
    Ok(form)
}

struct Walk<'w, 's, 'a>(&'w mut Split<'s, 'a>);

impl<'a> DeserializeSeed<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Walk<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object of arguments")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(raw) = elements.next_element::<&'a RawValue>()? {
            self.0.element(index, raw.get().as_bytes(), raw.get() == "null");
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some((key, raw)) = entries.next_entry::<String, &'a RawValue>()? {
            self.0.entry(Some(&key), raw.get().as_bytes());
        }
        Ok(())
    }
}
