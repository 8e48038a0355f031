use super::message::{Head, Message, put_frame};
use crate::frame::{Frame, FrameType, PayloadParts, StreamId};
use crate::transport::Batch;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::mem;

/// Bytes given to one write, more only if one frame is longer.
pub(super) const BATCH: usize = 256 * 1024;
/// The contiguous tail starts anew at this size.
const TAIL: usize = 64 * 1024;

/// What waits to be written, in bytes. Pure: knows neither socket nor lock.
///
/// ```text
///  control (stream 0) --\
///                        >-- take --> batch --> socket
///  chunks, tail (FIFO) --/
/// ```
/// Positions count the FIFO's bytes only: `written <= taken <= pushed`. A request whose last byte is at `pushed` when it
/// was queued has been given to the socket once `written` has reached that.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    control: VecDeque<BytesMut>,
    control_len: usize,
    is_echo_last: bool,
    chunks: VecDeque<BytesMut>,
    tail: BytesMut,
    batch: Batch,
    batch_control: usize,
    pushed: u64,
    taken: u64,
    written: u64,
}

impl Outgoing {
    /// Appends a request or item and returns the position of its last byte.
    pub(super) fn push(&mut self, message: Message<'_>) -> u64 {
        match message {
            Message::Small(head, parts) => self.push_small(head, parts),
            Message::Large(frames) => {
                self.seal();
                for wire in frames {
                    self.pushed += wire.len() as u64;
                    self.chunks.push_back(wire);
                }
            }
        }
        self.pushed
    }

    /// Appends a frame that is a few bytes long.
    pub(super) fn push_signal(&mut self, kind: FrameType, stream: StreamId, flags: u16, n: u32) {
        self.push_small(Head { kind, stream, flags, n }, PayloadParts::default());
    }

    /// Appends a built frame.
    pub(super) fn push_frame(&mut self, frame: Frame) {
        self.push(Message::Large(vec![frame.into_wire()]));
    }

    fn push_small(&mut self, head: Head, parts: PayloadParts<'_>) {
        if self.tail.len() >= TAIL {
            self.seal();
        }
        let before = self.tail.len();
        put_frame(&mut self.tail, head, parts);
        self.pushed += (self.tail.len() - before) as u64;
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split());
        }
    }

    /// Queues a frame of stream 0, which goes before all others at the next frame boundary.
    pub(super) fn push_control(&mut self, frame: Frame) {
        self.is_echo_last = false;
        self.put_control(frame);
    }

    /// Queues the answer to a KEEPALIVE. Over `limit` bytes only the newest waits: who does not read needs no more.
    pub(super) fn push_echo(&mut self, frame: Frame, limit: usize) {
        if self.is_echo_last
            && self.control_len > limit
            && let Some(older) = self.control.pop_back()
        {
            self.control_len -= older.len();
        }
        self.put_control(frame);
        self.is_echo_last = true;
    }

    fn put_control(&mut self, frame: Frame) {
        let wire = frame.into_wire();
        self.control_len += wire.len();
        self.control.push_back(wire);
    }

    /// Hands out what to write next: what is left of the last batch, else a new one.
    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.batch.is_empty() {
            self.batch_control = mem::take(&mut self.control_len);
            self.control.drain(..).for_each(|wire| self.batch.push(wire));
            self.is_echo_last = false;
            while self.batch.len() < BATCH {
                let Some(chunk) = self.chunks.pop_front() else { break };
                self.batch.push(chunk);
            }
            if self.chunks.is_empty() && self.batch.len() < BATCH {
                self.batch.push(self.tail.split());
            }
            self.taken += (self.batch.len() - self.batch_control) as u64;
        }
        (!self.batch.is_empty()).then(|| mem::take(&mut self.batch))
    }

    /// Takes a batch back after a write of `written` bytes.
    pub(super) fn put_back(&mut self, batch: Batch, written: usize) {
        self.batch = batch;
        let control = written.min(self.batch_control);
        self.batch_control -= control;
        self.written += (written - control) as u64;
    }

    /// Drops all that is in no batch yet.
    pub(super) fn drop_queued(&mut self) {
        self.control = VecDeque::new();
        self.control_len = 0;
        self.chunks = VecDeque::new();
        self.tail = BytesMut::new();
        self.pushed = self.taken;
    }

    /// Drops everything; only positions stay.
    pub(super) fn clear(&mut self) {
        self.drop_queued();
        self.batch = Batch::default();
    }

    /// Bytes that wait, those of a write in progress included.
    pub(super) fn queued(&self) -> usize {
        self.control_len + (self.pushed - self.written) as usize
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.control.is_empty() && self.pushed == self.taken
    }

    /// Position of the last byte queued, and of the last given to the socket.
    pub(super) fn positions(&self) -> Positions {
        Positions { pushed: self.pushed, written: self.written }
    }

    /// Gives memory back if nothing waits.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() && self.pushed == self.written {
            self.control = VecDeque::new();
            self.chunks = VecDeque::new();
            self.tail = BytesMut::new();
            self.batch = Batch::default();
        }
    }
}

/// See [`Outgoing`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Positions {
    pub(super) pushed: u64,
    pub(super) written: u64,
}
