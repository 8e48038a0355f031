//! Why a store does not do what it was asked to.

use super::{GroupId, TopicId};

/// Why a batch was not kept, or messages were not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A batch names a topic that is not there.
    #[error("there is no topic {0:?} in the store")]
    UnknownTopic(TopicId),
    /// A batch names a group that is not there.
    #[error("there is no group {1:?} of topic {0:?} in the store")]
    UnknownGroup(TopicId, GroupId),
    /// The state of a group could not be read when the store was opened: nothing is known of what it did.
    #[error(
        "what group {1:?} of topic {0:?} has done was lost to damage; stop the broker and run `towline fsck --repair`"
    )]
    GroupLost(TopicId, GroupId),
    /// A topic or a group is created under an id that is in use.
    #[error("the id {0} is in use")]
    IdInUse(u64),
    /// A producer has skipped a sequence; nothing was stored.
    #[error("the producer's next sequence is {expected}")]
    SequenceGap {
        /// What it has to be.
        expected: u64,
    },
    /// More than one commit group holds, or an empty batch.
    #[error("a batch takes 1 to {max} bytes, this one has {bytes}")]
    BatchSize {
        /// As it would be written.
        bytes: usize,
        /// The most.
        max: usize,
    },
    /// The volume has no room above the watermark: consuming goes on, publishing does so by itself once there is room.
    #[error("the volume of the data folder has {free} bytes left, less than the watermark of {watermark}")]
    Full {
        /// Bytes left.
        free: u64,
        /// Bytes below which nothing is published.
        watermark: u64,
    },
    /// A write or a sync has failed: nothing is confirmed any more, until a restart.
    #[error("the store has failed: {0}; restart the broker, it recovers what was confirmed")]
    Failed(String),
    /// A message could not be read this time.
    #[error("the store could not read: {0}; it is tried again")]
    Unreadable(String),
    /// The store is closed, or its last words were lost with it.
    #[error("the store is closed")]
    Closed,
}
