//! Messages of segments in the order of a sealed file.

use super::entry::{Entry, Key};
use super::window::{self, Window};
use crate::store::log::disk::File;
use crate::store::record;
use crate::store::{Offset, TopicId};
use bytes::Bytes;
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
    pub len: u32,
    pub position: u64,
}

impl Piece {
    fn key(&self) -> Key {
        (self.topic, self.offset)
    }
}

/// Bytes of records in memory at once: one segment's.
pub(crate) const MOST_BYTES: usize = 64 << 20;

/// The messages that `pieces` name, in the order of topic and offset; each once, if several pieces name it the one that the
/// first segment has. It holds `most_bytes` of them, or one, and goes through the segments once for each such part.
///
/// A record is checked. In the place of one that is damaged, also past the cache, comes the mark that it is lost.
pub(crate) fn sort(segments: &[Arc<dyn File>], mut pieces: Vec<Piece>, most_bytes: usize) -> Sorted<'_> {
    pieces.sort_unstable();
    pieces.dedup_by_key(|piece| piece.key());
    Sorted { segments, pieces, most_bytes, next: 0, part: Part::default() }
}

/// See [`sort`].
#[derive(Debug)]
pub(crate) struct Sorted<'a> {
    segments: &'a [Arc<dyn File>],
    pieces: Vec<Piece>,
    most_bytes: usize,
    /// The first piece that is in no part yet.
    next: usize,
    part: Part,
}

/// Consecutive records in memory.
#[derive(Debug, Default)]
struct Part {
    bytes: Bytes,
    /// Which of the bytes, in the order they come out.
    records: std::vec::IntoIter<Range<usize>>,
}

impl Sorted<'_> {
    fn read(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(record) = self.part.records.next() {
                return Ok(Some(self.part.bytes.slice(record)));
            }
            if self.next == self.pieces.len() {
                return Ok(None);
            }
            self.part = Part::default();
            let mut bytes = 0;
            let fits = |piece: &&Piece| {
                bytes += piece.len as usize;
                bytes <= self.most_bytes
            };
            let count = self.pieces[self.next..].iter().take_while(fits).count().max(1);
            // If it fails it is done again.
            self.part = self.part(&self.pieces[self.next..self.next + count])?;
            self.next += count;
        }
    }

    fn part(&self, pieces: &[Piece]) -> io::Result<Part> {
        let mut records = Vec::with_capacity(pieces.len());
        let mut end = 0;
        for piece in pieces {
            records.push(end..end + piece.len as usize);
            end += piece.len as usize;
        }
        let mut bytes = vec![0; end];
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        order.sort_unstable_by_key(|place| (pieces[*place].segment, pieces[*place].position));
        let mut damaged = Vec::new();
        for places in order.chunk_by(|one, other| pieces[*one].segment == pieces[*other].segment) {
            let file = self.segments.get(pieces[places[0]].segment as usize).ok_or(io::ErrorKind::InvalidInput)?;
            let mut window = Window::new(&**file, false, u64::MAX);
            for place in places {
                let piece = &pieces[*place];
                match record(&**file, &mut window, piece)? {
                    Some(record) => bytes[records[*place].clone()].copy_from_slice(&record),
                    None => damaged.push(*place),
                }
            }
        }
        damaged.sort_unstable();
        for place in damaged {
            // The time is that of the message before, if that is here.
            let before = place.checked_sub(1).filter(|before| pieces[*before].topic == pieces[place].topic);
            let before = before.and_then(|before| record::message_parts(&bytes[records[before].clone()]));
            let lost =
                record::lost(pieces[place].topic, pieces[place].offset, before.map_or(0, |(timestamp, _)| timestamp));
            let from = records[place].start;
            let len = lost.len().min(records[place].len());
            bytes[from..from + len].copy_from_slice(&lost[..len]);
            records[place] = from..from + len;
        }
        Ok(Part { bytes: bytes.into(), records: records.into_iter() })
    }
}

/// A message as it was written, nothing if it is damaged.
fn record(file: &dyn File, window: &mut Window<'_>, piece: &Piece) -> io::Result<Option<Bytes>> {
    let is_it = |bytes: &Bytes| {
        Entry::of(bytes, 0).is_some_and(|entry| entry.key() == piece.key() && entry.len == piece.len && !entry.is_lost)
    };
    let bytes = window.bytes(piece.position, piece.len as usize)?;
    if is_it(&bytes) {
        return Ok(Some(bytes));
    }
    let bytes = window::read(file, piece.position, piece.len as usize, true)?;
    Ok(is_it(&bytes).then_some(bytes))
}

impl Iterator for Sorted<'_> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        self.read().transpose()
    }
}
