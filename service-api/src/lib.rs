//! What a Towline service is, without any transport: the `#[service]` macro and what its generated code is made of.
//!
//! A service is a trait. `#[service]` writes a client (calls leave through a [`Caller`]) and a server (calls arrive through
//! [`Dispatch`]) for it, and a [`Contract`] that describes both. How names, arguments, results and errors look on the wire is
//! the calling convention of `plain-client.md`, so that any RSocket client can take either side. Invariant: nothing here opens
//! a connection, starts a task or reads a clock.
//!
//! ```text
//! UserServiceClient -> UnaryCall -> ArgumentWriter -> Caller ~~~ broker ~~~ Dispatch -> Arguments -> impl UserService
//!                                   (requester)                  (responder)
//! ```
//!
//! ```
//! use towline_service_api::{RpcError, Stream, Streaming, service};
//!
//! #[service(name = "com.acme.Counter", version = "1")]
//! pub trait Counter {
//!     /// Adds up what the caller sends.
//!     #[rpc(idempotent, timeout = "2s")]
//!     async fn sum(&self, numbers: Streaming<i64>) -> Result<i64, RpcError>;
//!     /// Counts down to one.
//!     fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, RpcError>>;
//! }
//!
//! struct Plain;
//!
//! impl Counter for Plain {
//!     async fn sum(&self, mut numbers: Streaming<i64>) -> Result<i64, RpcError> {
//!         use futures::TryStreamExt;
//!         let mut sum = 0;
//!         while let Some(number) = numbers.try_next().await? {
//!             sum += number;
//!         }
//!         Ok(sum)
//!     }
//!
//!     fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, RpcError>> {
//!         futures::stream::iter((1..=from).rev().map(Ok))
//!     }
//! }
//!
//! let server = CounterServer::new(Plain);
//! assert_eq!(CounterServer::<Plain>::CONTRACT.key.to_string(), "com.acme.Counter:1");
//! # let _ = server;
//! ```
#![warn(missing_docs)]

extern crate self as towline_service_api;

mod accept;
mod arguments;
pub mod builtin;
mod call;
mod caller;
mod client;
mod contract;
mod dispatch;
mod encoding;
mod error;
mod incoming;
mod key;
mod outlet;
mod service_error;
mod streaming;

#[doc(hidden)]
pub mod __private;

pub use accept::Accept;
pub use call::{AnswerStream, OneWayCall, StreamCall, UnaryCall, UnaryFuture};
pub use caller::{Answer, Call, CallOptions, Caller, Retry};
pub use client::Client;
pub use contract::{Argument, Contract, Method, Shape};
pub use dispatch::{Dispatch, Interaction, Reply, Request, Respond};
pub use encoding::{Encoding, EncodingError};
pub use error::{CallError, Delivery, RpcError};
pub use futures::Stream;
pub use key::{ParseKeyError, ServiceKey};
pub use service_error::{ServiceError, TypedError};
pub use streaming::Streaming;
pub use towline_service_api_macros::{ServiceError, service};
