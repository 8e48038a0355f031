//! Strings and bytes as they are: what travels as `text/plain` and `application/octet-stream`. An `Option` is nothing, which
//! is zero bytes, or its content.

mod read;
mod write;

use serde::de::DeserializeOwned;
use serde::de::value::Error;
use serde::{Serialize, de};

use super::{Encoding, EncodingError};

pub(super) fn write<T: Serialize + ?Sized>(
    buffer: &mut Vec<u8>,
    value: &T,
    is_text: bool,
) -> Result<(), EncodingError> {
    value.serialize(write::Writer { buffer, is_text }).map_err(EncodingError::Raw)
}

pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], is_text: bool) -> Result<T, EncodingError> {
    T::deserialize(read::Reader { bytes, is_text }).map_err(EncodingError::Raw)
}

fn wrong_type() -> Error {
    let json = Encoding::Json;
    de::Error::custom(format_args!("only a string or bytes (by `serde_bytes`) have a form in it: use {json}"))
}

#[cfg(test)]
mod tests;
