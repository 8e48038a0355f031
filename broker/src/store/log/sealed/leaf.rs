//! A page of the lowest level: every record of a stretch of the file.
//!
//! ```text
//!  24 position of the first record   32 for each: varint of length x 8 + is behind a gap x 4 + is lost x 2 + is of another topic
//!     behind a gap (only in memory, where what lies between is damaged): varint of its bytes
//!     of another topic (the first is):  varints of topic - topic before, offset, timestamp
//!     else:                             varints of offset - offset before, timestamp - timestamp before
//! ```

use super::entry::Entry;
use super::page::{self, Header, Role};
use crate::store::TopicId;
use crate::store::log::file::PAGE;
use crate::store::wire::{Put, Take};
use bytes::Bytes;

const CONTENT: usize = page::HEADER + 8;

/// A leaf that is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    bytes: Vec<u8>,
    entry: Vec<u8>,
    entries: u32,
    previous: Entry,
    max_bytes: usize,
}

impl Filling {
    pub(super) fn new() -> Self {
        Self::of(PAGE)
    }

    /// For a page in memory only: there is room for every entry.
    pub(super) fn unbounded() -> Self {
        Self::of(usize::MAX)
    }

    fn of(max_bytes: usize) -> Self {
        Self { bytes: vec![0; CONTENT], entry: Vec::new(), entries: 0, previous: Entry::ZERO, max_bytes }
    }

    /// Takes an entry, if there is room for it.
    pub(super) fn push(&mut self, entry: &Entry) -> bool {
        let previous = &self.previous;
        let is_other = self.entries == 0 || entry.topic != previous.topic;
        self.entry.clear();
        let gap = if self.entries == 0 { 0 } else { entry.position - previous.end() };
        let flags = u64::from(gap > 0) << 2 | u64::from(entry.is_lost) << 1 | u64::from(is_other);
        self.entry.varint(u64::from(entry.len) << 3 | flags);
        if gap > 0 {
            self.entry.varint(gap);
        }
        if is_other {
            self.entry.varint(entry.topic.0.wrapping_sub(previous.topic.0));
            self.entry.varint(entry.offset);
            self.entry.varint(entry.timestamp);
        } else {
            self.entry.varint(entry.offset.wrapping_sub(previous.offset));
            self.entry.varint(entry.timestamp.wrapping_sub(previous.timestamp));
        }
        if self.bytes.len() + self.entry.len() > self.max_bytes {
            return false;
        }
        if self.entries == 0 {
            self.bytes[page::HEADER..CONTENT].copy_from_slice(&entry.position.to_le_bytes());
        }
        self.bytes.extend_from_slice(&self.entry);
        self.entries += 1;
        self.previous = *entry;
        true
    }

    pub(super) fn finish(self, number: u32, of: u32, seed: u64) -> Vec<u8> {
        page::finish(self.bytes, Role::Level(0), Header { entries: self.entries, number, of }, seed)
    }
}

/// The entries of a leaf that has been checked.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    page: Bytes,
    at: usize,
    left: u32,
    is_first: bool,
    /// Its end is where the next record begins.
    previous: Entry,
}

impl Leaf {
    pub(super) fn new(page: Bytes) -> Self {
        let (left, content) = page::content(&page);
        let position = Take(content).u64().unwrap_or(0);
        Self { page, at: CONTENT, left, is_first: true, previous: Entry { position, ..Entry::ZERO } }
    }

    fn read(&mut self) -> Option<Entry> {
        let bytes = self.page.get(self.at..)?;
        let mut take = Take(bytes);
        let length = take.varint()?;
        let previous = &self.previous;
        let is_other = length & 1 != 0;
        let gap = if length & 4 != 0 { take.varint()? } else { 0 };
        let (topic, offset, timestamp) = if is_other {
            (TopicId(previous.topic.0.wrapping_add(take.varint()?)), take.varint()?, take.varint()?)
        } else {
            let offset = previous.offset.wrapping_add(take.varint()?);
            (previous.topic, offset, previous.timestamp.wrapping_add(take.varint()?))
        };
        self.at += bytes.len() - take.0.len();
        let position = if self.is_first { previous.position } else { previous.end().checked_add(gap)? };
        let len = u32::try_from(length >> 3).ok()?;
        Some(Entry { topic, offset, timestamp, position, len, is_lost: length & 2 != 0 })
    }
}

impl Leaf {
    /// Where its first record begins.
    pub(super) fn position(&self) -> u64 {
        Take(page::content(&self.page).1).u64().unwrap_or(0)
    }
}

impl Iterator for Leaf {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.read()?;
        (self.previous, self.is_first) = (entry, false);
        Some(entry)
    }
}
