//! Frames that are written one after the other, in one piece of memory.

use super::{Dead, Record, TAIL};
use bytes::BytesMut;
use rsocket::block;
use std::collections::VecDeque;

/// A shorter part of a read block is copied as soon as something comes behind it.
const PART: usize = 16 * 1024;

/// Whose memory a segment stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Its own, which small frames are copied into.
    Tail,
    /// That of one large frame.
    Frame,
    /// That of the read block that all its frames came in.
    Block,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub bytes: BytesMut,
    pub records: VecDeque<Record>,
    pub memory: Memory,
    /// The place of its first frame among all that were ever queued.
    pub first: u64,
}

impl Segment {
    /// Whether so many bytes can be copied behind its own.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.memory == Memory::Tail && self.bytes.len() + len <= TAIL
    }

    /// Copies frames behind its own, and returns the records to be completed.
    #[inline]
    pub(super) fn append(&mut self, wire: &[u8]) -> &mut VecDeque<Record> {
        if self.bytes.capacity() - self.bytes.len() < wire.len() {
            grow(&mut self.bytes, wire.len());
        }
        self.bytes.extend_from_slice(wire);
        &mut self.records
    }

    /// Whether these bytes stand behind its own in the block it is a part of.
    pub(super) fn is_before(&self, wire: &BytesMut) -> bool {
        self.memory == Memory::Block && self.bytes.as_ptr_range().end == wire.as_ptr()
    }

    /// It keeps a read block from others, and is not worth that.
    #[inline]
    pub(super) fn is_short_part(&self) -> bool {
        self.memory == Memory::Block && self.bytes.len() < PART
    }

    /// Moves out of the block that it was read into, if that can be many times its size.
    pub(super) fn move_out(&mut self) {
        if self.memory != Memory::Tail && self.bytes.len() < block::WIDE / 2 {
            (self.bytes, self.memory) = (BytesMut::from(&self.bytes[..]), Memory::Tail);
        }
    }

    /// Takes out what is dead; calls `each` for every record of it.
    pub(super) fn bury(&mut self, dead: &Dead, mut each: impl FnMut(Record)) {
        if !self.records.iter().any(|record| dead.has(record)) {
            return;
        }
        let mut kept = BytesMut::new();
        let mut rest = &self.bytes[..];
        for record in &self.records {
            let (frame, after) = rest.split_at(record.len as usize);
            rest = after;
            if dead.has(record) {
                each(*record);
            } else {
                kept.extend_from_slice(frame);
            }
        }
        self.records.retain(|record| !dead.has(record));
        self.bytes = kept;
    }
}

/// Makes room for a frame of a tail: twice as much as before, but no more than a tail may hold. `reserve` alone would leave
/// a third of a full one unused, and what waits for a blocked link is many full ones.
fn grow(bytes: &mut BytesMut, frame: usize) {
    let needed = bytes.len() + frame;
    let capacity = needed.max(2 * bytes.len()).max(4 * 1024).min(TAIL.max(needed));
    let mut grown = BytesMut::with_capacity(capacity);
    grown.extend_from_slice(bytes);
    block::give(std::mem::replace(bytes, grown));
}
