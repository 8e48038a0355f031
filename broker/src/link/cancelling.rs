//! Cancelled streams count against both apps until the responder has stopped: REQUEST+CANCEL floods meet the limit on
//! streams, an honest `take(1)` does not.
//!
//! A responder shows that it has read a CANCEL by ending the stream, or by echoing a KEEPALIVE sent behind it.

use super::outbox::Mark;
use super::state::{Effect, State};
use super::streams::Serial;
use rsocket::stream::Role;
use rsocket::{Frame, FrameType, StreamId};

/// The data of the KEEPALIVE that follows CANCELs.
const PROBE: &[u8] = b"cancelled";

impl<L: Clone> State<L> {
    /// Tells the responder to stop; the entry counts on until it has.
    pub(super) fn cancel(&mut self, stream: StreamId, serial: Serial, is_counted: bool) -> Option<Effect<L>> {
        let entry = self.streams.exact(stream, serial)?;
        let is_unheard = self.outbox.is_queued(entry.opened);
        self.outbox.remove(stream, serial);
        let linger = entry.leg().filter(|_| is_counted).map(Effect::Linger);
        if let Some(window) = entry.window.take() {
            self.windowed -= 1;
            self.parked -= window.parked();
        }
        let is_quiet = entry.kind == FrameType::RequestFnf;
        if !is_counted {
            entry.to = None;
        }
        entry.is_cancelled = true;
        if !is_unheard {
            self.push_frame(stream, serial, Mark::Last, Frame::cancel(stream));
        }
        if is_unheard || is_quiet {
            self.forget(stream);
            return None;
        }
        if self.lingering[1].len() >= 64 + 2 * self.streams.count(Role::Responder) {
            // Most have ended by themselves.
            let streams = &mut self.streams;
            self.lingering[1].retain(|(stream, serial)| streams.exact(*stream, *serial).is_some());
        }
        self.lingering[1].push((stream, serial));
        if self.lingering[1].len() >= self.bounds.streams.1 / 8 {
            self.probe_cancelled();
        }
        linger
    }

    /// Streams whose CANCEL waits for a sign that the responder has read it.
    pub(crate) fn lingering(&self) -> usize {
        self.lingering[1].len()
    }

    /// A KEEPALIVE without the respond flag came: if it echoes the probe, what was cancelled before it is free.
    pub(crate) fn echoed(&mut self, data: &[u8]) -> Vec<Effect<L>> {
        let mut effects = Vec::new();
        if data != PROBE || !std::mem::take(&mut self.is_probing) {
            return effects;
        }
        for (stream, serial) in std::mem::take(&mut self.lingering[0]) {
            if let Some(entry) = self.streams.exact(stream, serial).filter(|entry| entry.is_cancelled) {
                effects.extend(entry.leg().map(Effect::Release));
                self.forget(stream);
            }
        }
        effects
    }

    /// A cancelled request of this app is known to its responder; another thread may have released it already.
    pub(crate) fn linger(&mut self) {
        self.cancelled += 1;
    }

    /// A cancelled request of this app has ended at its responder.
    pub(crate) fn release(&mut self) {
        self.cancelled -= 1;
    }

    /// Queues a KEEPALIVE behind everything queued so far: its echo proves that the CANCELs before it were read.
    pub(crate) fn probe_cancelled(&mut self) {
        if self.is_probing || self.lingering[1].is_empty() {
            return;
        }
        self.is_probing = true;
        self.lingering.swap(0, 1);
        self.push_frame(0, Serial::NONE, Mark::Plain, Frame::keepalive(true, PROBE));
    }
}
