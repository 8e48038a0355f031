//! Messages of segments in the order of a sealed file.

use super::entry::{Entry, Key};
use super::window::{self, Window};
use crate::store::log::disk::File;
use crate::store::record::{self, Frame};
use crate::store::{Offset, TopicId};
use bytes::{Bytes, BytesMut};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Piece {
    pub topic: TopicId,
    pub offset: Offset,
    /// Which of the segments.
    pub segment: u32,
    pub position: u32,
}

impl Piece {
    fn key(&self) -> Key {
        (self.topic, self.offset)
    }
}

/// Bytes of records in one file, about: one segment's. No record is longer.
pub(crate) const MOST_BYTES: usize = 64 << 20;
/// Messages that are sorted in memory at once, at most.
const MOST_PIECES: usize = 64 << 10;

/// What is sorted in memory at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Bytes of records, or one record.
    pub bytes: usize,
    /// What a record takes, about: the better it is known, the less is read twice.
    pub record: usize,
}

/// The messages that `pieces` name, which come in the order of topic and offset; each once, if several pieces name it the
/// first one. It goes through the segments once for each part that fits in memory.
///
/// A record is checked. In the place of one that is damaged, also past the cache, comes the mark that it is lost.
pub(crate) fn sort<P: Iterator<Item = Piece>>(segments: &[Arc<dyn File>], pieces: P, memory: Memory) -> Sorted<'_, P> {
    let count = memory.bytes / memory.record.max(1);
    Sorted {
        segments,
        pieces,
        memory,
        count,
        batch: Vec::new(),
        taken: 0,
        last: None,
        window: None,
        records: Bytes::new(),
        part: Vec::new().into_iter(),
    }
}

/// See [`sort`].
#[derive(Debug)]
pub(crate) struct Sorted<'a, P> {
    segments: &'a [Arc<dyn File>],
    pieces: P,
    memory: Memory,
    /// The pieces that the next part takes, about.
    count: usize,
    batch: Vec<Piece>,
    /// Those of them that are in a part.
    taken: usize,
    last: Option<Key>,
    /// What it reads with.
    window: Option<Window<'a>>,
    /// Memory for the records of one part after the other.
    records: Bytes,
    /// Where they are in it, in the order they come out.
    part: std::vec::IntoIter<Range<usize>>,
}

impl<P: Iterator<Item = Piece>> Sorted<'_, P> {
    #[cfg(test)]
    /// Bytes of records in memory.
    pub(crate) fn held(&self) -> usize {
        self.part.as_slice().iter().map(Range::len).sum()
    }

    fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.part.next() {
                return Ok(Some(self.records.slice(at)));
            }
            self.fill_batch();
            if self.batch.is_empty() {
                return Ok(None);
            }
            let mut count = self.batch.len();
            // If it fails it is done again.
            let part = loop {
                match self.read_part(count)? {
                    Some(part) => break part,
                    None => count = count.div_ceil(2),
                }
            };
            self.taken = count;
            // A little room is left for those that are longer.
            let bytes: usize = part.iter().map(Range::len).sum();
            self.count = count * (self.memory.bytes - self.memory.bytes / 8) / bytes.max(1);
            self.part = part.into_iter();
        }
    }

    fn fill_batch(&mut self) {
        self.batch.drain(..std::mem::take(&mut self.taken));
        let count = self.count.clamp(1, MOST_PIECES);
        while self.batch.len() < count
            && let Some(piece) = self.pieces.next()
        {
            if self.last.replace(piece.key()) != Some(piece.key()) {
                self.batch.push(piece);
            }
        }
    }

    /// Reads the first of a batch, in the order they lie in; nothing, if they do not fit and are more than one.
    fn read_part(&mut self, count: usize) -> io::Result<Option<Vec<Range<usize>>>> {
        let pieces = &self.batch[..count];
        let mut order: Vec<u32> = (0..pieces.len() as u32).collect();
        order.sort_unstable_by_key(|place| (pieces[*place as usize].segment, pieces[*place as usize].position));
        // Nobody holds what came before any more.
        let before = std::mem::take(&mut self.records).try_into_mut().ok();
        // One large record does not keep its memory.
        let mut records = before.filter(|before| before.capacity() <= 2 * self.memory.bytes).unwrap_or_default();
        records.clear();
        records.reserve(self.memory.bytes.min(count * self.memory.record));
        let mut part = vec![0..0; pieces.len()];
        for places in order.chunk_by(|one, other| pieces[*one as usize].segment == pieces[*other as usize].segment) {
            let segment = pieces[places[0] as usize].segment;
            let file = &**self.segments.get(segment as usize).ok_or(io::ErrorKind::InvalidInput)?;
            let window = self.window.get_or_insert_with(|| Window::new(file, false, u64::MAX));
            window.turn_to(file);
            for place in places.iter().map(|place| *place as usize) {
                let from = records.len();
                // Those that are damaged stay empty.
                copy(file, window, &pieces[place], &mut records)?;
                if records.len() > self.memory.bytes && pieces.len() > 1 {
                    return Ok(None);
                }
                part[place] = from..records.len();
            }
        }
        for place in 0..pieces.len() {
            if part[place].is_empty() {
                let Piece { topic, offset, .. } = pieces[place];
                // The time is that of the message before, if that is here.
                let before = place.checked_sub(1).filter(|before| pieces[*before].topic == topic);
                let before = before.and_then(|before| record::message_parts(&records[part[before].clone()]));
                let from = records.len();
                records.extend_from_slice(&record::lost(topic, offset, before.map_or(0, |(timestamp, _)| timestamp)));
                part[place] = from..records.len();
            }
        }
        self.records = records.freeze();
        Ok(Some(part))
    }
}

/// Appends a message as it was written, nothing if it is damaged.
fn copy(file: &dyn File, window: &mut Window<'_>, piece: &Piece, out: &mut BytesMut) -> io::Result<()> {
    let is_it = |bytes: &[u8]| Entry::of(bytes, 0).is_some_and(|entry| entry.key() == piece.key() && !entry.is_lost);
    let position = u64::from(piece.position);
    if let Some(len) = stated_len(window.peek(position, record::HEADER)?) {
        let bytes = window.peek(position, len)?;
        if is_it(bytes) {
            out.extend_from_slice(bytes);
            return Ok(());
        }
    }
    let Some(len) = stated_len(&window::read(file, position, record::HEADER, true)?) else { return Ok(()) };
    let bytes = window::read(file, position, len, true)?;
    if is_it(&bytes) {
        out.extend_from_slice(&bytes);
    }
    Ok(())
}

/// The length that a record's header states, if there may be such a record.
fn stated_len(header: &[u8]) -> Option<usize> {
    Frame::read(header).map(|frame| frame.len as usize).filter(|len| *len <= MOST_BYTES)
}

impl<P: Iterator<Item = Piece>> Iterator for Sorted<'_, P> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.read().transpose()
    }
}
