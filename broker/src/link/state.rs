//! One link's streams, windows and outbox as a pure value: no lock, no clock, no IO, whatever `L` names a link by.
//!
//! A relayed stream crosses two of these, one lock at a time:
//! ```text
//!  begin (A) -> open (B) -> fill (A)              a request (opening.rs); a refusal at B leaves A as it was after `abort`
//!  depart (from) -> deliver (to)                  every later frame, in either direction
//!  written (to) -> Grant -> grant (from)          credit follows what the receiver took
//!  finish (either side)                           the broker ends a stream: ERROR to the requester, CANCEL to the responder
//!  cancel (B) -> linger (A) -> release (A)        a cancelled stream counts until its responder has stopped (cancelling.rs)
//! ```

use super::lease::{Grant, Lease};
use super::outbox::{Mark, Outbox, Record, Writing};
use super::packet::{Packet, Step};
use super::streams::{Entry, Leg, Serial, Streams};
use super::window::{Arrival, Limits, expected_size};
use bytes::BytesMut;
use rsocket::frame::{self, LENGTH, flags};
use rsocket::stream::{Role, Signal};
use rsocket::{ErrorCode, Frame, FrameType, StreamId};
use std::sync::Arc;

/// Bounds of a link, from configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub window: Limits,
    /// Bytes queued above which a link counts as busy.
    pub mark: usize,
    /// Marks above which requests of at most `small_request` bytes, and larger ones, are refused.
    pub refuse: (usize, usize),
    pub small_request: usize,
    /// Frames up to this are copied into a tail.
    pub small_frame: usize,
    /// Bytes of one request's own fragments that may wait at its responder.
    pub request_fragments: usize,
    /// Bytes that may be parked on one link.
    pub park: usize,
    /// Streams this app may have open as requester, and as responder.
    pub streams: (usize, usize),
}

impl Bounds {
    /// Of a link inside this process: the service behind it has a byte budget of its own.
    pub(crate) fn unbounded(&self) -> Self {
        Self { mark: usize::MAX / 64, refuse: (1, 1), streams: (usize::MAX, usize::MAX), ..*self }
    }
}

/// What follows from a frame or a write for another link.
#[derive(Debug)]
pub(crate) enum Effect<L> {
    /// Pass on so much credit.
    Grant(Leg<L>, u32),
    /// A cancelled stream of that requester counts on until its responder has stopped.
    Linger(Leg<L>),
    /// A cancelled stream of that requester has ended.
    Release(Leg<L>),
    /// End that side of the stream.
    Finish(Leg<L>, &'static str),
}

/// Where a frame read from this link's app goes.
#[derive(Debug)]
pub(crate) enum Departure<L> {
    Forward(Leg<L>),
    Effect(Effect<L>),
    /// Nothing leaves this link.
    Stays,
    /// A fragment that adds nothing to what it belongs to.
    Empty,
    /// Its stream is gone, or does not take such a frame.
    Dropped,
}

/// What became of a frame for this link's app.
#[derive(Debug)]
pub(crate) enum Delivered<L> {
    Queued,
    /// An item came before its credit was passed on: queued if its receiver has asked for it, else parked.
    Overrun,
    Effect(Effect<L>),
    Dropped,
}

#[derive(Debug)]
pub(crate) struct State<L> {
    pub streams: Streams<L>,
    pub outbox: Outbox,
    pub is_closed: bool,
    pub is_draining: bool,
    /// Frames wait and the socket has taken nothing for long.
    pub is_stalled: bool,
    /// What this app lets the broker send it, if it said that it would.
    pub lease: Option<Lease>,
    /// Requests this app may send until its own lease is renewed, if it asked for leases.
    pub(super) granted: Option<u32>,
    pub(super) bounds: Arc<Bounds>,
    pub(super) windowed: usize,
    pub(super) parked: usize,
    /// What items of this app have weighed lately.
    pub(super) item_size: usize,
    /// Requests of this app that it cancelled and whose responder has not said to have stopped.
    pub(super) cancelled: isize,
    /// Streams towards this app that were cancelled: before the last probe, and after it.
    pub(super) lingering: [Vec<(StreamId, Serial)>; 2],
    pub(super) is_probing: bool,
    /// Requests of this app that went past a desk and are not answered yet.
    pub(super) detours: usize,
    /// What nobody answers went past a desk since the last of them.
    pub(super) owes: bool,
}

impl<L: Clone> State<L> {
    pub(crate) fn new(link: u64, bounds: Arc<Bounds>) -> Self {
        Self {
            streams: Streams::new(link),
            outbox: Outbox::default(),
            is_closed: false,
            is_draining: false,
            is_stalled: false,
            lease: None,
            granted: None,
            bounds,
            windowed: 0,
            parked: 0,
            item_size: 0,
            cancelled: 0,
            lingering: [Vec::new(), Vec::new()],
            is_probing: false,
            detours: 0,
            owes: false,
        }
    }

