//! The arguments of a call: written by a client, read by a server.
//!
//! Reading first splits the top level into the raw bytes of each argument, without recursion, then decodes the user's types
//! directly from them. Invariant: what a peer sends is an error naming the argument, never a panic or a deep recursion.
//!
//! ```text
//! zero bytes            no arguments
//! array                 positional, always; an extra element that is not null is refused
//! map of our names      named (either spelling, every required one there)
//! anything else, n = 1  the bare value of the only argument
//! bytes, text           the only argument, as it is
//! ```

pub(crate) mod cbor;
mod json;
pub(crate) mod messagepack;
mod raw;
mod split;
#[cfg(test)]
mod tests;
mod write;

use serde::de::DeserializeOwned;

use crate::contract::{Contract, Method};
use crate::encoding::{Encoding, EncodingError, absent};
use crate::error::RpcError;
use split::{Form, Split};
pub use write::ArgumentWriter;

/// The `N` arguments of one call, each still encoded.
#[derive(Debug)]
pub struct Arguments<'a, const N: usize> {
    contract: &'static Contract,
    method: &'static Method,
    encoding: Encoding,
    values: [Option<&'a [u8]>; N],
}

impl<'a, const N: usize> Arguments<'a, N> {
    /// Splits what arrived. Errors: 0x204 `RST-700501: ..`.
    pub fn read(
        contract: &'static Contract,
        method: &'static Method,
        encoding: Encoding,
        bytes: &'a [u8],
    ) -> Result<Self, RpcError> {
        let mut values = [None; N];
        split(method, encoding, bytes, &mut values)
            .map_err(|why| RpcError::bad_arguments(&contract.key, method, encoding, why))?;
        Ok(Self { contract, method, encoding, values })
    }

    /// Decodes one argument; one that did not arrive is `None`. Errors: 0x204 `RST-700501: ..` naming the argument.
    pub fn take<T: DeserializeOwned>(&mut self, index: usize) -> Result<T, RpcError> {
        let argument = &self.method.arguments[index];
        let decoded = match self.values[index].take() {
            Some(raw) => self.encoding.decode_checked(raw),
            None if argument.required => Err(EncodingError::Malformed("it is missing")),
            None => absent().map_err(EncodingError::Absent),
        };
        decoded.map_err(|why| {
            let why = format_args!("argument `{argument}`: {why}");
            RpcError::bad_arguments(&self.contract.key, self.method, self.encoding, why)
        })
    }
}

fn split<'a>(
    method: &'static Method,
    encoding: Encoding,
    bytes: &'a [u8],
    values: &mut [Option<&'a [u8]>],
) -> Result<(), String> {
    let mut split = Split::new(method.arguments, values);
    let form = match encoding {
        Encoding::Bytes | Encoding::Text => return raw::split(method, encoding, bytes, values),
        _ if bytes.is_empty() => return Ok(()),
        Encoding::Json => json::split(bytes, &mut split),
        Encoding::MessagePack => messagepack::split(bytes, &mut split),
        Encoding::Cbor => cbor::split(bytes, &mut split),
    };
    match form.map_err(|why| format!("the arguments are no {encoding}: {why}"))? {
        Form::Array => split.objection.map_or(Ok(()), Err),
        Form::Map if split.is_named() => Ok(()),
        Form::Map | Form::Other if method.arguments.len() == 1 => {
            split.element(0, bytes, false);
            Ok(())
        }
        Form::Map => split.objection.map_or(Ok(()), Err),
        Form::Other => Err(format!("this is one value, and there are {} arguments", method.arguments.len())),
    }
}
