use bytes::Bytes;
use serde::Serialize;
use serde::de::{Error as _, value::Error};

use super::messagepack::NIL;
use super::{cbor, raw};
use crate::contract::{Contract, Method};
use crate::encoding::{Encoding, EncodingError};
use crate::error::RpcError;

/// Writes the arguments of one call in the order of its method: MessagePack as a map of names, JSON and CBOR as an array
/// (or, where the method says so, bare), bytes and text as the only argument.
///
/// A `None` is left out of the map, so that a server that does not know the argument yet reads the call all the same; in the
/// array it is `null`, which a server ignores where it has no argument.
#[derive(Debug)]
pub struct ArgumentWriter {
    contract: &'static Contract,
    method: &'static Method,
    encoding: Encoding,
    buffer: Vec<u8>,
    /// How many arguments were given, and how many of them stand in the buffer.
    given: usize,
    written: usize,
}

impl ArgumentWriter {
    /// A writer for one call of `method`.
    pub fn new(contract: &'static Contract, method: &'static Method, encoding: Encoding) -> Self {
        let mut buffer = Vec::with_capacity(64);
        match encoding {
            Encoding::Json | Encoding::Cbor if method.bare => {}
            Encoding::Json => buffer.push(b'['),
            // The count is filled in by `finish`.
            Encoding::MessagePack if method.arguments.len() < 16 => buffer.push(0x80),
            Encoding::MessagePack => buffer.extend([0xde, 0, 0]),
            Encoding::Cbor => cbor::open_array(&mut buffer, method.arguments.len()),
            Encoding::Bytes | Encoding::Text => {}
        }
        Self { contract, method, encoding, buffer, given: 0, written: 0 }
    }

    /// Writes the next argument. Errors: 0x204 naming the argument that has no form in this encoding.
    pub fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), RpcError> {
        self.write(value).map_err(|why| {
            let (service, method, argument) = (&self.contract.key.service, self.method.name, self.name());
            let encoding = self.encoding;
            RpcError::invalid(format!(
                "{service}.{method}: argument `{argument}` cannot be written as {encoding}: {why}"
            ))
        })?;
        self.given += 1;
        Ok(())
    }

    /// The bytes; none at all for a method without arguments.
    pub fn finish(mut self) -> Bytes {
        debug_assert_eq!(self.given, self.method.arguments.len());
        if self.method.arguments.is_empty() {
            return Bytes::new();
        }
        match self.encoding {
            Encoding::Json if self.method.bare => {}
            Encoding::Json => self.buffer.push(b']'),
            Encoding::MessagePack if self.buffer[0] == 0xde => {
                let count = u16::try_from(self.written).unwrap_or(u16::MAX);
                self.buffer[1..3].copy_from_slice(&count.to_be_bytes());
            }
            Encoding::MessagePack => self.buffer[0] |= u8::try_from(self.written).unwrap_or(0x0f),
            Encoding::Cbor | Encoding::Bytes | Encoding::Text => {}
        }
        Bytes::from(self.buffer)
    }

    fn name(&self) -> &'static str {
        self.method.arguments[self.given].name
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodingError> {
        let start = self.buffer.len();
        match self.encoding {
            Encoding::Json => {
                if self.given > 0 {
                    self.buffer.push(b',');
                }
            }
            Encoding::MessagePack => {
                let name = self.name();
                self.encoding.encode_into(&mut self.buffer, name)?;
            }
            Encoding::Cbor => {}
            Encoding::Bytes | Encoding::Text if self.method.arguments.len() == 1 => {}
            Encoding::Bytes | Encoding::Text => {
                return Err(EncodingError::Raw(Error::custom(raw::wrong_count(self.method, self.encoding))));
            }
        }
        let value_start = self.buffer.len();
        self.encoding.encode_into(&mut self.buffer, value)?;
        let is_absent = self.encoding == Encoding::MessagePack
            && !self.method.arguments[self.given].required
            && self.buffer[value_start..] == [NIL];
        if is_absent {
            self.buffer.truncate(start);
        } else {
            self.written += 1;
        }
        Ok(())
    }
}
