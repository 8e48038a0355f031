//! Where the messages of unsealed segments are: 4 bytes a message.
//!
//! Invariant: a topic's chunks are in the order of their offsets, and what is in one is in no sealed file that counts.

use super::sequence::Sequence;
use crate::store::{Offset, TopicId};
use hashbrown::HashMap;
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// Places of messages, by topic and offset.
#[derive(Debug, Default)]
pub(crate) struct Index {
    topics: HashMap<TopicId, VecDeque<Chunk>>,
    positions: usize,
}

/// Consecutive offsets of a topic in one segment.
#[derive(Debug)]
struct Chunk {
    segment: u64,
    first: Offset,
    positions: Vec<u32>,
}

impl Chunk {
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

impl Index {
    /// Adds a message behind all of its topic.
    pub(crate) fn push(&mut self, topic: TopicId, spot: Spot) {
        let chunks = self.topics.entry(topic).or_default();
        self.positions += 1;
        match chunks.back_mut() {
            Some(last) if last.segment == spot.segment && last.end() == spot.offset => {
                last.positions.push(spot.position)
            }
            _ => {
                let Spot { offset, segment, position } = spot;
                chunks.push_back(Chunk { segment, first: offset, positions: vec![position] });
            }
        }
    }

    /// The first message at or above `from`, and those after it.
    pub(crate) fn from(&self, topic: TopicId, from: Offset) -> impl Iterator<Item = Spot> {
        let chunks = self.topics.get(&topic);
        let skip = chunks.map_or(0, |chunks| chunks.partition_point(|chunk| chunk.end() <= from));
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

    /// All messages of one segment, by topic and offset.
    pub(crate) fn of_segment(&self, segment: u64) -> Vec<(TopicId, Spot)> {
        let mut all = Vec::new();
        for (topic, chunks) in &self.topics {
            for chunk in chunks.iter().filter(|chunk| chunk.segment == segment) {
                let spots = chunk.positions.iter().enumerate();
                all.extend(spots.map(|(nth, position)| {
                    (*topic, Spot { offset: chunk.first + nth as u64, segment, position: *position })
                }));
            }
        }
        all.sort_unstable_by_key(|(topic, spot)| (*topic, spot.offset));
        all
    }

    /// Forgets a segment: its messages are elsewhere, or not wanted any more.
    pub(crate) fn forget_segment(&mut self, segment: u64) {
        let positions = &mut self.positions;
        self.topics.retain(|_, chunks| {
            chunks.retain(|chunk| {
                let is_kept = chunk.segment != segment;
                *positions -= if is_kept { 0 } else { chunk.positions.len() };
                is_kept
            });
            !chunks.is_empty()
        });
    }

    /// Forgets a topic.
    pub(crate) fn forget_topic(&mut self, topic: TopicId) {
        let gone = self.topics.remove(&topic).into_iter().flatten();
        self.positions -= gone.map(|chunk| chunk.positions.len()).sum::<usize>();
    }

    /// Forgets the messages of a group and of those behind it in its segment.
    pub(crate) fn forget_from(&mut self, group: Sequence) {
        let (segment, position) = (group.segment(), group.position() as u32);
        for chunk in self.topics.values_mut().flatten().filter(|chunk| chunk.segment == segment) {
            let kept = chunk.positions.partition_point(|place| *place < position);
            self.positions -= chunk.positions.len() - kept;
            chunk.positions.truncate(kept);
        }
        self.topics.retain(|_, chunks| {
            chunks.retain(|chunk| !chunk.positions.is_empty());
            !chunks.is_empty()
        });
    }

    /// Topics that have messages here.
    pub(crate) fn topics(&self) -> impl Iterator<Item = TopicId> {
        self.topics.keys().copied()
    }

    #[cfg(test)]
    /// Messages in it.
    pub(crate) fn len(&self) -> usize {
        self.positions
    }
}
