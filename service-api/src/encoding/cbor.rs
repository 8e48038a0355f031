//! CBOR as serde sees it. `ciborium` writes; reading is ours, for what other writers do: an integer for a float without a
//! fraction (JavaScript), maps and texts without a length (Jackson), tags, `undefined`.

use std::borrow::Cow;

use ciborium_ll::Header;
use serde::de::value::Error;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::{Deserialize, Serialize, forward_to_deserialize_any};

use super::EncodingError;
use crate::arguments::cbor::{Head, Items, content, head, is_null, utf8, value_end};

pub(super) fn write<T: Serialize + ?Sized>(buffer: &mut Vec<u8>, value: &T) -> Result<(), EncodingError> {
    ciborium::into_writer(value, buffer).map_err(|why| match why {
        ciborium::ser::Error::Value(why) => EncodingError::Cbor(Error::custom(why)),
        ciborium::ser::Error::Io(why) => EncodingError::Cbor(Error::custom(why)),
    })
}

/// Reads bytes that are known to hold exactly one value, not nested too deep: [`value_end`] found their end.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EncodingError> {
    T::deserialize(&mut Reader { bytes, at: 0 }).map_err(EncodingError::Cbor)
}

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
}

impl<'de> Reader<'de> {
    /// Takes the head of the next value.
    fn head(&mut self) -> Result<Head, Error> {
        let head = head(self.bytes, self.at).map_err(Error::custom)?;
        self.at = head.body;
        Ok(head)
    }

    fn bytes(&mut self, length: Option<usize>) -> Result<Cow<'de, [u8]>, Error> {
        content(self.bytes, &mut self.at, length, false).map_err(Error::custom)
    }

    fn text(&mut self, length: Option<usize>) -> Result<Cow<'de, str>, Error> {
        content(self.bytes, &mut self.at, length, true).and_then(utf8).map_err(Error::custom)
    }

    /// Reads an array or a map, which must hold no more than is taken of it.
    fn items<T>(
        &mut self,
        header: Header,
        read: impl FnOnce(&mut Access<'_, 'de>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let items = Items::of(header).ok_or_else(|| Error::custom("it is no map"))?;
        let mut access = Access { reader: self, items };
        let value = read(&mut access)?;
        if access.take()? { Err(Error::custom("an array or a map has too many elements")) } else { Ok(value) }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Head { header, tag, .. } = self.head()?;
        match header {
            Header::Positive(number) => visitor.visit_u64(number),
            Header::Negative(number) => negative(number.into(), visitor),
            Header::Float(number) => visitor.visit_f64(number),
            Header::Simple(FALSE) => visitor.visit_bool(false),
            Header::Simple(TRUE) => visitor.visit_bool(true),
            header if is_null(header) => visitor.visit_unit(),
            Header::Text(length) => match self.text(length)? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            Header::Bytes(length) => match (tag, self.bytes(length)?) {
                (Some(BIG), bytes) => positive(big(&bytes)?, visitor),
                (Some(BIG_NEGATIVE), bytes) => negative(big(&bytes)?, visitor),
                (_, Cow::Borrowed(bytes)) => visitor.visit_borrowed_bytes(bytes),
                (_, Cow::Owned(bytes)) => visitor.visit_byte_buf(bytes),
            },
            Header::Array(_) => self.items(header, |elements| visitor.visit_seq(elements)),
            Header::Map(_) => self.items(header, |entries| visitor.visit_map(entries)),
            Header::Simple(_) | Header::Break | Header::Tag(_) => Err(Error::custom("a simple value has no meaning")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let start = self.at;
        if is_null(self.head()?.header) {
            return visitor.visit_none();
        }
        self.at = start;
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.head()?.header {
            Header::Text(length) => visitor.visit_enum(self.text(length)?.into_deserializer()),
            header => self.items(header, |entry| visitor.visit_enum(entry)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.at = value_end(self.bytes, self.at).map_err(Error::custom)?;
        visitor.visit_unit()
    }

    /// As `ciborium` has it.
    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// The elements of an array, the entries of a map, or the one entry that is a variant with its content.
struct Access<'r, 'de> {
    reader: &'r mut Reader<'de>,
    items: Items,
}

impl<'de> Access<'_, 'de> {
    fn take(&mut self) -> Result<bool, Error> {
        self.items.take(self.reader.bytes, &mut self.reader.at).map_err(Error::custom)
    }

    fn next<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.take()? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn value<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.next(seed)?.ok_or_else(|| Error::custom("a value is missing"))
    }
}

impl<'de> SeqAccess<'de> for &mut Access<'_, 'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }

    /// So many are there: the end of the value was found.
    fn size_hint(&self) -> Option<usize> {
        self.items.left()
    }
}

impl<'de> MapAccess<'de> for &mut Access<'_, 'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        self.next(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        self.value(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.items.left().map(|items| items / 2)
    }
}

impl<'de> EnumAccess<'de> for &mut Access<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((self.value(seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Access<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.take()?;
        <()>::deserialize(&mut *self.reader)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        self.value(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.take()?;
        self.reader.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.tuple_variant(0, visitor)
    }
}

const FALSE: u8 = 20;
const TRUE: u8 = 21;
/// The tags of integers as bytes (RFC 8949, 3.4.3): Java's `BigInteger`, JavaScript's `BigInt`.
const BIG: u64 = 2;
const BIG_NEGATIVE: u64 = 3;

fn big(bytes: &[u8]) -> Result<u128, Error> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    if digits.len() > 16 {
        return Err(Error::custom("an integer has more than 128 bits"));
    }
    Ok(digits.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
}

fn positive<'de, V: Visitor<'de>>(number: u128, visitor: V) -> Result<V::Value, Error> {
    match u64::try_from(number) {
        Ok(number) => visitor.visit_u64(number),
        Err(_) => visitor.visit_u128(number),
    }
}

/// The integer `-1 - number`.
fn negative<'de, V: Visitor<'de>>(number: u128, visitor: V) -> Result<V::Value, Error> {
    let number = i128::try_from(number).map_err(|_| Error::custom("an integer has more than 128 bits"))?;
    match i64::try_from(!number) {
        Ok(number) => visitor.visit_i64(number),
        Err(_) => visitor.visit_i128(!number),
    }
}

#[cfg(test)]
mod tests;
