//! Reading a topic, wherever its messages are.
//!
//! ```text
//!  offsets   |  sealed files, sorted by topic      |  segments: the index says where  |  the last groups, in memory
//! ```
//! Bytes that read twice with a bad checksum, the second time past the system's cache, are damaged; a failed read is only
//! that, and tried again by who asked.
//!
//! Invariant: the offsets of a topic in two sealed files, or in one and in the segments, do not interleave.

use super::core::Core;
use super::disk::File;
use super::index::Spot;
use super::sealed::Sealed;
use crate::store::record::{self, Frame, HEADER};
use crate::store::{Limits, Offset, Page, StoreError, Stored, TopicId};
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that are read at once from a segment, at least.
const READ: usize = 64 << 10;
/// Messages up to this long are copied out of the group they are in, so that they do not keep it in memory.
const COPY: usize = 4 << 10;
/// Messages that are looked up at once.
const SPOTS: usize = 1024;
/// Damaged offsets that one page tells of.
const DAMAGED: usize = 1024;

/// Where the next messages of a topic are.
enum Place {
    Nowhere,
    Sealed(Arc<Sealed>),
    Segments(Vec<(Spot, Source)>),
}

/// Where a message is read from.
enum Source {
    /// These bytes are its record.
    Memory(Bytes),
    File(Arc<dyn File>),
}

impl Core {
    /// See [`crate::store::Store::read`].
    pub(crate) fn read(&self, topic: TopicId, from: Offset, limits: Limits) -> Result<Page, StoreError> {
        let limits = Limits { messages: limits.messages.max(1), ..limits };
        let shown = self.catalog.lock().shown(topic);
        {
            let front = self.front.lock();
            front.state.topic(topic).ok_or(StoreError::UnknownTopic(topic))?;
            if let Some(ring) = front.ring(topic) {
                let live = ring.iter().filter(|message| front.state.is_live(topic, message.offset));
                return Ok(read_ring(live, from, shown, limits));
            }
        }
        let mut page = Page { next: from, ..Page::default() };
        while page.next < shown && page.messages.len() < limits.messages && page.damaged.len() < DAMAGED {
            let before = page.next;
            let left = Limits { messages: limits.messages - page.messages.len(), ..limits };
            match self.find(topic, page.next, shown, left).map_err(unreadable)? {
                Place::Nowhere => page.next = shown,
                // They have just moved from a segment to a sealed file.
                Place::Segments(spots) if spots.is_empty() => continue,
                Place::Sealed(sealed) => {
                    // Its limits are of all that the page holds.
                    let next = sealed.read(topic, page.next, limits, &mut page.messages, &mut page.damaged);
                    page.next = self.reading(sealed.id().id, next).map_err(unreadable)?;
                }
                Place::Segments(spots) => {
                    self.read_spots(topic, &spots, limits.bytes, &mut page).map_err(unreadable)?
                }
            }
            if page.next <= before {
                break;
            }
        }
        // What was given up may still be in a file, among messages that are kept: below the floor alone.
        let front = self.front.lock();
        let floor = front.state.topic(topic).map_or(Offset::MAX, |topic| topic.floor);
        if page.messages.first().is_some_and(|first| first.offset < floor) {
            page.messages.retain(|message| front.state.is_live(topic, message.offset));
        }
        page.damaged.retain(|offset| front.state.is_live(topic, *offset));
        drop(front);
        self.counts.found_damaged(topic, &page.damaged);
        Ok(page)
    }

    /// As [`Core::read`], if all of it is in memory.
    pub(crate) fn read_recent(&self, topic: TopicId, from: Offset, limits: Limits) -> Option<Page> {
        let catalog = self.catalog.lock();
        let shown = catalog.shown(topic);
        let first = catalog.index.from(topic, from).next()?;
        let is_next = first.offset == from && from < shown && catalog.recent(first).is_some();
        drop(catalog);
        is_next.then(|| self.read(topic, from, limits).ok()).flatten()
    }

    /// Where the first message at or above `from` is.
    fn find(&self, topic: TopicId, from: Offset, shown: Offset, limits: Limits) -> io::Result<Place> {
        let catalog = self.catalog.lock();
        let in_segments = catalog.index.from(topic, from).next().filter(|spot| spot.offset < shown);
        drop(catalog);
        let in_sealed = self.sealed_at(topic, from)?.filter(|(first, _)| *first < shown);
        Ok(match (in_segments, in_sealed) {
            (None, None) => Place::Nowhere,
            (Some(spot), Some((first, sealed))) if first <= spot.offset => Place::Sealed(sealed),
            (None, Some((_, sealed))) => Place::Sealed(sealed),
            (Some(_), in_sealed) => {
                let end = in_sealed.map_or(shown, |(first, _)| first);
                Place::Segments(self.sources(topic, from..end, limits))
            }
        })
    }

    /// Where the messages of unsealed segments are, and those themselves that are in memory. They are copied, as many as are
    /// asked for: what they are in is written again soon.
    fn sources(&self, topic: TopicId, offsets: Range<Offset>, limits: Limits) -> Vec<(Spot, Source)> {
        let (mut memory, mut found) = (Vec::new(), Vec::new());
        let catalog = self.catalog.lock();
        let spots = catalog.index.from(topic, offsets.start).take_while(|spot| spot.offset < offsets.end);
        for spot in spots.take(limits.messages.min(SPOTS)) {
            let from = memory.len();
            if let Some(bytes) = catalog.recent(spot) {
                let len = Frame::read(bytes).map_or(0, |frame| (frame.len as usize).min(bytes.len()));
                if from > 0 && from + len > limits.bytes.min(READ) {
                    break;
                }
                memory.extend_from_slice(&bytes[..len]);
            } else if !catalog.segments.contains_key(&spot.segment) {
                break;
            }
            found.push((spot, from..memory.len()));
        }
        let file = |spot: &Spot| catalog.segments[&spot.segment].segment.file.clone();
        let memory = Bytes::from(memory);
        let source = |(spot, range): (Spot, Range<usize>)| match range.is_empty() {
            true => (spot, Source::File(file(&spot))),
            false => (spot, Source::Memory(memory.slice(range))),
        };
        found.into_iter().map(source).collect()
    }

