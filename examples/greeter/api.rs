//! What both sides share: the service, its types and its errors. A crate of its own in a real project; it needs
//! `towline-service-api` alone.
#![allow(unreachable_pub, reason = "a crate of its own would export all of this")]

use serde::{Deserialize, Serialize};
use towline_service_api::{ServiceError, Stream, Streaming, service};

/// Greets people. Doc comments travel with the contract.
#[service(name = "demo.Greeter", version = "1")]
pub trait Greeter {
    /// One request, one answer. It may be sent again if it was lost: greeting twice does no harm.
    #[rpc(idempotent, timeout = "2s", retry(max = 3, backoff = "20ms..1s"))]
    async fn greet(&self, name: String) -> Result<Greeting, GreeterError>;

    /// One request, no answer.
    #[rpc(oneway)]
    async fn wave(&self, name: String);

    /// One request, many answers: as many as the caller reads.
    fn count_down(&self, from: u32) -> impl Stream<Item = Result<u32, GreeterError>>;

    /// Many items, one answer.
    async fn greet_all(&self, names: Streaming<String>) -> Result<Greeting, GreeterError>;

    /// Many items, many answers.
    fn chat(&self, room: String, said: Streaming<String>) -> impl Stream<Item = Result<String, GreeterError>>;
}

/// A greeting, and who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// What to say.
    pub text: String,
    /// The instance that said it.
    pub by: String,
}

/// What a greeter may refuse. Travels as `{"code":"name-missing",..}`.
#[derive(Debug, PartialEq, Eq, thiserror::Error, ServiceError)]
pub enum GreeterError {
    /// The name was empty.
    #[error("who is to be greeted?")]
    NameMissing,
    /// No patience for that.
    #[error("{from} is too far, start at {limit} at most")]
    TooFar {
        /// Where it was to start.
        from: u32,
        /// Where it may start.
        limit: u32,
    },
    /// The caller's items broke off.
    #[error("the items broke off: {why}")]
    BrokenOff {
        /// Why.
        why: String,
    },
}
