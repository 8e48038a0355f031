use crate::{RpcError, ServiceError};

/// Why the broker does not do what it was asked to with a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, ServiceError)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each field is in the text of its variant")]
pub enum QueueError {
    /// There is no such topic.
    #[error("there is no topic `{topic}`")]
    #[service_error(next = "create it: `towline topic create`, or towline.Topics.create")]
    UnknownTopic { topic: String },
    /// There is no such group.
    #[error("topic `{topic}` has no group `{group}`")]
    #[service_error(next = "a group is made by its first consumer, or by towline.Topics.createGroup")]
    UnknownGroup { topic: String, group: String },
    /// There is one already, and it is not the same.
    #[error("there is a topic `{topic}` already, with another {differs}")]
    #[service_error(next = "change it by towline.Topics.alter, or choose another name")]
    TopicExists { topic: String, differs: String },
    /// The group has another value of this option.
    #[error("group `{group}` of topic `{topic}` has another {option}")]
    #[service_error(next = "leave the option out, or change the group by towline.Topics.alterGroup")]
    GroupDiffers { topic: String, group: String, option: String },
    /// As many messages as the topic may hold are not consumed yet.
    #[error("topic `{topic}` is full: its groups have not settled {depth} {unit}, and {limit} is the most")]
    #[service_error(
        next = "consume, or raise maxDepth by towline.Topics.alter; `towline topic info` names the slowest group"
    )]
    TopicFull { topic: String, depth: u64, limit: u64, unit: String },
    /// Somebody has stopped publishing to it.
    #[error("topic `{topic}` is paused")]
    #[service_error(next = "towline.Topics.resume")]
    TopicPaused { topic: String },
    /// Of this message.
    #[error("a message of {bytes} bytes is too large for topic `{topic}`, which takes {limit}")]
    #[service_error(next = "send less, or raise maxMessageBytes by towline.Topics.alter")]
    TooLarge { topic: String, bytes: u64, limit: u64 },
    /// A name that cannot be one.
    #[error("`{name}` cannot be the name of a {what}: {rule}")]
    InvalidName { what: String, name: String, rule: String },
    /// A filter that cannot be read.
    #[error("`{filter}` is no filter: {why}")]
    InvalidFilter { filter: String, why: String },
    /// An offset that was never given, or is not kept.
    #[error("offset {offset} is not one of topic `{topic}`: {why}")]
    InvalidOffset { topic: String, offset: u64, why: String },
    /// A producer left a sequence out; nothing was stored.
    #[error("producer `{producer}` comes with {sequence}, and {expected} is next: nothing was stored")]
    #[service_error(next = "send what is missing first, from `expected` on")]
    SequenceGap { producer: String, sequence: u64, expected: u64 },
    /// Another one holds this delivery now, or it is settled.
    #[error("delivery {offset} is not yours any more")]
    #[service_error(next = "it was delivered again after its ack deadline: extend what takes longer")]
    StaleDelivery { offset: u64 },
    /// The group is exclusive.
    #[error("group `{group}` of topic `{topic}` is exclusive, and has a member")]
    #[service_error(next = "wait for it with the option wait: true")]
    MemberExists { topic: String, group: String },
    /// This cannot be done with a group of this mode.
    #[error("group `{group}` of topic `{topic}` is {mode}: {why}")]
    ModeDiffers { topic: String, group: String, mode: String, why: String },
    /// The volume of the data folder has no room left.
    #[error("the broker's disk is full: {free} bytes are left, and it keeps {watermark} free")]
    #[service_error(next = "consuming goes on, and publishing does by itself once there is room")]
    StorageFull { free: u64, watermark: u64 },
    /// A write failed, or a sync.
    #[error("the broker's store has failed: {why}")]
    #[service_error(next = "restart the broker: it recovers all that was confirmed")]
    StoreFailed { why: String },
    /// Not for this caller.
    #[error("{what} is not allowed: {why}")]
    Forbidden { what: String, why: String },
    /// A message that cannot be one.
    #[error("this is no message: {why}")]
    InvalidMessage { why: String },
    /// Something around it: the broker is over its budget, or closing.
    #[error("{0}")]
    #[service_error(transparent)]
    Rpc(RpcError),
}
