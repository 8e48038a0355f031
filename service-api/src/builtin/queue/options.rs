use serde::{Deserialize, Serialize};

use super::form::number;

/// What a confirmation means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Durability {
    /// In the memory of the broker; of a topic only.
    Memory,
    /// Handed to the page cache: survives the death of the process; a sync begins within 100 ms.
    Os,
    /// Synced to the disk: survives a power cut.
    #[default]
    Disk,
}

/// What publishing does while a topic is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFull {
    /// Refuses with `topic-full`.
    #[default]
    Reject,
    /// Of `publishMany` only: items that were granted wait, and no more are granted.
    Wait,
    /// Of a topic only: the oldest messages go, whoever still needs them.
    DropOldest,
}

/// How the members of a group share its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GroupMode {
    /// Each message goes to one of its members.
    #[default]
    Shared,
    /// There is one member at a time.
    Exclusive,
    /// As shared, and those of one key one after the other.
    KeyOrdered,
    /// Each instance gets every message, by a cursor of its own.
    Broadcast,
}

/// Where a new group starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// With the next message that is published.
    #[default]
    Latest,
    /// With the oldest message that is kept.
    Earliest,
    /// With this offset.
    Offset(#[serde(deserialize_with = "number::one")] u64),
    /// With the first message as young as this, milliseconds since 1970.
    Time(#[serde(deserialize_with = "number::one")] u64),
    /// Where another group of the topic is.
    CopyOf(String),
}

/// When [`Queue::subscribe`](super::Queue::subscribe) settles a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubscribeAck {
    /// When it is handed to the connection: at most once.
    #[default]
    Delivery,
    /// By [`Queue::settle`](super::Queue::settle), within the ack deadline.
    Manual,
}

/// How a group consumes. What is left out is as the group has it, or, where the first use creates it, as said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeOptions {
    /// Shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<GroupMode>,
    /// Latest. Of a group that is there already it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// Which messages it wants, by their tags; the others are settled at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How long a member may take for one message: 30,000.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub ack_deadline_ms: Option<u64>,
    /// Messages one member may have and not have settled: 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Nacks and missed deadlines, or lost connections, after which a message goes to the dead letter: 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Of a broadcast group: the name of this instance's cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Of an exclusive group: whether to wait while there is a member (true), or to be refused with `member-exists`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<bool>,
    /// Of `subscribe` only: delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<SubscribeAck>,
}
