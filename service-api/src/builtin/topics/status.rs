use serde::{Deserialize, Serialize};

use crate::builtin::queue::{ConsumeOptions, Durability, OnFull, number};

/// How a topic keeps its messages. What is left out is as the topic has it, or, of a new one, as said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// What a confirmation means, at least: disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// How long messages are kept: 72 hours; 0 is for ever.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub retention_ms: Option<u64>,
    /// Bytes of messages that are kept; 0, as unless given, is no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub retention_bytes: Option<u64>,
    /// Messages that are kept; 0, as unless given, is no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub retention_messages: Option<u64>,
    /// Whether what a group has not settled is kept whatever retention says: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_until_acked: Option<bool>,
    /// Messages that groups may not have settled; 0, as unless given, is no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub max_depth_messages: Option<u64>,
    /// Bytes of them: a tenth of the data folder's volume; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub max_depth_bytes: Option<u64>,
    /// What happens when it is full: reject, or dropOldest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_full: Option<OnFull>,
    /// Bytes of one message, headers included: 4 MiB.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub max_message_bytes: Option<u64>,
    /// How long messages that do not say so themselves are worth delivering; 0, as unless given, is for ever.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub ttl_ms: Option<u64>,
    /// How long a message that is sent twice is known: 2 minutes.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub dedup_window_ms: Option<u64>,
}

/// A topic as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// Its name.
    pub topic: String,
    /// All of its configuration.
    pub config: TopicConfig,
    /// Nothing can be published.
    pub paused: bool,
    /// The oldest offset that is kept.
    pub floor: u64,
    /// The offset the next message gets.
    pub head: u64,
    /// Messages that some group has not settled, or if there is no group, that are kept.
    pub depth: u64,
    /// Bytes of them, to within a sixteenth of what the topic may hold.
    pub depth_bytes: u64,
    /// Messages that wait for their time.
    pub scheduled: u64,
    /// The names of its groups.
    pub groups: Vec<String>,
}

/// A group as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// Its topic.
    pub topic: String,
    /// Its name.
    pub group: String,
    /// All of its options.
    pub options: ConsumeOptions,
    /// The first offset that was never handed over.
    pub next: u64,
    /// Messages it has not settled.
    pub depth: u64,
    /// Those of them that a member has.
    pub in_flight: u64,
    /// Those that wait to be delivered again.
    pub waiting: u64,
    /// Members that consume now.
    pub members: u32,
    /// Since when the oldest message it has not settled is there, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<u64>,
    /// Messages handed over more than once, since the broker has started.
    pub redelivered: u64,
    /// Messages sent to the dead letter, since the broker has started.
    pub dead: u64,
    /// Where its dead letters are.
    pub dead_letter_topic: String,
}

/// What a purge removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Messages that were kept.
    pub removed: u64,
}

/// What a redrive did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redriven {
    /// Messages that were published again.
    pub moved: u64,
}
