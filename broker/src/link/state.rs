//! One link's streams, windows and outbox as a pure value: no lock, no clock, no IO, whatever `L` names a link by.
//!
//! A relayed stream crosses two of these, one lock at a time:
//! ```text
//!  begin (A) -> open (B) -> fill (A)              a request; a refusal at B leaves A as it was after `abort`
//!  depart (from) -> deliver (to)                  every later frame, in either direction
//!  written (to) -> Grant -> grant (from)          credit follows what the receiver took
//!  finish (either side)                           the broker ends a stream: ERROR to the requester, CANCEL to the responder
//! ```

use super::outbox::{Mark, Outbox, Record, Writing};
use super::packet::{Packet, Step};
use super::streams::{Entry, Leg, Serial, Streams};
use super::window::{Arrival, Limits, Window, expected_size};
use bytes::BytesMut;
use rsocket::frame::{self, LENGTH, flags};
use rsocket::stream::{Halves, Role, Signal};
use rsocket::{ErrorCode, Frame, FrameType, StreamId};
use std::sync::Arc;

/// The data of the KEEPALIVE that follows CANCELs.
const PROBE: &[u8] = b"cancelled";

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

/// Why a request is not taken; the requester may send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The link is gone.
    Closed,
    /// It takes no new streams while it drains.
    Draining,
    /// Too many bytes wait for it.
    Busy,
    /// Too many streams are open.
    Streams,
}

/// What a request asks of the two tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub step: Step,
    pub serial: Serial,
    /// Bytes a window towards the requester may hold.
    pub share: usize,
    /// What the requester's items are expected to weigh.
    pub size: usize,
}

/// What `begin` says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Started { serial: Serial, share: usize, size: usize },
    /// The id is in use, or the link is closed: the frame is ignored.
    Ignored,
    Refused(Refusal),
}

/// What `open` gives back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    pub stream: StreamId,
    passed: u64,
    size: usize,
}

/// What follows from a frame or a write for another link.
#[derive(Debug)]
pub(crate) enum Effect<L> {
    /// Pass on so much credit.
    Grant(Leg<L>, u32),
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
    /// Its stream is gone, or does not take such a frame.
    Dropped,
}

/// What became of a frame for this link's app.
#[derive(Debug)]
pub(crate) enum Delivered<L> {
    Queued,
    /// An item that came before its credit was passed on.
    Early,
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
    bounds: Arc<Bounds>,
    windowed: usize,
    parked: usize,
    /// What items of this app have weighed lately.
    item_size: usize,
    /// Requests of this app that it cancelled and whose responder has not said to have stopped.
    cancelled: usize,
    /// Streams towards this app that were cancelled: before the last probe, and after it.
    lingering: [Vec<(StreamId, Serial)>; 2],
    is_probing: bool,
}

