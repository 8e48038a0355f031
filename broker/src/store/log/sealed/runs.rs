//! What a file holds of each topic: read from end to end, for accounting.
//!
//! ```text
//!  24 for each run, varints: position - end of the one before, topic - topic before, first offset, last - first, records,
//!     bytes, first timestamp, last - first. Before the first one of a page all are zero.
//! ```

use super::entry::Entry;
use super::page::{self, Header, Role};
use crate::store::log::file::PAGE;
use crate::store::wire::{Put, Take};
use crate::store::{Offset, TopicId};

/// All that a file holds of one topic: contiguous bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub topic: TopicId,
    pub first: Offset,
    /// Inclusive; offsets may be missing between.
    pub last: Offset,
    /// Records, marks of lost ones included.
    pub count: u64,
    pub position: u64,
    pub bytes: u64,
    pub oldest: u64,
    pub newest: u64,
}

impl Run {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            topic: entry.topic,
            first: entry.offset,
            last: entry.offset,
            count: 1,
            position: entry.position,
            bytes: u64::from(entry.len),
            oldest: entry.timestamp,
            newest: entry.timestamp,
        }
    }

    /// Takes the next record, if it is one of this topic.
    pub(super) fn push(&mut self, entry: &Entry) -> bool {
        if entry.topic != self.topic {
            return false;
        }
        self.last = entry.offset;
        self.count += 1;
        self.bytes = entry.end() - self.position;
        self.newest = entry.timestamp;
        true
    }
}

/// A page of runs that is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    bytes: Vec<u8>,
    run: Vec<u8>,
    entries: u32,
    topic: u64,
    /// Where the run before ends.
    end: u64,
}

impl Filling {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; page::HEADER], run: Vec::new(), entries: 0, topic: 0, end: 0 }
    }

    /// Takes a run, if there is room for it.
    pub(super) fn push(&mut self, run: &Run) -> bool {
        self.run.clear();
        let span = [run.first, run.last.wrapping_sub(run.first), run.count, run.bytes];
        self.run.varint(run.position - self.end);
        self.run.varint(run.topic.0.wrapping_sub(self.topic));
        span.into_iter().for_each(|value| self.run.varint(value));
        self.run.varint(run.oldest);
        self.run.varint(run.newest.wrapping_sub(run.oldest));
        if self.bytes.len() + self.run.len() > PAGE {
            return false;
        }
        self.bytes.extend_from_slice(&self.run);
        self.entries += 1;
        self.topic = run.topic.0;
        self.end = run.position + run.bytes;
        true
    }

    pub(super) fn finish(self, number: u32, of: u32, seed: u64) -> Vec<u8> {
        page::finish(self.bytes, Role::Runs, Header { entries: self.entries, number, of }, seed)
    }
}

/// The runs of a page that has been checked.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Run>> {
    let (entries, content) = page::content(bytes);
    let mut take = Take(content);
    let (mut end, mut topic) = (0u64, 0u64);
    let mut runs = Vec::new();
    for _ in 0..entries {
        let position = end.checked_add(take.varint()?)?;
        topic = topic.wrapping_add(take.varint()?);
        let first = take.varint()?;
        let last = first.wrapping_add(take.varint()?);
        let (count, bytes, oldest) = (take.varint()?, take.varint()?, take.varint()?);
        let newest = oldest.wrapping_add(take.varint()?);
        runs.push(Run { topic: TopicId(topic), first, last, count, position, bytes, oldest, newest });
        end = position.checked_add(bytes)?;
    }
    Some(runs)
}
