//! What waits to be written to one link.
//!
//! ```text
//!  control: frames of stream 0, first of all       [KEEPALIVE ...]
//!  queue:   segments, first in first out           [tail: small frames, one after another] [one large frame] [tail ...]
//! ```
//! Small frames are copied into a contiguous tail, so that many of them are one write; large ones keep their memory. One
//! [`Record`] per frame tells whose bytes they are: for accounting once written, and to take out what an ended stream left.

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
/// Larger frames keep their memory even while the link is blocked.
const COPIED_WHEN_BLOCKED: usize = 32 * 1024;
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

#[derive(Debug, Default)]
struct Segment {
    bytes: BytesMut,
    records: VecDeque<Record>,
    is_tail: bool,
    /// The place of its first frame among all that were ever queued.
    first: u64,
}

impl Segment {
    /// Takes out what is dead; calls `each` for every record of it.
    fn bury(&mut self, dead: &Dead, mut each: impl FnMut(Record)) {
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
        if !self.queue.back().is_some_and(|last| last.is_tail && last.bytes.len() + record.len as usize <= TAIL) {
            let mut tail = Segment { is_tail: true, first: self.pushed, ..Segment::default() };
            if !self.is_blocked {
                (tail.bytes, tail.records) = (block::take(), SPARE_RECORDS.take());
            }
            self.queue.push_back(tail);
        }
        let tail = self.queue.back_mut().expect("pushed above");
        if tail.bytes.capacity() - tail.bytes.len() < record.len as usize {
            grow(&mut tail.bytes, record.len as usize);
        }
        tail.bytes.extend_from_slice(wire);
        tail.records.push_back(record);
        self.pushed += 1;
        self.count(record, true);
    }

    /// Queues a large frame with its length. While others wait it is copied if it is small enough that the read block it
    /// came in could be many times its size.
    pub(crate) fn push_large(&mut self, mut record: Record, wire: BytesMut) {
        record.len = wire.len() as u32;
        let bytes = if !self.is_empty() && wire.len() < COPIED_WHEN_BLOCKED { BytesMut::from(&wire[..]) } else { wire };
        self.queue.push_back(Segment { bytes, records: VecDeque::from([record]), is_tail: false, first: self.pushed });
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
            if segment.is_tail && segment.records.capacity() <= MANY {
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

/// Makes room for a frame of a tail: twice as much as before, but no more than a tail may hold. `reserve` alone would leave
/// a third of a full one unused, and what waits for a blocked link is many full ones.
fn grow(bytes: &mut BytesMut, frame: usize) {
    let needed = bytes.len() + frame;
    let capacity = needed.max(2 * bytes.len()).max(4 * 1024).min(TAIL.max(needed));
    let mut grown = BytesMut::with_capacity(capacity);
    grown.extend_from_slice(bytes);
    block::give(std::mem::replace(bytes, grown));
}

#[cfg(test)]
mod tests;
