//! Where the messages of unsealed segments are: 4 bytes a message, in chunks that are filled and never grown again.
//!
//! Invariant: a topic's chunks are in the order of their offsets, and what is in one is in no sealed file that counts.

use super::sequence::Sequence;
use crate::store::{Offset, TopicId};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Places of messages, by topic and offset.
#[derive(Debug, Default)]
pub(crate) struct Index {
    topics: HashMap<TopicId, Chunks>,
    positions: usize,
}

/// Those of one topic, in order.
#[derive(Debug)]
struct Chunks {
    before: VecDeque<Chunk>,
    /// Beside the topic's id, as every message that comes goes there.
    last: Chunk,
}

/// Consecutive offsets of a topic in one segment.
#[derive(Debug)]
struct Chunk {
    segment: u64,
    first: Offset,
    /// At most [`CHUNK`].
    positions: Vec<u32>,
    /// Of their records.
    bytes: u64,
}

/// Messages of a chunk: so few that what is allocated ahead for them is little.
const CHUNK: usize = 1024;

impl Chunks {
    fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.before.iter().chain([&self.last])
    }

    /// Chunks that end at or below an offset.
    fn ended(&self, offset: Offset) -> usize {
        let before = self.before.partition_point(|chunk| chunk.end() <= offset);
        before + usize::from(before == self.before.len() && self.last.end() <= offset)
    }

    fn push(&mut self, chunk: Chunk) {
        let before = std::mem::replace(&mut self.last, chunk);
        self.before.push_back(before);
    }

    /// Keeps those that are wanted; false if none is.
    fn retain(&mut self, mut is_wanted: impl FnMut(&Chunk) -> bool) -> bool {
        self.before.retain(&mut is_wanted);
        if is_wanted(&self.last) {
            return true;
        }
        let last = self.before.pop_back();
        let is_left = last.is_some();
        last.into_iter().for_each(|last| self.last = last);
        is_left
    }
}

impl Chunk {
    fn new(spot: Spot, len: u32) -> Self {
        let Spot { offset, segment, position } = spot;
        Self { segment, first: offset, positions: vec![position], bytes: len.into() }
    }

    fn end(&self) -> Offset {
        self.first + self.positions.len() as u64
    }
}

/// Where one message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub offset: Offset,
    pub segment: u64,
    pub position: u32,
}

/// Consecutive messages of a topic in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stretch {
    pub topic: TopicId,
    pub first: Offset,
    /// Inclusive.
    pub last: Offset,
    pub segment: u64,
    /// Of their records; if some were taken out, as many as those that are left take on the average.
    pub bytes: u64,
}

impl Stretch {
    /// Messages in it.
    pub(crate) fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl Index {
    /// Adds a message behind all of its topic; `len` bytes are its record.
    pub(crate) fn push(&mut self, topic: TopicId, spot: Spot, len: u32) {
        self.positions += 1;
        let chunks = match self.topics.entry(topic) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Chunks { before: VecDeque::new(), last: Chunk::new(spot, len) });
                return;
            }
        };
        let last = &mut chunks.last;
        if last.segment == spot.segment && last.end() == spot.offset && last.positions.len() < CHUNK {
            last.positions.push(spot.position);
            last.bytes += u64::from(len);
        } else {
            chunks.push(Chunk::new(spot, len));
        }
    }

    /// The first message at or above `from`, and those after it.
    pub(crate) fn from(&self, topic: TopicId, from: Offset) -> impl Iterator<Item = Spot> {
        let chunks = self.topics.get(&topic);
        let skip = chunks.map_or(0, |chunks| chunks.ended(from));
        chunks.into_iter().flat_map(move |chunks| chunks.iter().skip(skip)).flat_map(move |chunk| {
            let skip = from.saturating_sub(chunk.first) as usize;
            let places = chunk.positions.iter().enumerate().skip(skip);
            places.map(|(nth, position)| Spot {
                offset: chunk.first + nth as u64,
                segment: chunk.segment,
                position: *position,
            })
        })
    }

    /// All messages of some segments, in no order.
    pub(crate) fn stretches(&self, is_wanted: impl Fn(u64) -> bool) -> Vec<Stretch> {
        let mut all = Vec::new();
        for (topic, chunks) in &self.topics {
            let here = chunks.iter().filter(|chunk| is_wanted(chunk.segment));
            all.extend(here.map(|chunk| Stretch {
                topic: *topic,
                first: chunk.first,
                last: chunk.end() - 1,
                segment: chunk.segment,
                bytes: chunk.bytes,
            }));
        }
        all
    }

    /// The messages of a stretch.
    pub(crate) fn spots(&self, stretch: Stretch) -> impl Iterator<Item = Spot> {
        self.from(stretch.topic, stretch.first).take_while(move |spot| spot.offset <= stretch.last)
    }

    /// Forgets a segment: its messages are elsewhere, or not wanted any more.
    pub(crate) fn forget_segment(&mut self, segment: u64) {
        let positions = &mut self.positions;
        self.topics.retain(|_, chunks| {
            chunks.retain(|chunk| {
                let is_kept = chunk.segment != segment;
                *positions -= if is_kept { 0 } else { chunk.positions.len() };
                is_kept
            })
        });
    }

    /// Forgets a topic.
    pub(crate) fn forget_topic(&mut self, topic: TopicId) {
        if let Some(gone) = self.topics.remove(&topic) {
            self.positions -= gone.iter().map(|chunk| chunk.positions.len()).sum::<usize>();
        }
    }

    /// Forgets the messages of a group and of those behind it in its segment.
    pub(crate) fn forget_from(&mut self, group: Sequence) {
        let (segment, position) = (group.segment(), group.position() as u32);
        let all = self.topics.values_mut().flat_map(|chunks| chunks.before.iter_mut().chain([&mut chunks.last]));
        for chunk in all.filter(|chunk| chunk.segment == segment) {
            let kept = chunk.positions.partition_point(|place| *place < position);
            self.positions -= chunk.positions.len() - kept;
            chunk.bytes = chunk.bytes * kept as u64 / chunk.positions.len() as u64;
            chunk.positions.truncate(kept);
        }
        self.topics.retain(|_, chunks| chunks.retain(|chunk| !chunk.positions.is_empty()));
    }

    /// Topics that have messages here.
    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.topics.keys().copied()
    }

    /// Messages in it.
    pub(crate) fn len(&self) -> usize {
        self.positions
    }
}
