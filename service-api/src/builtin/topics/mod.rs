//! `towline.Topics`: what topics and groups there are, and what is done with them.

mod status;

pub use status::{GroupStatus, Purged, Redriven, TopicConfig, TopicStatus};

use super::queue::{ConsumeOptions, Delivery, QueueError, Start};
use crate::service;

/// Durable topics and their groups, as an operator sees them.
#[service(name = "towline.Topics", builtin, encoding = "json")]
pub trait Topics {
    /// Creates a topic; one that is there already and the same is no error.
    #[rpc(idempotent, timeout = "10s")]
    async fn create(&self, topic: String, config: Option<TopicConfig>) -> Result<TopicStatus, QueueError>;

    /// Changes what is given, and leaves the rest; durability cannot change.
    #[rpc(idempotent, timeout = "10s")]
    async fn alter(&self, topic: String, config: TopicConfig) -> Result<TopicStatus, QueueError>;

    /// One topic.
    #[rpc(idempotent, timeout = "10s")]
    async fn get(&self, topic: String) -> Result<TopicStatus, QueueError>;

    /// All topics whose names start so, by name.
    #[rpc(idempotent, timeout = "10s")]
    async fn list(&self, prefix: Option<String>) -> Result<Vec<TopicStatus>, QueueError>;

    /// Refuses what is published from now on; consuming goes on.
    #[rpc(idempotent, timeout = "10s")]
    async fn pause(&self, topic: String) -> Result<(), QueueError>;

    /// Takes messages again.
    #[rpc(idempotent, timeout = "10s")]
    async fn resume(&self, topic: String) -> Result<(), QueueError>;

    /// Removes all messages there are, also those that groups still need.
    #[rpc(idempotent, timeout = "10s")]
    async fn purge(&self, topic: String) -> Result<Purged, QueueError>;

    /// Removes a topic with its messages and groups; `confirm` is its name again.
    #[rpc(timeout = "10s")]
    async fn delete(&self, topic: String, confirm: String) -> Result<(), QueueError>;

    /// The groups of a topic, by name.
    #[rpc(idempotent, timeout = "10s")]
    async fn groups(&self, topic: String) -> Result<Vec<GroupStatus>, QueueError>;

    /// One group.
    #[rpc(idempotent, timeout = "10s")]
    async fn group(&self, topic: String, group: String) -> Result<GroupStatus, QueueError>;

    /// Creates a group before its first consumer; one that is there already and the same is no error.
    #[rpc(idempotent, timeout = "10s")]
    async fn create_group(
        &self,
        topic: String,
        group: String,
        options: Option<ConsumeOptions>,
    ) -> Result<GroupStatus, QueueError>;

    /// Changes what is given, and leaves the rest; mode and start cannot change.
    #[rpc(idempotent, timeout = "10s")]
    async fn alter_group(
        &self,
        topic: String,
        group: String,
        options: ConsumeOptions,
    ) -> Result<GroupStatus, QueueError>;

    /// Lets a group go on somewhere else; what it has not settled is forgotten.
    #[rpc(timeout = "10s")]
    async fn seek(&self, topic: String, group: String, to: Start) -> Result<GroupStatus, QueueError>;

    /// Removes a group: its members end.
    #[rpc(timeout = "10s")]
    async fn delete_group(&self, topic: String, group: String) -> Result<(), QueueError>;

    /// Looks at messages from an offset on (the oldest if not given), at most `max` (100) and 1 MiB, without consuming them.
    #[rpc(idempotent, timeout = "10s")]
    async fn peek(&self, topic: String, from: Option<u64>, max: Option<u32>) -> Result<Vec<Delivery>, QueueError>;

    /// The messages a group could not handle, from an offset of its dead-letter topic on; as [`peek`](Self::peek).
    #[rpc(idempotent, timeout = "10s")]
    async fn dead_letters(
        &self,
        topic: String,
        group: String,
        from: Option<u64>,
        max: Option<u32>,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// Publishes dead letters of a group again where they came from: those at the given offsets of the dead-letter topic, or all.
    #[rpc(timeout = "600s")]
    async fn redrive(
        &self,
        topic: String,
        group: String,
        offsets: Option<Vec<u64>>,
        rate_per_second: Option<u32>,
    ) -> Result<Redriven, QueueError>;
}
