//! The `#[service]` attribute and the `ServiceError` derive; use them through `towline-service-api`, which documents them.
//!
//! ```text
//! tokens -> parse (all refusals) -> model -> definition, client, contract, server -> tokens
//! ```
#![warn(missing_docs)]

mod client;
mod contract;
mod crate_path;
mod definition;
mod error;
mod model;
mod parse;
mod server;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a trait a service: writes `<Trait>Client`, `<Trait>Server` and their `CONTRACT`.
///
/// Keys: `name = "com.acme.UserService"` (default: the crate's name, a dot, the trait's name), `version = "1"`, `group = ".."`,
/// `encoding = "msgpack"`, `"json"`, `"cbor"`, or where all arguments and items are strings or bytes `"bytes"` or `"text"` (what the
/// client speaks unless told otherwise), `crate = "path"` (where
/// `towline_service_api` is found, if not by `Cargo.toml`).
///
/// Methods take `&self` and owned arguments:
///
/// | written | interaction |
/// |---|---|
/// | `async fn find(&self, id: u32) -> Result<T, E>;` | one request, one answer |
/// | `#[rpc(oneway)] async fn touch(&self, id: u32);` | no answer |
/// | `fn watch(&self, ..) -> impl Stream<Item = Result<T, E>>;` | many answers |
/// | `async fn import(&self, .., items: Streaming<I>) -> Result<T, E>;` | many items, one answer |
/// | `fn chat(&self, .., items: Streaming<I>) -> impl Stream<Item = Result<T, E>>;` | many items, many answers |
///
/// `#[rpc(..)]` on a method: `oneway`, `idempotent`, `timeout = "2s"`, `retry(max = 3, backoff = "20ms..1s")`, `key = argument`
/// (equal values go to the same instance), `name = "wireName"` (default: the name in lowerCamelCase), `bare` (in JSON and CBOR
/// the only argument is sent as a bare value, not in an array: what Java starters read before the items of a channel, and
/// in CBOR; a Rust service reads it too, unless it is a list or a map).
///
/// The implementor writes plain `async fn` and `fn .. -> impl Stream`; a stream may borrow from `&self`.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let service = match parse::service(arguments.into(), item.into()) {
        Ok(service) => service,
        Err(error) => return error.into_compile_error().into(),
    };
    let definition = definition::expand(&service);
    let client = client::expand(&service);
    let server = server::expand(&service);
    quote!(#definition #client #server).into()
}

/// Makes an enum the error type of methods: `code` is the variant in kebab-case, `detail` its named fields, `message` its `Display`.
///
/// On a variant: `#[service_error(code = "unknown-topic", next = "what to do next")]`; `#[service_error(transparent)]` on
/// `Rpc(RpcError)`, which travels as the error it holds and arrives as `CallError::Rpc`. On the enum: `#[service_error(crate = "path")]`.
#[proc_macro_derive(ServiceError, attributes(service_error))]
pub fn service_error(item: TokenStream) -> TokenStream {
    error::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
