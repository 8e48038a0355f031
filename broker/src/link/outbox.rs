//! What waits to be written to one link.
//!
//! ```text
//!  control: frames of stream 0, first of all       [KEEPALIVE ...]
//!  queue:   segments, first in first out           [tail: small frames, one after another] [one large frame] [tail ...]
//! ```
//! Small frames are copied into a contiguous tail, so that many of them are one write; large ones keep their memory, and so
//! do small ones that were read one after the other and together are a large part of a read block. One [`Record`] per frame
//! tells whose bytes they are: for accounting once written, and to take out what an ended stream left.

mod segment;

use self::segment::{Memory, Segment};
use super::streams::Serial;
use bytes::BytesMut;
use hashbrown::{HashMap, HashSet};
use rsocket::transport::Batch;
use rsocket::{StreamId, block};
use std::cell::Cell;
use std::collections::VecDeque;

/// What a queued frame costs beside its bytes.
pub(crate) const FRAME_COST: usize = 64;
/// A tail grows to this before the next one is begun.
const TAIL: usize = block::SIZE;
/// Records whose memory is not kept for the next write.
const MANY: usize = 4 * 1024;
/// KEEPALIVE echoes that wait; then the newest replaces the one before.
const ECHOES: usize = 16;

/// One frame in the outbox or in the writer's batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub stream: StreamId,
    pub serial: Serial,
    /// Bytes on the wire, the length included.
    pub len: u32,
    pub mark: Mark,
}

/// What the writing of a frame means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing beyond its bytes.
    Plain,
    /// An item of a windowed stream has been written.
    Item,
    /// The request: taken out unwritten, the receiver has never heard of the stream.
    Opens,
    /// A refusal: bounded in number.
    Refusal,
    /// The broker's own last word on a stream: it outlives what is taken out of it.
    Last,
}

/// Streams whose queued frames are to be taken out. Looking for them costs as much as the outbox is deep, so in a deep one
/// they are gathered first: a CANCEL, whoever sends it, must not cost a walk over a million frames.
#[derive(Debug, Default)]
struct Dead {
    streams: HashSet<(StreamId, Serial)>,
    /// Streams no longer known, and the newest serial they can have.
    ids: HashMap<StreamId, Serial>,
}

impl Dead {
    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.ids.is_empty()
    }

    fn len(&self) -> usize {
        self.streams.len() + self.ids.len()
    }

    fn has(&self, record: &Record) -> bool {
        if matches!(record.mark, Mark::Refusal | Mark::Last) {
            return false;
        }
        let is_old = |newest: &Serial| record.serial <= *newest;
        self.streams.contains(&(record.stream, record.serial)) || self.ids.get(&record.stream).is_some_and(is_old)
    }
}

/// Frames of an outbox for each one that may wait to be taken out.
const DEEP: usize = 1024;

thread_local! {
    /// What the last tail written on this thread was counted by.
    static SPARE_RECORDS: Cell<VecDeque<Record>> = const { Cell::new(VecDeque::new()) };
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The socket was full when last written to: what is queued stays, is charged, and pins no more memory than it needs.
    pub is_blocked: bool,
    /// Frames of stream 0, and whether each is an echo.
    control: VecDeque<(BytesMut, bool)>,
    echoes: usize,
    queue: VecDeque<Segment>,
    bytes: usize,
    frames: usize,
    refusals: usize,
    /// Frames ever queued, those of stream 0 aside.
    pushed: u64,
    dead: Dead,
}

/// What the claim holder is writing: its bytes have left the outbox.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub batch: Batch,
    records: VecDeque<Record>,
    /// Bytes of the first record that have been written.
    offset: usize,
}

impl Writing {
    /// Weight of what is being written.
    pub(crate) fn weight(&self) -> usize {
        self.batch.len() + FRAME_COST * self.records.len()
    }

    /// `n` bytes were taken by the socket: calls `done` for each frame that is written whole.
    pub(crate) fn written(&mut self, n: usize, mut done: impl FnMut(Record)) {
        self.offset += n;
        while let Some(record) = self.records.front()
            && self.offset >= record.len as usize
        {
            self.offset -= record.len as usize;
            done(*record);
            self.records.pop_front();
        }
    }

    /// Itself, all written, to be used again; without its memory if that is much.
    pub(crate) fn emptied(self) -> Self {
        debug_assert!(self.batch.is_empty() && self.records.is_empty(), "all is written");
        if self.records.capacity() <= MANY { self } else { Self::default() }
    }

