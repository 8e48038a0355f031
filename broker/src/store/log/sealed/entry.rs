//! What the directory knows of one record.

use crate::store::record::{self, Frame};
use crate::store::{Offset, TopicId};

/// The order of a sealed file.
pub(super) type Key = (TopicId, Offset);

/// One record of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub topic: TopicId,
    pub offset: Offset,
    /// The record's own, or the one of the record before, if that is greater: they never go back within a topic.
    pub timestamp: u64,
    pub position: u64,
    pub len: u32,
    /// No message, but the mark that there was one.
    pub is_lost: bool,
}

impl Entry {
    /// Before all others.
    pub(super) const ZERO: Self =
        Self { topic: TopicId(0), offset: 0, timestamp: 0, position: 0, len: 0, is_lost: false };

    /// Of the record that `bytes` are, if they are one that belongs in a sealed file, whole and as it was written.
    pub(super) fn of(bytes: &[u8], position: u64) -> Option<Self> {
        let frame = Frame::read(bytes)?;
        let belongs = frame.len as usize == bytes.len() && (frame.is_message() || frame.is_lost());
        if !belongs || !frame.is_intact(bytes) {
            return None;
        }
        Self::stated(bytes, position)
    }

    /// Of a record that may be damaged: what its header says.
    pub(super) fn stated(bytes: &[u8], position: u64) -> Option<Self> {
        let frame = Frame::read(bytes)?;
        let (timestamp, _) = record::message_parts(bytes)?;
        let Frame { len, topic, offset, .. } = frame;
        Some(Self { topic, offset, timestamp, position, len, is_lost: frame.is_lost() })
    }

    pub(super) fn key(&self) -> Key {
        (self.topic, self.offset)
    }

    /// Where the next record begins.
    pub(super) fn end(&self) -> u64 {
        self.position + u64::from(self.len)
    }

    /// With a timestamp that does not go back behind the entry before.
    pub(super) fn after(mut self, before: &Self) -> Self {
        if before.topic == self.topic {
            self.timestamp = self.timestamp.max(before.timestamp);
        }
        self
    }
}
