mod cbor;
mod raw;

use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::de::IntoDeserializer;
use serde::de::value::{Error as UnitError, UnitDeserializer};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::arguments::{cbor as cbor_walk, messagepack};

/// How deep a value may be nested, in any encoding; a deeper one is refused before it can overflow the stack.
pub(crate) const MAX_DEPTH: usize = 128;

/// How values become bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// `application/x-msgpack`, structs as maps with named fields: what Rust apps speak to each other.
    #[default]
    MessagePack,
    /// `application/json`: what every client can read.
    Json,
    /// `application/cbor`, structs as maps with named fields.
    ///
    /// Java starters send the bare value of an only argument in it, so that an only argument that is a list reads as the
    /// arguments themselves: let them call such methods in JSON.
    Cbor,
    /// `application/octet-stream`: an only argument, an item or a result as it is, which must be bytes (by `serde_bytes`) or
    /// a string.
    Bytes,
    /// `text/plain`, which is UTF-8: the same for a string, or bytes that are one.
    Text,
}

/// Values of up to so many bytes are copied to where they stay, once it is known how many they are.
const SMALL: usize = 1024;
/// Bytes that small ones share.
const SHARED: usize = 4096;

thread_local! {
    /// Where values are written; its memory is used again.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Where small ones stay, side by side: they are on their way, and soon gone.
    static BLOCK: RefCell<BytesMut> = RefCell::default();
}

/// A value that could not be written, or bytes that could not be read; says why.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EncodingError {
    /// Not written as JSON, or not readable as JSON of the wanted type.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// Not written as MessagePack.
    #[error("{0}")]
    WriteMessagePack(#[from] rmp_serde::encode::Error),
    /// Not readable as MessagePack of the wanted type.
    #[error("{0}")]
    ReadMessagePack(#[from] rmp_serde::decode::Error),
    /// Not written as CBOR, or not readable as CBOR of the wanted type.
    #[error("{0}")]
    Cbor(UnitError),
    /// Neither a string nor bytes, or not UTF-8.
    #[error("{0}")]
    Raw(UnitError),
    /// The bytes end early, go on after the value, or are no value at all.
    #[error("{0}")]
    Malformed(&'static str),
    /// No bytes arrived where the type needs some.
    #[error("{0}")]
    Absent(#[from] UnitError),
}

impl Encoding {
    /// Every encoding, in the order a caller prefers them after its own.
    pub const ALL: [Self; 5] = [Self::MessagePack, Self::Json, Self::Cbor, Self::Bytes, Self::Text];

    /// The MIME type as it stands in the metadata entries 0x7A and 0x7B.
    pub const fn mime(self) -> &'static str {
        match self {
            Self::MessagePack => "application/x-msgpack",
            Self::Json => "application/json",
            Self::Cbor => "application/cbor",
            Self::Bytes => "application/octet-stream",
            Self::Text => "text/plain",
        }
    }

    /// Whether nothing but strings and bytes has a form in it: bytes and text.
    pub const fn is_raw(self) -> bool {
        matches!(self, Self::Bytes | Self::Text)
    }

    /// The MIME types of all encodings, for a reader: `application/x-msgpack, application/json, ..`.
    pub fn names() -> String {
        Self::ALL.map(Self::mime).join(", ")
    }

    /// The encoding of a MIME type; `None` if it is not one of ours. Parameters (`;charset=utf-8`) and case are ignored.
    pub fn from_mime(mime: &str) -> Option<Self> {
        let essence = mime.split(';').next().unwrap_or(mime).trim();
        Self::ALL.into_iter().find(|encoding| essence.eq_ignore_ascii_case(encoding.mime()))
    }

    /// Writes a value. Errors: the type's own `Serialize` refused, or there is no form for it (in JSON a map with keys
    /// that are no strings, in bytes and text all that is neither).
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Bytes, EncodingError> {
        written(|buffer| self.encode_into(buffer, value))
    }

    /// Reads a value; all bytes belong to it. Errors: not this encoding, not this type, bytes left over, nested too deep.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, EncodingError> {
        let end = match self {
            Self::Json | Self::Bytes | Self::Text => bytes.len(),
            Self::MessagePack => messagepack::value_end(bytes, 0)?,
            Self::Cbor => cbor_walk::value_end(bytes, 0)?,
        };
        if end != bytes.len() {
            return Err(EncodingError::Malformed("bytes go on after the value"));
        }
        self.decode_checked(bytes)
    }

    /// Writes a result or a stream item: like [`encode`](Self::encode), but `()` is zero bytes.
    pub fn encode_result<T: Serialize + 'static>(self, value: &T) -> Result<Bytes, EncodingError> {
        if TypeId::of::<T>() == TypeId::of::<()>() { Ok(Bytes::new()) } else { self.encode(value) }
    }

    /// Reads a result or a stream item: like [`decode`](Self::decode), but zero bytes are `()` or `None`, and in bytes and text
    /// an empty one.
    pub fn decode_result<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, EncodingError> {
        if bytes.is_empty() && !self.is_raw() { Ok(absent()?) } else { self.decode(bytes) }
    }

    pub(crate) fn encode_into<T: Serialize + ?Sized>(
        self,
        buffer: &mut Vec<u8>,
        value: &T,
    ) -> Result<(), EncodingError> {
        match self {
            Self::MessagePack => Ok(rmp_serde::encode::write_named(buffer, value)?),
            Self::Json => Ok(serde_json::to_writer(buffer, value)?),
            Self::Cbor => cbor::write(buffer, value),
            Self::Bytes | Self::Text => raw::write(buffer, value, self == Self::Text),
        }
    }

    /// Reads bytes that are known to hold exactly one value, or that their reader checks itself.
    pub(crate) fn decode_checked<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, EncodingError> {
        match self {
            Self::Json => Ok(serde_json::from_slice(bytes)?),
            Self::MessagePack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                reader.set_max_depth(MAX_DEPTH);
                Ok(T::deserialize(&mut reader)?)
            }
            Self::Cbor => cbor::read(bytes),
            Self::Bytes | Self::Text => raw::read(bytes, self == Self::Text),
        }
    }
}

/// What is written to a buffer that is empty, where it stays.
pub fn written<E>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Bytes, E> {
    let mut buffer = SCRATCH.take();
    buffer.clear();
    let outcome = write(&mut buffer);
    if buffer.len() > SMALL {
        outcome?;
        return Ok(Bytes::from(buffer));
    }
    let bytes = outcome.map(|()| small(&buffer));
    SCRATCH.set(buffer);
    bytes
}

fn small(value: &[u8]) -> Bytes {
    BLOCK.with_borrow_mut(|block| {
        if block.capacity() < value.len() {
            // Nobody may have any of it any more: then it is used again.
            block.reserve(SHARED);
        }
        block.extend_from_slice(value);
        block.split().freeze()
    })
}

/// The value of something that did not arrive: `None`, `()`; an error for types that need bytes.
pub(crate) fn absent<T: DeserializeOwned>() -> Result<T, UnitError> {
    let nothing: UnitDeserializer<UnitError> = ().into_deserializer();
    T::deserialize(nothing)
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mime())
    }
}

#[cfg(test)]
mod tests;
