//! Where the messages of unsealed segments are, in chunks that are filled and never grown again.
//!
//! ```text
//!  topic -> | chunk | chunk | ..     chunk: segment, first offset, and for each message, a varint:
//!                                           its position - that of the one before it, of the first one its position
//! ```
//! A message is found from the beginning of its chunk on. It takes 2 bytes where those of its topic are up to 16 KiB apart, 3 up to
//! 2 MiB, and its part of what a chunk takes.
//!
//! Invariant: a topic's chunks are in the order of their offsets, and what is in one is in no sealed file that counts.

use super::sequence::Sequence;
use crate::store::by_topic::ByTopic;
use crate::store::wire::{Put, Take};
use crate::store::{Offset, TopicId};
use crate::touch::touch;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Places of messages, by topic and offset.
#[derive(Debug, Default)]
pub(crate) struct Index {
    topics: ByTopic<Chunks>,
    bytes: usize,
}

/// Those of one topic, in order: one line of the cache, as every message that comes asks for it.
#[derive(Debug)]
#[repr(align(64))]
struct Chunks {
    last: Chunk,
    /// Once there are some.
    before: Option<Box<Before>>,
}

/// Chunks before the last one.
#[derive(Debug, Default)]
struct Before(VecDeque<Chunk>);

/// Consecutive offsets of a topic in one segment.
#[derive(Debug)]
struct Chunk {
    segment: u64,
    first: Offset,
    /// At most [`CHUNK`] bytes: see the module.
    gaps: Vec<u8>,
    len: u32,
    /// The position of the last one.
    last: u32,
    /// Of their records.
    bytes: u64,
}

/// Bytes of a chunk's gaps: so few that what is allocated ahead for them is little, and that a message in it is found soon.
const CHUNK: usize = 1024;
/// Bytes of the longest gap.
const LONGEST: usize = 5;

impl Chunks {
    fn new(first: Chunk) -> Self {
        Self { last: first, before: None }
    }

    fn before(&self) -> impl Iterator<Item = &Chunk> {
        self.before.iter().flat_map(|before| &before.0)
    }

    fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.before().chain([&self.last])
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Chunk> {
        self.before.iter_mut().flat_map(|before| &mut before.0).chain([&mut self.last])
    }

    /// Those whose end is above an offset.
    fn above(&self, offset: Offset) -> impl Iterator<Item = &Chunk> {
        let below = move |before: &Before| before.0.partition_point(|chunk| chunk.end() <= offset);
        let before = self.before.iter().flat_map(move |before| before.0.range(below(before)..));
        before.chain(Some(&self.last).filter(|last| last.end() > offset))
    }

    fn push(&mut self, chunk: Chunk) {
        let last = std::mem::replace(&mut self.last, chunk);
        self.before.get_or_insert_default().0.push_back(last);
    }

    /// Keeps those that are wanted; false if none is.
    fn retain(&mut self, mut is_wanted: impl FnMut(&Chunk) -> bool) -> bool {
        if let Some(before) = &mut self.before {
            before.0.retain(&mut is_wanted);
        }
        let is_left = is_wanted(&self.last) || {
            let last = self.before.as_mut().and_then(|before| before.0.pop_back());
            last.map(|last| self.last = last).is_some()
        };
        self.before.take_if(|before| before.0.is_empty());
        is_left
    }
}

impl Chunk {
    fn new(spot: Spot, len: u32) -> Self {
        let Spot { offset, segment, position } = spot;
        let mut gaps = Vec::new();
        gaps.varint(position.into());
        Self { segment, first: offset, gaps, len: 1, last: position, bytes: len.into() }
    }

    fn end(&self) -> Offset {
        self.first + u64::from(self.len)
    }

    /// True if a message is to come behind those that are here.
    fn takes(&self, spot: Spot) -> bool {
        let is_next = self.segment == spot.segment && self.end() == spot.offset && self.last < spot.position;
        is_next && self.gaps.len() + LONGEST <= CHUNK
    }

    fn push(&mut self, position: u32, len: u32) {
        self.gaps.varint((position - self.last).into());
        (self.len, self.last) = (self.len + 1, position);
        self.bytes += u64::from(len);
    }

