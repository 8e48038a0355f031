use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};

use super::wrong_type;

/// Reads all there is as one value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'de> {
    pub(super) bytes: &'de [u8],
    pub(super) is_text: bool,
}

macro_rules! read_as {
    ($how:ident: $($method:ident($($ty:ty),*))*) => {
        $(fn $method<V: Visitor<'de>>(self, $(_: $ty,)* visitor: V) -> Result<V::Value, Error> {
            self.$how(visitor)
        })*
    };
}

type Name = &'static str;
type Names = &'static [&'static str];

impl<'de> Reader<'de> {
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = std::str::from_utf8(self.bytes).map_err(|_| Error::custom("the text is no UTF-8"))?;
        visitor.visit_borrowed_str(text)
    }

    fn bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_bytes(self.bytes)
    }

    fn refused<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(wrong_type())
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_text { self.text(visitor) } else { self.bytes(visitor) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.bytes.is_empty() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.bytes.is_empty() { visitor.visit_unit() } else { self.refused(visitor) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: Name, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    read_as! { text: deserialize_str() deserialize_string() deserialize_char() deserialize_identifier() }
    read_as! { bytes: deserialize_bytes() deserialize_byte_buf() }
    read_as! { refused:
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_seq()
        deserialize_map()
        deserialize_unit_struct(Name)
        deserialize_tuple(usize)
        deserialize_tuple_struct(Name, usize)
        deserialize_struct(Name, Names)
        deserialize_enum(Name, Names)
    }
}