    /// Reads messages that are in segments, as many as fit.
    fn read_spots(&self, topic: TopicId, spots: &[(Spot, Source)], bytes: usize, page: &mut Page) -> io::Result<()> {
        let mut window = Window::default();
        let mut brought: usize = page.messages.iter().map(|message| message.content.len()).sum();
        for (nth, (spot, source)) in spots.iter().enumerate() {
            let stored = match source {
                Source::Memory(bytes) => content_of(bytes, topic, spot.offset),
                Source::File(file) => {
                    let ahead = || ahead(&spots[nth..]);
                    let mut record =
                        |past_cache| self.reading(spot.segment, window.record(file, *spot, ahead, past_cache));
                    match content_of(&record(false)?, topic, spot.offset) {
                        None => content_of(&record(true)?, topic, spot.offset),
                        found => found,
                    }
                }
            };
            match stored {
                Some((_, content)) if !page.messages.is_empty() && brought + content.len() > bytes => break,
                Some((timestamp, content)) => {
                    brought += content.len();
                    page.messages.push(Stored { offset: spot.offset, timestamp, content });
                }
                None => {
                    page.damaged.push(spot.offset);
                }
            }
            page.next = spot.offset + 1;
        }
        Ok(())
    }
}

/// How far to read from the first of these on: over those that follow it closely in its segment, and as much as one message
/// most often takes.
fn ahead(spots: &[(Spot, Source)]) -> usize {
    let first = spots[0].0;
    let reach = |spot: Spot| spot.position.saturating_sub(first.position) as usize;
    let near = |spot: &Spot| spot.segment == first.segment && reach(*spot) < READ;
    let last = spots.iter().map(|(spot, _)| *spot).take_while(near).last();
    (last.map_or(0, reach) + COPY).min(READ)
}

/// The part of a segment that was read last.
#[derive(Default)]
struct Window {
    segment: u64,
    at: u64,
    bytes: Bytes,
}

impl Window {
    /// The record at a place, as far as the file has it; past the system's cache if what the cache has is bad. What is
    /// wanted next lies within so many bytes `ahead`.
    fn record(
        &mut self,
        file: &Arc<dyn File>,
        spot: Spot,
        ahead: impl Fn() -> usize,
        past_cache: bool,
    ) -> io::Result<Bytes> {
        let position = u64::from(spot.position);
        if past_cache {
            return read(file, position, self.needed(spot).unwrap_or(READ), true);
        }
        if self.needed(spot).is_none_or(|len| self.rest(spot).len() < len) {
            let len = self.needed(spot).unwrap_or(HEADER).max(ahead());
            *self = Self { segment: spot.segment, at: position, bytes: read(file, position, len, false)? };
            if let Some(len) = self.needed(spot).filter(|len| self.bytes.len() < *len) {
                self.bytes = read(file, position, len, false)?;
            }
        }
        Ok(self.rest(spot))
    }

    fn rest(&self, spot: Spot) -> Bytes {
        let at = u64::from(spot.position).checked_sub(self.at).filter(|_| self.segment == spot.segment);
        let at = at.map_or(self.bytes.len(), |at| (at as usize).min(self.bytes.len()));
        self.bytes.slice(at..)
    }

    /// The length of the record, if its header is here and may be one.
    fn needed(&self, spot: Spot) -> Option<usize> {
        let len = Frame::read(&self.rest(spot))?.len as usize;
        (len <= super::sequence::MAX_SEGMENT as usize).then_some(len)
    }
}

fn read(file: &Arc<dyn File>, at: u64, len: usize, past_cache: bool) -> io::Result<Bytes> {
    let mut bytes = vec![0; len];
    let read = if past_cache { file.read_past_cache(&mut bytes, at) } else { file.read_at(&mut bytes, at) }?;
    bytes.truncate(read);
    Ok(bytes.into())
}

/// Timestamp and content of the message that `bytes` begin with, if it is the one that is looked for, as it was written.
fn content_of(bytes: &Bytes, topic: TopicId, offset: Offset) -> Option<(u64, Bytes)> {
    let frame = Frame::read(bytes).filter(|frame| frame.topic == topic && frame.offset == offset)?;
    if !frame.is_message() || !frame.is_intact(bytes) {
        return None;
    }
    let (timestamp, at) = record::message_parts(bytes)?;
    let content = bytes.slice(at..frame.len as usize);
    Some((timestamp, if content.len() <= COPY { Bytes::copy_from_slice(&content) } else { content }))
}

fn read_ring<'a>(ring: impl IntoIterator<Item = &'a Stored>, from: Offset, shown: Offset, limits: Limits) -> Page {
    let (mut page, mut bytes) = (Page { next: shown.max(from), ..Page::default() }, 0);
    for message in ring.into_iter().skip_while(|message| message.offset < from) {
        if message.offset >= shown {
            break;
        }
        let is_too_much = bytes + message.content.len() > limits.bytes && !page.messages.is_empty();
        if page.messages.len() == limits.messages || is_too_much {
            page.next = message.offset;
            break;
        }
        bytes += message.content.len();
        page.messages.push(message.clone());
    }
    page
}

fn unreadable(error: io::Error) -> StoreError {
    StoreError::Unreadable(error.to_string())
}