    fn positions(&self) -> Positions<'_> {
        Positions { gaps: Take(&self.gaps), last: 0 }
    }

    /// Leaves those that are below a position.
    fn cut(&mut self, position: u32) {
        let (mut kept, mut last, mut end) = (0, 0, 0);
        let mut positions = self.positions();
        while let Some(here) = positions.next().filter(|here| *here < position) {
            (kept, last, end) = (kept + 1, here, self.gaps.len() - positions.gaps.0.len());
        }
        self.bytes = self.bytes * u64::from(kept) / u64::from(self.len);
        self.gaps.truncate(end);
        (self.len, self.last) = (kept, last);
    }

    /// Bytes of memory it takes, without what is allocated ahead.
    fn held(&self) -> usize {
        size_of::<Self>() + self.gaps.len()
    }
}

/// Of the messages of a chunk, in order.
struct Positions<'a> {
    gaps: Take<'a>,
    last: u32,
}

impl Iterator for Positions<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        self.last += self.gaps.varint()? as u32;
        Some(self.last)
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
    /// Looks at what the next message of each of these topics needs.
    pub(crate) fn touch(&self, topics: impl Iterator<Item = TopicId>) {
        // To find it is to look at it.
        let lasts: Vec<_> = topics.filter_map(|topic| Some(&self.topics.get(topic)?.last)).collect();
        touch(&lasts, |last| last.gaps.last().map_or(0, |gap| u64::from(*gap)));
    }

    /// Adds a message behind all of its topic; `len` bytes are its record.
    pub(crate) fn push(&mut self, topic: TopicId, spot: Spot, len: u32) {
        let Some(chunks) = self.topics.get_mut(topic) else {
            let last = Chunk::new(spot, len);
            self.bytes += last.held();
            self.topics.insert(topic, Chunks::new(last));
            return;
        };
        if chunks.last.takes(spot) {
            let before = chunks.last.gaps.len();
            chunks.last.push(spot.position, len);
            self.bytes += chunks.last.gaps.len() - before;
        } else {
            chunks.push(Chunk::new(spot, len));
            self.bytes += chunks.last.held();
        }
    }

    /// The first message at or above `from`, and those after it.
    pub(crate) fn from(&self, topic: TopicId, from: Offset) -> impl Iterator<Item = Spot> {
        let chunks = self.topics.get(topic).into_iter().flat_map(move |chunks| chunks.above(from));
        chunks.flat_map(move |chunk| {
            let skip = from.saturating_sub(chunk.first) as usize;
            let places = chunk.positions().enumerate().skip(skip);
            places.map(|(nth, position)| Spot { offset: chunk.first + nth as u64, segment: chunk.segment, position })
        })
    }

    /// All messages of some segments, in no order.
    pub(crate) fn stretches(&self, is_wanted: impl Fn(u64) -> bool) -> Vec<Stretch> {
        let mut all = Vec::new();
        for (topic, chunks) in self.topics.iter() {
            let here = chunks.iter().filter(|chunk| is_wanted(chunk.segment));
            all.extend(here.map(|chunk| Stretch {
                topic,
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
        let bytes = &mut self.bytes;
        self.topics.retain(|chunks| {
            chunks.retain(|chunk| {
                let is_kept = chunk.segment != segment;
                *bytes -= if is_kept { 0 } else { chunk.held() };
                is_kept
            })
        });
    }

    /// Forgets a topic.
    pub(crate) fn forget_topic(&mut self, topic: TopicId) {
        if let Some(gone) = self.topics.remove(topic) {
            self.bytes -= gone.iter().map(Chunk::held).sum::<usize>();
        }
    }

    /// Forgets the messages of a group and of those behind it in its segment.
    pub(crate) fn forget_from(&mut self, group: Sequence) {
        let (segment, position) = (group.segment(), group.position() as u32);
        let bytes = &mut self.bytes;
        self.topics.retain(|chunks| {
            for chunk in chunks.iter_mut().filter(|chunk| chunk.segment == segment) {
                *bytes -= chunk.held();
                chunk.cut(position);
                *bytes += if chunk.len == 0 { 0 } else { chunk.held() };
            }
            chunks.retain(|chunk| chunk.len > 0)
        });
    }

    /// Topics that have messages here.
    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.topics.topics()
    }

    /// Bytes of memory its chunks take, without what is allocated ahead.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