    /// Keeps no more than the rest of a half-written frame, and puts the last frame of the link behind it.
    pub(crate) fn end_with(&mut self, last: BytesMut) {
        let partial = if self.offset == 0 { 0 } else { self.records[0].len as usize - self.offset };
        self.batch.truncate(partial);
        self.records.clear();
        self.batch.push(last);
    }

    /// Puts stream-0 frames behind the frame that is half written.
    fn interject(&mut self, control: impl Iterator<Item = BytesMut>) {
        let partial = if self.offset == 0 { 0 } else { self.records[0].len as usize - self.offset };
        let at = usize::from(self.offset > 0);
        let mut position = partial;
        for (nth, frame) in control.enumerate() {
            let record = Record { stream: 0, serial: Serial::NONE, len: frame.len() as u32, mark: Mark::Plain };
            self.records.insert(at + nth, record);
            let len = frame.len();
            self.batch.insert(position, frame);
            position += len;
        }
    }
}

impl Outbox {
    /// Bytes queued, 64 per frame included.
    pub(crate) fn weight(&self) -> usize {
        self.bytes + FRAME_COST * self.frames
    }

    /// Bytes queued.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Refusals queued.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals
    }

    /// Frames of stream 0 queued.
    pub(crate) fn controls(&self) -> usize {
        self.control.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Queues a frame of stream 0.
    pub(crate) fn push_control(&mut self, frame: BytesMut) {
        self.bytes += frame.len();
        self.frames += 1;
        self.control.push_back((frame, false));
    }

    /// Queues the answer to a KEEPALIVE; beyond 16 the newest replaces the one before.
    pub(crate) fn push_echo(&mut self, frame: BytesMut) {
        if self.echoes < ECHOES {
            self.echoes += 1;
            self.bytes += frame.len();
            self.frames += 1;
            self.control.push_back((frame, true));
        } else if let Some((newest, _)) = self.control.iter_mut().rev().find(|(_, is_echo)| *is_echo) {
            self.bytes = self.bytes - newest.len() + frame.len();
            *newest = frame;
        }
    }

    /// Queues a small frame with its length by copying it.
    pub(crate) fn push_small(&mut self, mut record: Record, wire: &[u8]) {
        record.len = wire.len() as u32;
        self.settle();
        self.tail(wire.len(), self.pushed).append(wire).push_back(record);
        self.pushed += 1;
        self.count(record, true);
    }

    /// Queues a small frame with its length that was cut out of a read block. Behind the one that stands before it there, it
    /// joins that one without a copy. Nothing stays in a read block while the socket is full.
    pub(crate) fn push_part(&mut self, mut record: Record, wire: BytesMut) {
        if self.is_blocked {
            return self.push_small(record, &wire);
        }
        record.len = wire.len() as u32;
        match self.queue.back_mut() {
            Some(last) if last.is_before(&wire) => {
                last.bytes.unsplit(wire);
                last.records.push_back(record);
            }
            _ => {
                self.settle();
                let mut records = SPARE_RECORDS.take();
                records.push_back(record);
                self.queue.push_back(Segment { bytes: wire, records, memory: Memory::Block, first: self.pushed });
            }
        }
        self.pushed += 1;
        self.count(record, true);
    }

    /// What comes next does not join the part of a read block that is last: a short one is copied after all.
    #[inline]
    fn settle(&mut self) {
        if self.queue.back().is_some_and(Segment::is_short_part) {
            let part = self.queue.pop_back().expect("looked at above");
            self.tail(part.bytes.len(), part.first).append(&part.bytes).extend(part.records);
            block::give(part.bytes);
        }
    }

    /// The tail that so many bytes go to; of a new one, the first frame has this place.
    #[inline]
    fn tail(&mut self, len: usize, first: u64) -> &mut Segment {
        if !self.queue.back().is_some_and(|last| last.has_room(len)) {
            let (bytes, records) = match self.is_blocked {
                true => Default::default(),
                false => (block::take(), SPARE_RECORDS.take()),
            };
            self.queue.push_back(Segment { bytes, records, memory: Memory::Tail, first });
        }
        self.queue.back_mut().expect("pushed above")
    }

    /// The socket is full: what is queued moves out of the blocks that it was read into.
    pub(crate) fn block(&mut self) {
        if !std::mem::replace(&mut self.is_blocked, true) {
            self.queue.iter_mut().for_each(Segment::move_out);
        }
    }

    /// Queues a large frame with its length.
    pub(crate) fn push_large(&mut self, mut record: Record, wire: BytesMut) {
        record.len = wire.len() as u32;
        self.settle();
        let records = VecDeque::from([record]);
        let mut frame = Segment { bytes: wire, records, memory: Memory::Frame, first: self.pushed };
        if self.is_blocked {
            frame.move_out();
        }
        self.queue.push_back(frame);
        self.pushed += 1;
        self.count(record, true);
    }

    /// The place that the next queued frame gets.
    pub(crate) fn place(&self) -> u64 {
        self.pushed
    }

    /// Whether the frame that got this place has not been given to the writer.
    pub(crate) fn is_queued(&self, place: u64) -> bool {
        self.queue.front().is_some_and(|front| place >= front.first)
    }

    /// Takes out what is queued of a stream, but the broker's own words: at once, or in a deep outbox when more has gathered
    /// or it is its turn.
    pub(crate) fn remove(&mut self, stream: StreamId, serial: Serial) {
        if !self.queue.is_empty() {
            self.dead.streams.insert((stream, serial));
            self.sweep_if_due();
        }
    }

    /// The same of a stream that is no longer known: what has this serial or an older one.
    pub(crate) fn remove_unknown(&mut self, stream: StreamId, newest: Serial) {
        if !self.queue.is_empty() {
            self.dead.ids.insert(stream, newest);
            self.sweep_if_due();
        }
    }

    fn sweep_if_due(&mut self) {
        if self.dead.len() * DEEP >= self.frames {
            self.sweep();
        }
    }

    /// Takes out now what waits to be taken out.
    pub(crate) fn sweep(&mut self) {
        if self.dead.is_empty() {
            return;
        }
        let dead = std::mem::take(&mut self.dead);
        let mut removed = Vec::new();
        self.queue.iter_mut().for_each(|segment| segment.bury(&dead, |record| removed.push(record)));
        removed.into_iter().for_each(|record| self.count(record, false));
        self.queue.retain(|segment| !segment.records.is_empty());
    }

    /// Gives memory back if nothing is queued. For whoever looks now and then.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            (self.control, self.queue) = (VecDeque::new(), VecDeque::new());
        }
    }

    /// Moves what is to be written next, at most about `max` bytes, to an empty or half-written batch: frames of stream
    /// 0 at the next frame boundary, others only into an empty one.
    pub(crate) fn take(&mut self, writing: &mut Writing, max: usize) {
        if !self.control.is_empty() {
            self.echoes = 0;
            self.frames -= self.control.len();
            self.bytes -= self.control.iter().map(|(frame, _)| frame.len()).sum::<usize>();
            writing.interject(self.control.drain(..).map(|(frame, _)| frame));
        }
        if !writing.records.is_empty() && writing.batch.len() >= max {
            return;
        }
        while writing.batch.len() < max
            && let Some(mut segment) = self.queue.pop_front()
        {
            if !self.dead.is_empty() {
                let mut removed = Vec::new();
                segment.bury(&self.dead, |record| removed.push(record));
                removed.into_iter().for_each(|record| self.count(record, false));
            }
            segment.records.iter().for_each(|record| self.count(*record, false));
            if writing.records.is_empty() {
                std::mem::swap(&mut writing.records, &mut segment.records);
            } else {
                writing.records.append(&mut segment.records);
            }
            if segment.memory != Memory::Frame && segment.records.capacity() <= MANY {
                SPARE_RECORDS.set(segment.records);
            }
            writing.batch.push(segment.bytes);
        }
        if self.queue.is_empty() {
            self.dead = Dead::default();
        }
    }

    /// Bytes queued by stream, for choosing whom to end.
    pub(crate) fn weights(&self, mut each: impl FnMut(StreamId, Serial, usize)) {
        for record in self.queue.iter().flat_map(|segment| &segment.records).filter(|record| !self.dead.has(record)) {
            each(record.stream, record.serial, record.len as usize + FRAME_COST);
        }
    }

    fn count(&mut self, record: Record, is_added: bool) {
        let (len, refusal) = (record.len as usize, usize::from(record.mark == Mark::Refusal));
        if is_added {
            self.bytes += len;
            self.frames += 1;
            self.refusals += refusal;
        } else {
            self.bytes -= len;
            self.frames -= 1;
            self.refusals -= refusal;
        }
    }
}

#[cfg(test)]
mod tests;