    /// Whether more waits for this link than it should.
    pub(crate) fn is_over_mark(&self) -> bool {
        self.outbox.bytes() > self.bounds.mark
    }

    /// Bytes held for this link's app.
    pub(crate) fn weight(&self) -> usize {
        self.outbox.weight() + self.parked
    }

    /// Streams of its own requests that count against it.
    pub(crate) fn requests(&self) -> usize {
        self.streams.count(Role::Requester) + self.cancelled.max(0) as usize
    }

    /// Bytes held until this app asks for them.
    pub(crate) fn parked(&self) -> usize {
        self.parked
    }

    /// Tells this app how many requests it may send.
    pub(crate) fn renew(&mut self, grant: Grant) {
        self.granted = Some(grant.requests);
        self.outbox.push_control(Frame::lease(grant.ttl, grant.requests).into_wire());
    }

    pub(super) fn share(&self) -> usize {
        self.bounds.window.share(self.windowed, self.is_over_mark())
    }

    /// A PAYLOAD, ERROR, CANCEL or REQUEST_N was read from this link's app. `step` may be changed: a C or
    /// N flag that was forgotten is set.
    pub(crate) fn depart(&mut self, stream: StreamId, step: &mut Step) -> Departure<L> {
        let Some(entry) = self.streams.entry(stream) else {
            // Only a requester's CANCEL (odd ids) ends all: a responder's must not take out the ERROR it is to get.
            if step.kind == FrameType::Cancel && stream % 2 == 1 {
                self.outbox.remove_unknown(stream, self.streams.last_serial());
            }
            return Departure::Dropped;
        };
        if entry.is_cancelled {
            let is_end = step.kind == FrameType::Error || step.is_complete();
            let is_answer =
                entry.kind == FrameType::RequestResponse && step.kind == FrameType::Payload && !step.follows();
            if !is_end && !is_answer {
                return Departure::Dropped;
            }
            let leg = entry.leg();
            self.forget(stream);
            return leg.map_or(Departure::Dropped, |leg| Departure::Effect(Effect::Release(leg)));
        }
        let (role, is_open) = (entry.role, entry.halves.is_open(entry.role));
        // Not the first one, which may say that there is an item: the receiver would be woken for each, for nothing.
        let has_begun = role == Role::Requester && entry.is_request_open || is_open && entry.is_sending;
        if has_begun && step.is_empty_fragment() {
            return Departure::Empty;
        }
        let accepts = match step.kind {
            FrameType::Payload if role == Role::Requester && entry.is_request_open => {
                entry.is_request_open = step.follows();
                if step.is_complete() {
                    entry.halves.apply(role, Signal::Complete);
                }
                true
            }
            FrameType::Payload if is_open => {
                let is_answer = entry.kind == FrameType::RequestResponse;
                let mut is_item = step.is_next() || entry.is_sending || step.follows();
                if !is_item && !step.is_complete() && !is_answer {
                    // Empty items of rsocket-py: who sent one has used a credit for it.
                    step.bits |= flags::NEXT;
                    is_item = true;
                }
                if is_answer && is_item && !step.follows() {
                    step.bits |= flags::COMPLETE;
                }
                entry.is_sending = step.follows();
                entry.sent = entry.sent.saturating_add(step.len as u32);
                let size = if step.follows() { 0 } else { std::mem::take(&mut entry.sent) as usize };
                if step.is_complete() {
                    entry.halves.apply(role, Signal::Complete);
                }
                if is_item && size > 0 && role == Role::Responder {
                    self.item_size = expected_size(self.item_size, size);
                }
                is_item || step.is_complete()
            }
            FrameType::Error if role == Role::Responder && is_open || entry.kind == FrameType::RequestChannel => {
                entry.halves.apply(role, Signal::Error);
                true
            }
            FrameType::Cancel => {
                let had = role == Role::Requester || entry.halves.is_open(Role::Requester);
                entry.halves.apply(role, Signal::Cancel);
                entry.is_request_open &= role == Role::Responder;
                had
            }
            FrameType::RequestN => return self.asked(stream, step.n),
            _ => false,
        };
        let leg = if entry.is_over() {
            if step.kind == FrameType::Cancel {
                self.outbox.remove(stream, entry.serial);
            }
            self.forget(stream).and_then(Entry::into_leg)
        } else {
            entry.leg()
        };
        match leg {
            Some(leg) if accepts => Departure::Forward(leg),
            // Over a desk nobody is to be told.
            None if step.kind == FrameType::Cancel => Departure::Stays,
            _ => Departure::Dropped,
        }
    }

