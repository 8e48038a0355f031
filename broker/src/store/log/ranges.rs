//! Which sealed files hold a topic, in the order of its offsets: each file is asked once, and a page is found by halving.
//!
//! ```text
//!  topic -> | first..last file | first..last file | ...     up to the newest file there was, as of one state of the catalog
//! ```
//! What is known of a topic is brought up to date when it is asked for: files that are gone are left out, and those that have
//! come since are asked. No more is kept than [`MOST`] ranges; what is forgotten is found again.

use super::core::Core;
use super::sealed::Sealed;
use crate::store::{Limits, Offset, StoreError, TopicId};
use hashbrown::HashMap;
use std::io;
use std::sync::Arc;

/// Ranges of all topics together that are kept, 24 bytes each.
const MOST: usize = 200_000;
/// What a topic takes beside its ranges, in ranges.
const TOPIC: usize = 4;

/// What one sealed file holds of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: Offset,
    /// Inclusive.
    last: Offset,
    file: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    topics: HashMap<TopicId, Known>,
    held: usize,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// The state of the catalog that it was last looked at in.
    state: u64,
    /// All files up to this one were asked.
    newest: u64,
    ranges: Arc<[Range]>,
}

impl Ranges {
    fn keep(&mut self, topic: TopicId, known: Known) {
        self.forget(topic);
        self.held += known.ranges.len() + TOPIC;
        self.topics.insert(topic, known);
        // Any of the others: in whatever order topics are read, some of them stay.
        while self.held > MOST
            && let Some(other) = self.topics.keys().find(|other| **other != topic).copied()
        {
            self.forget(other);
        }
    }

    fn forget(&mut self, topic: TopicId) {
        if let Some(known) = self.topics.remove(&topic) {
            self.held -= known.ranges.len() + TOPIC;
        }
    }
}

impl Core {
    /// What the sealed files hold of a topic, in the order of its offsets.
    fn ranges(&self, topic: TopicId) -> io::Result<Arc<[Range]>> {
        let known = self.ranges.lock().topics.get(&topic).cloned().unwrap_or_default();
        let (state, mut ranges, new) = {
            let catalog = self.catalog.lock();
            if known.state == catalog.state() {
                return Ok(known.ranges);
            }
            let still = known.ranges.iter().copied().filter(|range| catalog.sealed.contains_key(&range.file));
            // Files get greater ids than those before them.
            let new: Vec<_> = catalog.sealed.range(known.newest + 1..).map(|(_, sealed)| sealed.clone()).collect();
            (catalog.state(), still.collect::<Vec<_>>(), new)
        };
        for sealed in &new {
            let range = self.reading(sealed.id().id, sealed.range(topic))?;
            ranges.extend(range.map(|(first, last)| Range { first, last, file: sealed.id().id }));
        }
        ranges.sort_unstable_by_key(|range| range.first);
        let newest = new.last().map_or(known.newest, |sealed| sealed.id().id);
        let ranges: Arc<[Range]> = ranges.into();
        self.ranges.lock().keep(topic, Known { state, newest, ranges: ranges.clone() });
        Ok(ranges)
    }

    /// The sealed file that holds the first offset of a topic at or above `from` that any holds, and an offset at or below
    /// that one.
    pub(crate) fn sealed_at(&self, topic: TopicId, from: Offset) -> io::Result<Option<(Offset, Arc<Sealed>)>> {
        loop {
            let ranges = self.ranges(topic)?;
            let nth = ranges.partition_point(|range| range.last < from);
            let Some(range) = ranges.get(nth) else { return Ok(None) };
            if let Some(sealed) = self.catalog.lock().sealed.get(&range.file) {
                return Ok(Some((range.first.max(from), sealed.clone())));
            }
            // Another one has just taken its place.
        }
    }

    /// The first offset in a sealed file whose message is as young as `time`.
    fn sealed_offset_at(&self, topic: TopicId, time: u64) -> io::Result<Option<Offset>> {
        'again: loop {
            let ranges = self.ranges(topic)?;
            let (mut low, mut high, mut found) = (0, ranges.len(), None);
            while low < high {
                let middle = low + (high - low) / 2;
                // Another one may just have taken its place.
                let sealed = self.catalog.lock().sealed.get(&ranges[middle].file).cloned();
                let Some(sealed) = sealed else { continue 'again };
                match self.reading(ranges[middle].file, sealed.offset_at(topic, time))? {
                    Some(offset) => (high, found) = (middle, Some(offset)),
                    None => low = middle + 1,
                }
            }
            return Ok(found);
        }
    }

    /// See [`crate::store::Store::offset_at`]: by the times in the directories of sealed files, and behind them by halving, a
    /// message read at each step.
    pub(crate) fn offset_at(&self, topic: TopicId, time: u64) -> Result<Offset, StoreError> {
        let (floor, mut head) = {
            let front = self.front.lock();
            let state = front.state.topic(topic).ok_or(StoreError::UnknownTopic(topic))?;
            (state.floor, state.head)
        };
        head = head.min(self.catalog.lock().shown(topic)).max(floor);
        let sealed = self.sealed_offset_at(topic, time).map_err(|error| StoreError::Unreadable(error.to_string()))?;
        let mut high = sealed.map_or(head, |offset| offset.clamp(floor, head));
        let unsealed = self.catalog.lock().index.from(topic, floor).next().map(|spot| spot.offset);
        let mut low = unsealed.map_or(high, |unsealed| unsealed.min(high));
        // The first message at or above an offset tells for all between the two.
        while low < high {
            let middle = low + (high - low) / 2;
            let page = self.read(topic, middle, Limits { messages: 1, bytes: 0 })?;
            match page.messages.first() {
                Some(message) if message.offset < high && message.timestamp < time => low = message.offset + 1,
                _ => high = middle,
            }
        }
        let page = self.read(topic, low, Limits { messages: 1, bytes: 0 })?;
        Ok(page.messages.first().map_or(head, |message| message.offset))
    }
}
