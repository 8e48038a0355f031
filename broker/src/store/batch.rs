//! What is appended at once.

use super::{Durability, GroupId, Offset, TopicId};
use bytes::Bytes;

/// Operations that are kept together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In order.
    pub ops: Vec<Op>,
    /// The time of its messages, milliseconds since 1970. A topic's timestamps never go back, whatever this says.
    pub now: u64,
}

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Stores a message at the topic's next offset.
    Publish(Publish),
    /// Uses up a producer's sequence for a message that was refused.
    Skip {
        /// Where the producer publishes.
        topic: TopicId,
        /// The hash of its id.
        producer: u128,
        /// The next one after its last.
        sequence: u64,
    },
    /// What a group did since its last record.
    Progress {
        /// The group's topic.
        topic: TopicId,
        /// The group.
        group: GroupId,
        /// From its last record's `next` on.
        progress: Progress,
    },
    /// Sets where a group goes on; its holes are dropped.
    Seek {
        /// The group's topic.
        topic: TopicId,
        /// The group.
        group: GroupId,
        /// The next offset to hand over.
        next: Offset,
    },
    /// Creates a topic, or changes its settings; its durability may not change.
    PutTopic {
        /// From [`super::Store::fresh_id`], or one that is there.
        topic: TopicId,
        /// All of them.
        settings: TopicSettings,
    },
    /// Removes a topic with all it has.
    DeleteTopic(TopicId),
    /// Creates a group, or changes its settings.
    PutGroup {
        /// The group's topic.
        topic: TopicId,
        /// From [`super::Store::fresh_id`], or one that is there.
        group: GroupId,
        /// The owner's words, kept as they are.
        settings: Bytes,
        /// Where a new group starts; what is there already goes on where it is.
        start: Offset,
    },
    /// Removes a group and its progress.
    DeleteGroup {
        /// The group's topic.
        topic: TopicId,
        /// The group.
        group: GroupId,
    },
    /// Gives up the messages below `to`, but for those that are holes of a group.
    Trim {
        /// The topic.
        topic: TopicId,
        /// The new floor; a lower one than before changes nothing.
        to: Offset,
    },
    /// Sets an entry. Entries live in memory: they are for small things, such as configuration.
    Put {
        /// The topic it goes with, or [`TopicId::BROKER`].
        topic: TopicId,
        /// At most 64 KiB.
        key: Bytes,
        /// At most 1 MiB.
        value: Bytes,
    },
    /// Removes an entry, if it is there.
    Remove {
        /// The topic it goes with, or [`TopicId::BROKER`].
        topic: TopicId,
        /// Its key.
        key: Bytes,
    },
}

impl Op {
    /// The content of a message that nobody has to know when it comes twice.
    pub(crate) fn plain(&self) -> Option<&Bytes> {
        match self {
            Self::Publish(Publish { content, dedup: None, .. }) => Some(content),
            _ => None,
        }
    }

    /// The topic it changes.
    pub(crate) fn topic(&self) -> TopicId {
        match self {
            Self::Publish(publish) => publish.topic,
            Self::Skip { topic, .. }
            | Self::Progress { topic, .. }
            | Self::Seek { topic, .. }
            | Self::PutTopic { topic, .. }
            | Self::DeleteTopic(topic)
            | Self::PutGroup { topic, .. }
            | Self::DeleteGroup { topic, .. }
            | Self::Trim { topic, .. }
            | Self::Put { topic, .. }
            | Self::Remove { topic, .. } => *topic,
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// Where to.
    pub topic: TopicId,
    /// Headers and body in the owner's words: the store does not look into it.
    pub content: Bytes,
    /// How a second one of the same is known, if it is to be.
    pub dedup: Option<Dedup>,
}

/// How a message that comes twice is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// By a counter: the last sequence + 1 is new, up to the last is a duplicate, above is a gap. A producer that is not
    /// known may start anywhere.
    Sequence {
        /// The hash of its id.
        producer: u128,
        /// The message's.
        sequence: u64,
    },
    /// By the hash of an id.
    Id(u128),
}

/// Where a published message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// A new message.
    At(Offset),
    /// It was there already; its offset, if that is still known. The receipt comes no earlier than the first one's.
    Duplicate(Option<Offset>),
}

/// Consecutive offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: Offset,
    /// How many.
    pub count: u64,
}

/// Consecutive offsets that a group has handed over and that are not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hand {
    /// Which.
    pub run: Run,
    /// How many times they were handed over.
    pub attempt: u32,
    /// When they are due again, milliseconds since 1970.
    pub due: u64,
}

/// What a group did since its last record. An offset between `from` and `next` that is neither in `handed` nor in `settled`
/// was passed over, as a filter does: it counts as settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// `next` of the record before. Where the two do not join (that record was damaged), what is between is not settled.
    pub from: Offset,
    /// The first offset never handed over.
    pub next: Offset,
    /// Handed over and waited for, with the attempt and when they are due. Comes before `settled`.
    pub handed: Vec<Hand>,
    /// Done: acknowledged, dead, expired or given up.
    pub settled: Vec<Run>,
}

/// What the store itself has to know of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// The topic's name.
    pub name: String,
    /// The least durability of its messages.
    pub durability: Durability,
    /// How long a message that comes twice is known as such, in milliseconds of the store's uptime since it came.
    pub dedup_window: u64,
    /// Everything else, in the owner's words.
    pub rest: Bytes,
}
