//! How a request takes its place in two tables, one lock at a time: the requester's side first, so that it can be answered
//! at any moment, then the responder's, then the requester's again.

use super::outbox::Mark;
use super::packet::{Packet, Step};
use super::state::{Effect, State};
use super::streams::{Entry, Serial};
use super::window::Window;
use rsocket::frame;
use rsocket::stream::{Halves, Role};
use rsocket::{FrameType, StreamId};

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
    /// Its lease allows no more requests.
    Lease,
}

/// What a request asks of the two tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub step: Step,
    pub serial: Serial,
    /// Bytes a window towards the requester may hold; of no account without one.
    pub share: usize,
    /// What the requester's items are expected to weigh.
    pub size: usize,
}

/// What `begin` says of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Started {
        serial: Serial,
        share: usize,
        size: usize,
    },
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

impl<L: Clone> State<L> {
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
        if self.granted == Some(0) {
            return Begin::Refused(Refusal::Lease);
        }
        self.granted.iter_mut().for_each(|left| *left -= 1);
        let serial = self.streams.draw_serial();
        if !step.is_single() {
            let window = step.is_windowed().then(|| Box::new(Window::new(step.n.into())));
            self.windowed += usize::from(window.is_some());
            self.insert(stream, serial, Role::Requester, step, None, window);
        }
        let share = if step.is_windowed() { self.share() } else { 0 };
        Begin::Started { serial, share, size: self.item_size }
    }

    /// The responder's side: the request is queued under an id of this link's own.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was queued, `packet` is untouched and another endpoint may be tried.
    pub(crate) fn open(
        &mut self,
        from: (L, StreamId),
        opening: Opening,
        packet: &mut Packet<'_>,
    ) -> Result<Opened, Refusal> {
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
        } else if self.lease.as_mut().is_some_and(|lease| !lease.spend()) {
            return Err(Refusal::Lease);
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

    /// The requester's side, last step: the stream has its other leg.
    ///
    /// # Errors
    /// The stream ended meanwhile: the caller gets the link back, to cancel the other leg.
    pub(crate) fn fill(
        &mut self,
        stream: StreamId,
        serial: Serial,
        to: L,
        opened: Opened,
    ) -> Result<Option<Effect<L>>, L> {
        let Some(entry) = self.streams.exact(stream, serial) else { return Err(to) };
        entry.to = Some((to, opened.stream));
        if entry.window.is_none() {
            return Ok(None);
        }
        let share = self.share();
        let Some(entry) = self.streams.exact(stream, serial) else { return Ok(None) };
        let Some(window) = &mut entry.window else { return Ok(None) };
        window.opened(opened.passed, opened.size);
        let grant = window.grant(&self.bounds.window, share);
        Ok(entry.leg().filter(|_| grant > 0).map(|leg| Effect::Grant(leg, grant)))
    }

    /// The requester's side: no responder took the request. False if it has ended meanwhile, and its app been told.
    pub(crate) fn abort(&mut self, stream: StreamId, serial: Serial) -> bool {
        self.streams.exact(stream, serial).is_some() && self.forget(stream).is_some()
    }

    fn insert(
        &mut self,
        stream: StreamId,
        serial: Serial,
        role: Role,
        step: Step,
        to: Option<(L, StreamId)>,
        window: Option<Box<Window>>,
    ) {
        let entry = Entry {
            serial,
            kind: step.kind,
            role,
            halves: Halves::open(step.kind, step.is_complete() && !step.follows()),
            to,
            is_request_open: step.follows(),
            is_sending: false,
            sent: 0,
            is_receiving: false,
            is_cancelled: false,
            is_detour: false,
            opened: self.outbox.place(),
            unchecked: 0,
            window,
        };
        self.streams.insert(stream, entry);
    }
}
