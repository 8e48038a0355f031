use serde::ser::{Error as _, Impossible, Serializer};
use serde::{Serialize, de::value::Error};

use super::wrong_type;

/// Appends what one value is.
pub(super) struct Writer<'b> {
    pub(super) buffer: &'b mut Vec<u8>,
    pub(super) is_text: bool,
}

macro_rules! refuse {
    ($($method:ident($($ty:ty),*) $(-> $ok:ty)?;)*) => {
        $(fn $method(self, $(_: $ty),*) -> Result<refuse!(@ $($ok)?), Error> {
            Err(wrong_type())
        })*
    };
    (@) => { () };
    (@ $ok:ty) => { $ok };
}

type Never = Impossible<(), Error>;
type Name = &'static str;

impl Serializer for Writer<'_> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        self.buffer.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn serialize_char(self, character: char) -> Result<(), Error> {
        self.serialize_str(character.encode_utf8(&mut [0; 4]))
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), Error> {
        if self.is_text && std::str::from_utf8(bytes).is_err() {
            return Err(Error::custom("the bytes are no UTF-8"));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        let start = self.buffer.len();
        value.serialize(Writer { buffer: &mut *self.buffer, is_text: self.is_text })?;
        if self.buffer.len() == start {
            return Err(Error::custom("an empty one would be read as none"));
        }
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: Name, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: Name, _: u32, _: Name, _: &T) -> Result<(), Error> {
        Err(wrong_type())
    }

    refuse! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_unit();
        serialize_unit_struct(Name);
        serialize_unit_variant(Name, u32, Name);
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(Name, usize) -> Never;
        serialize_tuple_variant(Name, u32, Name, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(Name, usize) -> Never;
        serialize_struct_variant(Name, u32, Name, usize) -> Never;
    }
}
