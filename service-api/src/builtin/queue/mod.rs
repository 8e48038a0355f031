//! `towline.Queue`: publishing to durable topics, and consuming from them.
//!
//! ```text
//!  message    what is published            receipt    what became of it
//!  delivery   what is consumed             settle     what became of that
//!  options    how a group consumes         error      why not
//!  form       bytes, JSON and numbers, as they look in each encoding
//! ```

mod delivery;
mod error;
mod form;
mod message;
mod options;
mod receipt;
mod settle;
#[cfg(test)]
mod tests;

pub use delivery::Delivery;
pub use error::QueueError;
pub(super) use form::number;
pub use form::{Blob, Json};
pub use message::Message;
pub use options::{ConsumeOptions, Durability, GroupMode, OnFull, Start, SubscribeAck};
pub use receipt::{Confirmation, Placement, Receipt, ReceiptError};
pub use settle::{RefusedSettle, Settle, Settled};

use crate::{Stream, Streaming, service};

/// Durable topics: what is published is kept until every group has settled it.
///
/// Everything is in the payload, nothing in metadata. Topics are made by `towline.Topics.create`, not by use; groups are made
/// by their first use.
#[service(name = "towline.Queue", builtin)]
pub trait Queue {
    /// Stores one message. The answer means that it is stored as its `durability` says.
    #[rpc(timeout = "10s")]
    async fn publish(
        &self,
        topic: String,
        message: Message,
        durability: Option<Durability>,
    ) -> Result<Confirmation, QueueError>;

    /// Stores one message and says nothing: failures are only counted.
    #[rpc(oneway)]
    async fn post(&self, topic: String, message: Message);

    /// Stores all of them or none, one behind the other.
    #[rpc(timeout = "10s")]
    async fn publish_batch(
        &self,
        topic: String,
        messages: Vec<Message>,
        durability: Option<Durability>,
    ) -> Result<Placement, QueueError>;

    /// Stores each item and answers each with a receipt, in their order. A message that is refused does not end the channel; a
    /// failing store or a deleted topic does: what has no receipt then is in doubt.
    fn publish_many(
        &self,
        topic: String,
        durability: Option<Durability>,
        on_full: Option<OnFull>,
        messages: Streaming<Message>,
    ) -> impl Stream<Item = Result<Receipt, QueueError>>;

    /// Takes back a message that is not due yet, by its `id`: false if there is none.
    #[rpc(timeout = "10s")]
    async fn cancel_scheduled(&self, topic: String, id: String) -> Result<bool, QueueError>;

    /// Is a member of a group for as long as the channel is open: deliveries as credit allows, settles the other way.
    ///
    /// The first REQUEST_N of the broker says that the group exists, that its start is fixed and that this is a member.
    fn consume(
        &self,
        topic: String,
        group: String,
        options: Option<ConsumeOptions>,
        settles: Streaming<Settle>,
    ) -> impl Stream<Item = Result<Delivery, QueueError>>;

    /// Consumes without a channel: settled when handed over, or with `options.ack` `manual` by [`settle`](Self::settle).
    fn subscribe(
        &self,
        topic: String,
        group: String,
        options: Option<ConsumeOptions>,
    ) -> impl Stream<Item = Result<Delivery, QueueError>>;

    /// Leases at most `max` messages (100 if not given, and at most 1 MiB) to an instance until the ack deadline; waits `waitMs`
    /// for the first, and answers with none if none comes.
    #[rpc(timeout = "60s")]
    async fn fetch(
        &self,
        topic: String,
        group: String,
        max: Option<u32>,
        wait_ms: Option<u32>,
        instance: Option<String>,
        options: Option<ConsumeOptions>,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// Settles leases of an instance (the caller's uuid if not given); the answer comes once that is as durable as the topic.
    #[rpc(idempotent, timeout = "10s")]
    async fn settle(
        &self,
        topic: String,
        group: String,
        instance: Option<String>,
        items: Vec<Settle>,
    ) -> Result<Settled, QueueError>;
}