    fn asked(&mut self, stream: StreamId, n: u32) -> Departure<L> {
        let share = self.share();
        let Some(entry) = self.streams.entry(stream) else { return Departure::Dropped };
        let Some(window) = &mut entry.window else { return Departure::Dropped };
        window.ask(n.into());
        let parked = window.parked();
        let mut released = Vec::new();
        while let Some(frame) = window.release() {
            released.push(frame);
        }
        let grant = window.grant(&self.bounds.window, share);
        self.parked -= parked - window.parked();
        let leg = entry.leg().filter(|_| grant > 0);
        let serial = entry.serial;
        for (mut frame, ends_item) in released {
            let step = Step::read(&frame[LENGTH..]);
            self.push(stream, serial, if ends_item { Mark::Item } else { Mark::Plain }, &mut Packet::Small(&mut frame));
            let Some(entry) = self.streams.exact(stream, serial) else { continue };
            entry.arrive(step);
            if entry.is_over() {
                self.forget(stream);
            }
        }
        leg.map_or(Departure::Stays, |leg| Departure::Effect(Effect::Grant(leg, grant)))
    }

    /// A frame of the other side's app, for this link's.
    pub(crate) fn deliver(
        &mut self,
        stream: StreamId,
        serial: Serial,
        step: Step,
        packet: &mut Packet<'_>,
    ) -> Delivered<L> {
        let Some(entry) = self.streams.exact(stream, serial) else { return Delivered::Dropped };
        if entry.is_cancelled {
            return Delivered::Dropped;
        }
        if step.kind == FrameType::Cancel && entry.role == Role::Responder {
            return self.cancel(stream, serial, true).map_or(Delivered::Queued, Delivered::Effect);
        }
        let mut mark = Mark::Plain;
        let mut is_early = false;
        let is_request = entry.role == Role::Responder && entry.is_request_open;
        if is_request {
            entry.unchecked = entry.unchecked.saturating_add(step.len as u32);
            // Looking costs as much as the outbox is deep: once for every so many bytes.
            let is_due = entry.unchecked as usize > self.bounds.request_fragments / 16;
            if is_due && self.outbox.bytes() > self.bounds.request_fragments {
                entry.unchecked = 0;
                let mut held = 0;
                self.outbox.weights(|of, _, weight| held += if of == stream { weight } else { 0 });
                if held > self.bounds.request_fragments {
                    let text = "the request is larger than what may wait for its responder: send a channel";
                    return self.end(stream, serial, text);
                }
            }
        }
        let is_filled = entry.to.is_some();
        if let Some(window) = entry.window.as_mut().filter(|_| step.kind == FrameType::Payload && !is_request) {
            let is_item = step.is_next() || entry.is_receiving || step.follows();
            let ends_item = is_item && !step.follows();
            entry.is_receiving = step.follows();
            let arrival = match is_item {
                true => window.arrive(step.len, ends_item),
                false if window.is_parking() => Arrival::Park,
                false => Arrival::Relay,
            };
            if arrival == Arrival::Park {
                let before = window.parked();
                step.patch(packet.bytes(), stream);
                let fits = window.park(BytesMut::from(&packet.wire()[..]), ends_item, &self.bounds.window);
                self.parked += window.parked() - before;
                if !fits || self.parked > self.bounds.park {
                    return self.end(stream, serial, "more items were sent than were asked for");
                }
                return if ends_item { Delivered::Overrun } else { Delivered::Queued };
            }
            is_early = arrival == Arrival::Early && is_filled;
            if ends_item {
                mark = Mark::Item;
            }
        }
        entry.arrive(step);
        let is_over = entry.is_over();
        if is_over && std::mem::take(&mut entry.is_detour) {
            self.detours -= 1;
        }
        step.patch(packet.bytes(), stream);
        self.push(stream, serial, mark, packet);
        if is_over {
            self.forget(stream);
        }
        if is_early { Delivered::Overrun } else { Delivered::Queued }
    }

    fn end(&mut self, stream: StreamId, serial: Serial, text: &'static str) -> Delivered<L> {
        let leg = self.finish(stream, serial, ErrorCode::CANCELED, text);
        leg.map_or(Delivered::Dropped, |leg| Delivered::Effect(Effect::Finish(leg, text)))
    }