impl<L: Clone> State<L> {
    pub(crate) fn new(link: u64, bounds: Arc<Bounds>) -> Self {
        Self {
            streams: Streams::new(link),
            outbox: Outbox::default(),
            is_closed: false,
            is_draining: false,
            is_stalled: false,
            bounds,
            windowed: 0,
            parked: 0,
            item_size: 0,
            cancelled: 0,
            lingering: [Vec::new(), Vec::new()],
            is_probing: false,
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
        self.streams.count(Role::Requester) + self.cancelled
    }

    fn share(&self) -> usize {
        self.bounds.window.share(self.windowed, self.is_over_mark())
    }

    // A request, step by step.

    /// The requester's side, first step: the id is taken.
    pub(crate) fn begin(&mut self, stream: StreamId, step: Step) -> Begin {
        if self.is_closed || self.streams.contains(stream) {
            return Begin::Ignored;
        }
        if self.is_stalled && self.is_over_mark() {
            return Begin::Refused(Refusal::Busy);
        }
        if self.requests() >= self.bounds.streams.0 {
            return Begin::Refused(Refusal::Streams);
        }
        let serial = self.streams.draw_serial();
        if !step.is_single() {
            let window = step.is_windowed().then(|| Box::new(Window::new(step.n.into())));
            self.windowed += usize::from(window.is_some());
            self.insert(stream, serial, Role::Requester, step, None, window);
        }
        Begin::Started { serial, share: self.share(), size: self.item_size }
    }

    /// The responder's side: the request is queued under an id of this link's own.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was queued, `packet` is untouched and another endpoint may be tried.
    pub(crate) fn open(&mut self, from: (L, StreamId), opening: Opening, packet: &mut Packet<'_>) -> Result<Opened, Refusal> {
        let Opening { step, serial, share, size } = opening;
        let len = packet.bytes().len();
        let marks = if len > self.bounds.small_request { self.bounds.refuse.1 } else { self.bounds.refuse.0 };
        if self.is_closed {
            return Err(Refusal::Closed);
        } else if self.is_draining {
            return Err(Refusal::Draining);
        } else if self.outbox.bytes() > marks * self.bounds.mark || self.is_stalled && self.is_over_mark() {
            return Err(Refusal::Busy);
        } else if self.streams.count(Role::Responder) >= self.bounds.streams.1 {
            return Err(Refusal::Streams);
        }
        let stream = self.streams.draw_id();
        let mut passed = 0;
        if step.is_windowed() {
            passed = u64::from(step.n).min(self.bounds.window.width(share, self.item_size));
            frame::set_request_n(packet.bytes(), passed as u32);
        }
        if !step.is_single() {
            let window = (step.kind == FrameType::RequestChannel && !step.is_complete()).then(|| {
                let mut window = Window::new(0);
                window.opened(0, size);
                Box::new(window)
            });
            self.windowed += usize::from(window.is_some());
            self.insert(stream, serial, Role::Responder, step, Some(from), window);
        }
        self.push(stream, serial, Mark::Opens, packet);
        Ok(Opened { stream, passed, size: self.item_size })
    }

    /// The requester's side, last step: the stream has its other leg. False if it ended meanwhile: the caller cancels
    /// the other leg.
    pub(crate) fn fill(&mut self, stream: StreamId, serial: Serial, to: L, opened: Opened) -> Result<Option<Effect<L>>, ()> {
        let share = self.share();
        let entry = self.streams.exact(stream, serial).ok_or(())?;
        entry.to = Some((to, opened.stream));
        let leg = entry.leg();
        let Some(window) = &mut entry.window else { return Ok(None) };
        window.opened(opened.passed, opened.size);
        let grant = window.grant(&self.bounds.window, share);
        Ok(leg.filter(|_| grant > 0).map(|leg| Effect::Grant(leg, grant)))
    }

    /// The requester's side: no responder took the request.
    pub(crate) fn abort(&mut self, stream: StreamId, serial: Serial) {
        if self.streams.exact(stream, serial).is_some() {
            self.forget(stream);
        }
    }

    fn insert(&mut self, stream: StreamId, serial: Serial, role: Role, step: Step, to: Option<(L, StreamId)>, window: Option<Box<Window>>) {
        let entry = Entry {
            serial,
            kind: step.kind,
            role,
            halves: Halves::open(step.kind, step.is_complete() && !step.follows()),
            to,
            is_request_open: step.follows(),
            is_sending: false,
            is_receiving: false,
            is_cancelled: false,
            window,
        };
        self.streams.insert(stream, entry);
    }

    // Later frames.

    /// A PAYLOAD, ERROR, CANCEL or REQUEST_N was read from this link's app. `step` may be changed: a C flag that was
    /// forgotten is set.
    pub(crate) fn depart(&mut self, stream: StreamId, step: &mut Step) -> Departure<L> {
        let Some(entry) = self.streams.entry(stream) else {
            if step.kind == FrameType::Cancel {
                self.outbox.remove(stream, None);
            }
            return Departure::Dropped;
        };
        if entry.is_cancelled {
            let is_end = step.kind == FrameType::Error || step.is_complete();
            if !is_end && !(entry.kind == FrameType::RequestResponse && step.kind == FrameType::Payload) {
                return Departure::Dropped;
            }
            let leg = entry.leg();
            self.forget(stream);
            return leg.map_or(Departure::Dropped, |leg| Departure::Effect(Effect::Release(leg)));
        }
        let (role, is_open) = (entry.role, entry.halves.is_open(entry.role));
        let accepts = match step.kind {
            FrameType::Payload if role == Role::Requester && entry.is_request_open => {
                entry.is_request_open = step.follows();
                if step.is_complete() {
                    entry.halves.apply(role, Signal::Complete);
                }
                true
            }
            FrameType::Payload if is_open => {
                let is_item = step.is_next() || entry.is_sending || step.follows();
                if entry.kind == FrameType::RequestResponse && step.is_next() && !step.follows() {
                    step.bits |= flags::COMPLETE;
                }
                entry.is_sending = step.follows();
                if step.is_complete() {
                    entry.halves.apply(role, Signal::Complete);
                }
                if is_item && role == Role::Responder {
                    self.item_size = expected_size(self.item_size, step.len);
                }
                is_item || step.is_complete()
            }
            FrameType::Error if role == Role::Responder || entry.kind == FrameType::RequestChannel => {
                entry.halves.apply(role, Signal::Error);
                true
            }
            FrameType::Cancel => {
                let had = role == Role::Requester || entry.halves.is_open(Role::Requester);
                entry.halves.apply(role, Signal::Cancel);
                entry.is_request_open &= role == Role::Responder;
                self.cancelled += usize::from(role == Role::Requester);
                had
            }
            FrameType::RequestN => return self.asked(stream, step.n),
            _ => false,
        };
        let entry = self.streams.entry(stream).expect("looked up above");
        let leg = entry.leg();
        if entry.is_over() {
            self.forget(stream);
            if step.kind == FrameType::Cancel {
                self.outbox.remove(stream, None);
            }
        }
        match leg {
            Some(leg) if accepts => Departure::Forward(leg),
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
            let step = Step::read(&frame);
            self.push(stream, serial, if ends_item { Mark::Item } else { Mark::Plain }, &mut Packet::Small(&mut frame));
            self.arrived(stream, serial, step);
        }
        leg.map_or(Departure::Stays, |leg| Departure::Effect(Effect::Grant(leg, grant)))
    }

    /// A frame of the other side's app, for this link's.
    pub(crate) fn deliver(&mut self, stream: StreamId, serial: Serial, step: Step, packet: &mut Packet<'_>) -> Delivered<L> {
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
        if is_request && self.outbox.bytes() > self.bounds.request_fragments {
            let mut held = 0;
            self.outbox.weights(|of, _, weight| held += if of == stream { weight } else { 0 });
            if held > self.bounds.request_fragments {
                return self.end(stream, serial, "the request is larger than what may wait for its responder: send a channel");
            }
        }
        let Some(entry) = self.streams.exact(stream, serial) else { return Delivered::Dropped };
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
                let mut copy = BytesMut::from(&packet.bytes()[..]);
                step.patch(&mut copy, stream);
                let fits = window.park(copy, ends_item, &self.bounds.window);
                self.parked += window.parked() - before;
                if !fits || self.parked > self.bounds.park {
                    return self.end(stream, serial, "more items were sent than were asked for");
                }
                return Delivered::Queued;
            }
            is_early = arrival == Arrival::Early;
            if ends_item {
                mark = Mark::Item;
            }
        }
        step.patch(packet.bytes(), stream);
        self.push(stream, serial, mark, packet);
        self.arrived(stream, serial, step);
        if is_early { Delivered::Early } else { Delivered::Queued }
    }

    fn end(&mut self, stream: StreamId, serial: Serial, text: &'static str) -> Delivered<L> {
        let leg = self.finish(stream, serial, ErrorCode::CANCELED, text);
        leg.map_or(Delivered::Dropped, |leg| Delivered::Effect(Effect::Finish(leg, text)))
    }

    /// What a frame queued for this app does to its stream.
    fn arrived(&mut self, stream: StreamId, serial: Serial, step: Step) {
        let Some(entry) = self.streams.exact(stream, serial) else { return };
        let sender = match entry.role {
            Role::Requester => Role::Responder,
            Role::Responder => Role::Requester,
        };
        match step.kind {
            FrameType::Error => entry.halves.apply(sender, Signal::Error),
            FrameType::Cancel => entry.halves.apply(sender, Signal::Cancel),
            FrameType::Payload => {
                if sender == Role::Requester && entry.is_request_open {
                    entry.is_request_open = step.follows();
                }
                if step.is_complete() {
                    entry.halves.apply(sender, Signal::Complete);
                }
            }
            _ => {}
        }
        if entry.is_over() {
            self.forget(stream);
        }
    }

    /// Credit for this link's app.
    pub(crate) fn grant(&mut self, stream: StreamId, serial: Serial, n: u32) {
        let Some(entry) = self.streams.exact(stream, serial) else { return };
        if entry.is_cancelled || !entry.halves.is_open(entry.role) {
            return;
        }
        self.push_frame(stream, serial, Mark::Plain, Frame::request_n(stream, n));
    }

    /// A cancelled request of this app has ended at its responder.
    pub(crate) fn release(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }

    /// The broker ends this side of a stream: ERROR to a requester, CANCEL to a responder. Returns the other side.
    pub(crate) fn finish(&mut self, stream: StreamId, serial: Serial, code: ErrorCode, text: &str) -> Option<Leg<L>> {
        let entry = self.streams.exact(stream, serial)?;
        let leg = entry.leg();
        match entry.role {
            _ if entry.is_cancelled => return None,
            Role::Requester if entry.kind == FrameType::RequestFnf => drop(self.forget(stream)),
            Role::Requester => {
                self.outbox.remove(stream, Some(serial));
                self.forget(stream);
                self.push_frame(stream, serial, Mark::Plain, Frame::error(stream, code, text));
            }
            Role::Responder => drop(self.cancel(stream, serial, false)),
        }
        leg
    }

    /// Tells the responder to stop; the entry counts on until it has.
    fn cancel(&mut self, stream: StreamId, serial: Serial, is_counted: bool) -> Option<Effect<L>> {
        let is_unheard = self.outbox.remove(stream, Some(serial));
        let entry = self.streams.exact(stream, serial)?;
        let release = entry.leg().filter(|_| is_counted).map(Effect::Release);
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
            self.push_frame(stream, serial, Mark::Plain, Frame::cancel(stream));
        }
        if is_unheard || is_quiet {
            self.forget(stream);
            return release;
        }
        self.lingering[1].push((stream, serial));
        if self.lingering[1].len() >= self.bounds.streams.1 / 8 {
            self.probe_cancelled();
        }
        None
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

    /// `n` bytes of `writing` were taken by the socket; credit that becomes free goes to `effects`.
    pub(crate) fn written(&mut self, writing: &mut Writing, n: usize, effects: &mut Vec<Effect<L>>) {
        let share = self.share();
        let Self { streams, bounds, .. } = self;
        writing.written(n, |record| {
            if record.mark != Mark::Item {
                return;
            }
            let Some(entry) = streams.exact(record.stream, record.serial) else { return };
            let Some(window) = &mut entry.window else { return };
            window.written();
            let grant = window.grant(&bounds.window, share);
            if grant > 0 {
                effects.extend(entry.leg().map(|leg| Effect::Grant(leg, grant)));
            }
        });
    }

    /// Takes everything out of a link that closes: the legs to end, and the requesters whose cancelled streams end.
    pub(crate) fn close(&mut self) -> (Vec<Leg<L>>, Vec<Leg<L>>) {
        self.is_closed = true;
        self.outbox = Outbox::default();
        (self.parked, self.windowed, self.lingering) = (0, 0, [Vec::new(), Vec::new()]);
        let (cancelled, open): (Vec<_>, Vec<_>) = self.streams.drain().into_values().partition(|entry| entry.is_cancelled);
        let legs = |entries: Vec<Entry<L>>| entries.iter().filter_map(Entry::leg).collect();
        (legs(open), legs(cancelled))
    }

    fn forget(&mut self, stream: StreamId) -> Option<Entry<L>> {
        let entry = self.streams.remove(stream)?;
        if let Some(window) = &entry.window {
            self.windowed -= 1;
            self.parked -= window.parked();
        }
        Some(entry)
    }

    // Queueing.

    /// Queues an ERROR for a request that was not taken.
    pub(crate) fn refuse(&mut self, stream: StreamId, code: ErrorCode, text: &str) {
        self.push_frame(stream, Serial::NONE, Mark::Refusal, Frame::error(stream, code, text));
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

    fn push_frame(&mut self, stream: StreamId, serial: Serial, mark: Mark, mut frame: Frame) {
        self.push(stream, serial, mark, &mut Packet::Small(frame.bytes_mut()));
    }

    fn push(&mut self, stream: StreamId, serial: Serial, mark: Mark, packet: &mut Packet<'_>) {
        if self.is_closed {
            return;
        }
        let record = Record { stream, serial, len: 0, mark };
        frame::set_stream_id(packet.bytes(), stream);
        match packet {
            Packet::Small(bytes) => self.outbox.push_small(record, bytes),
            Packet::Large(wire) if wire.len() <= LENGTH + self.bounds.small_frame => {
                self.outbox.push_small(record, &wire[LENGTH..]);
            }
            Packet::Large(wire) => self.outbox.push_large(record, std::mem::take(wire)),
        }
    }
}
