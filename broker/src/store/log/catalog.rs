//! Where every message is, and up to where each topic may be read.
//!
//! Invariant: a message is in the index or in one sealed file that counts, and moves from one to the other at once.

use super::front::Shown;
use super::group;
use super::index::{Index, Spot};
use super::recent::Recent;
use super::sealed::Sealed;
use super::segment::Segment;
use super::sequence::Sequence;
use crate::store::by_topic::ByTopic;
use crate::store::record::Record;
use crate::store::{Offset, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub index: Index,
    /// Those that are written, or wait to be sealed.
    pub segments: BTreeMap<u64, Held>,
    /// Those that count, by file id.
    pub sealed: BTreeMap<u64, Arc<Sealed>>,
    /// Another number after each change of the sealed files.
    state: u64,
    shown: ByTopic<Offset>,
    recent: Recent,
}

/// A segment that is held.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub segment: Segment,
    /// Its last group, once it is full.
    pub end: Option<Sequence>,
    /// It holds groups that cannot be read: it is not removed once it is sealed, but put into quarantine.
    pub is_damaged: bool,
}

impl Catalog {
    pub(crate) fn new(index: Index, recent_max: usize) -> Self {
        Self {
            index,
            segments: BTreeMap::new(),
            sealed: BTreeMap::new(),
            state: 1,
            shown: ByTopic::default(),
            recent: Recent::new(recent_max),
        }
    }

    /// The writer has gone over to another segment.
    pub(crate) fn rolled(&mut self, full: &Segment, next: Segment, end: Sequence) {
        if let Some(held) = self.segments.get_mut(&full.id.id) {
            held.end = Some(end);
        }
        self.segments.insert(next.id.id, Held { segment: next, end: None, is_damaged: false });
    }

    /// A group was written: where its messages are. These topics are shown now, and these later.
    pub(crate) fn wrote(&mut self, sequence: Sequence, bytes: &[u8], shown: &Shown, later: &Shown) {
        self.index.touch(shown.iter().chain(later).map(|(topic, _)| *topic));
        self.add(sequence, group::records(bytes));
        self.recent.push(sequence, bytes);
    }

    /// Adds the messages of a group at `sequence`.
    pub(crate) fn add(&mut self, sequence: Sequence, records: &[u8]) {
        let mut position = sequence.position() as u32 + group::HEADER as u32;
        for (frame, record) in group::frames(records) {
            if frame.is_message() {
                let spot = Spot { offset: frame.offset, segment: sequence.segment(), position };
                self.index.push(frame.topic, spot, frame.len);
            } else if let Some(Record::DeleteTopic { topic }) = Record::decode(record) {
                self.index.forget_topic(topic);
                self.shown.remove(topic);
            }
            position += frame.len;
        }
    }

    /// Lets topics be read up to an offset.
    pub(crate) fn show(&mut self, shown: &[(TopicId, Offset)]) {
        for (topic, next) in shown {
            let visible = self.shown.get_or_insert_with(*topic, Offset::default);
            *visible = (*visible).max(*next);
        }
    }

    /// Up to here (exclusive) a topic may be read.
    pub(crate) fn shown(&self, topic: TopicId) -> Offset {
        self.shown.get(topic).copied().unwrap_or_default()
    }

    /// What is in memory of a place, if that is still so: the bytes from there to the end of its group.
    pub(crate) fn recent(&self, spot: Spot) -> Option<&[u8]> {
        self.recent.at(spot)
    }

    /// As long as this is the same, so are the sealed files. Never zero.
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// A sealed file takes the place of segments and of other sealed files. Those come back, to be removed.
    pub(crate) fn replace(&mut self, sealed: Option<Arc<Sealed>>, replaced: &[u64]) -> Replaced {
        let mut gone = Replaced::default();
        self.state += 1;
        for id in replaced {
            if let Some(held) = self.segments.remove(id) {
                self.index.forget_segment(*id);
                gone.segments.push(held);
            }
            gone.sealed.extend(self.sealed.remove(id));
        }
        self.sealed.extend(sealed.map(|sealed| (sealed.id().id, sealed)));
        gone
    }
}

/// Files that do not count any more.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    pub segments: Vec<Held>,
    pub sealed: Vec<Arc<Sealed>>,
}