    /// Credit for this link's app.
    pub(crate) fn grant(&mut self, stream: StreamId, serial: Serial, n: u32) {
        let Some(entry) = self.streams.exact(stream, serial) else { return };
        if entry.is_cancelled || !entry.halves.is_open(entry.role) {
            return;
        }
        self.push_frame(stream, serial, Mark::Plain, Frame::request_n(stream, n));
    }

    /// The broker ends this side of a stream: ERROR to a requester, CANCEL to a responder. Returns the other side.
    pub(crate) fn finish(&mut self, stream: StreamId, serial: Serial, code: ErrorCode, text: &str) -> Option<Leg<L>> {
        let entry = self.streams.exact(stream, serial)?;
        let leg = entry.leg();
        match entry.role {
            _ if entry.is_cancelled => return None,
            Role::Requester if entry.kind == FrameType::RequestFnf => drop(self.forget(stream)),
            Role::Requester => {
                self.outbox.remove(stream, serial);
                self.forget(stream);
                self.push_frame(stream, serial, Mark::Last, Frame::error(stream, code, text));
            }
            Role::Responder => drop(self.cancel(stream, serial, false)),
        }
        leg
    }

    /// `n` bytes of `writing` were taken by the socket; credit that becomes free goes to `effects`. How many frames that
    /// completed.
    pub(crate) fn written(&mut self, writing: &mut Writing, n: usize, effects: &mut Vec<Effect<L>>) -> u64 {
        let mut frames = 0;
        let share = if self.windowed == 0 { 0 } else { self.share() };
        let Self { streams, bounds, .. } = self;
        writing.written(n, |record| {
            frames += 1;
            if record.mark != Mark::Item {
                return;
            }
            let Some(entry) = streams.exact(record.stream, record.serial) else { return };
            let Some(window) = &mut entry.window else { return };
            window.written();
            // Before `fill` nobody can be told; `fill` looks again.
            let Some((link, to)) = &entry.to else { return };
            let grant = window.grant(&bounds.window, share);
            if grant > 0 {
                let leg = Leg { link: link.clone(), stream: *to, serial: entry.serial };
                effects.push(Effect::Grant(leg, grant));
            }
        });
        frames
    }

    /// Takes everything out of a link that closes: the legs to end, and the requesters whose cancelled streams end.
    pub(crate) fn close(&mut self) -> (Vec<Leg<L>>, Vec<Leg<L>>) {
        self.is_closed = true;
        self.outbox = Outbox::default();
        (self.parked, self.windowed, self.lingering) = (0, 0, [Vec::new(), Vec::new()]);
        let (cancelled, open): (Vec<_>, Vec<_>) =
            self.streams.drain().into_values().partition(|entry| entry.is_cancelled);
        let legs = |entries: Vec<Entry<L>>| entries.iter().filter_map(Entry::leg).collect();
        (legs(open), legs(cancelled))
    }

    pub(super) fn forget(&mut self, stream: StreamId) -> Option<Entry<L>> {
        let entry = self.streams.remove(stream)?;
        if entry.is_detour {
            self.lose_detour();
        }
        if let Some(window) = &entry.window {
            self.windowed -= 1;
            self.parked -= window.parked();
        }
        Some(entry)
    }

    /// Queues an ERROR for a request that was not taken.
    pub(crate) fn refuse(&mut self, stream: StreamId, code: ErrorCode, text: &str) {
        if self.streams.contains(stream) {
            // The id belongs to another call: the frame is ignored.
            return;
        }
        self.push_frame(stream, Serial::NONE, Mark::Refusal, Frame::error(stream, code, text));
    }

    pub(super) fn push_frame(&mut self, stream: StreamId, serial: Serial, mark: Mark, frame: Frame) {
        self.push(stream, serial, mark, &mut Packet::Small(&mut frame.into_wire()));
    }

    pub(super) fn push(&mut self, stream: StreamId, serial: Serial, mark: Mark, packet: &mut Packet<'_>) {
        if self.is_closed {
            return;
        }
        let record = Record { stream, serial, len: 0, mark };
        frame::set_stream_id(packet.bytes(), stream);
        match packet {
            Packet::Large(wire) if wire.len() > LENGTH + self.bounds.small_frame => {
                self.outbox.push_large(record, std::mem::take(wire));
            }
            Packet::Large(wire) => self.outbox.push_part(record, std::mem::take(wire)),
            Packet::Small(wire) => self.outbox.push_small(record, wire),
        }
    }
}
