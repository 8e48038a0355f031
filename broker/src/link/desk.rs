//! A desk: where a service inside the process takes whole requests for one answer straight from the relay, instead of over
//! its link. Nothing is written for it and read again, and no second stream is opened.
//!
//! ```text
//!  begin (requester) --take--> the desk           a Ticket goes with each request
//!  deliver (requester) <--Answers-- anybody       at any time, from any thread
//! ```
//! Invariant: what an app asks of the service is taken in its order. A request that goes over the link is a detour, and
//! until it has been answered so are those behind it.

use super::packet::{Packet, Step};
use super::state::{Delivered, State};
use super::streams::Serial;
use super::writer::Touched;
use super::{Link, StreamId};
use rsocket::frame::{HEADER, LENGTH, flags};
use rsocket::{ErrorCode, Frame, FrameType};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Takes requests whose metadata it knows.
pub(crate) trait Desk: fmt::Debug + Send + Sync {
    /// Whether composite metadata, all of it, says that a request is for the desk.
    fn knows(&self, metadata: &[u8]) -> bool;

    /// Takes the data of a whole request that has such metadata.
    ///
    /// # Errors
    /// The ticket comes back: the request is for the service.
    fn take(&self, data: &[u8], ticket: Ticket) -> Result<(), Ticket>;

    /// Nothing more comes of this read.
    fn taken(&self);
}

/// Whom to answer. Dropped, the request fails.
pub(crate) struct Ticket {
    /// None once it is answered, or given back.
    link: Option<Arc<Link>>,
    stream: StreamId,
    serial: Serial,
}

impl Ticket {
    pub(crate) fn new(link: Arc<Link>, stream: StreamId, serial: Serial) -> Self {
        Self { link: Some(link), stream, serial }
    }

    /// Somebody else answers.
    pub(crate) fn give_back(mut self) {
        self.link = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            let again = Self { link: Some(link), ..*self };
            Answers::default().fail(again, ErrorCode::APPLICATION_ERROR, "the handler of this request failed");
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Answers that wait for one link's lock at most.
const TOGETHER: usize = 256;
/// Answers after which what was given is written, though more are to come.
const WRITTEN: usize = 1024;

/// Answers that are given together: a link is locked once for those that come one after the other, and written once for all.
/// They are given when this is dropped, at the latest.
#[derive(Default)]
pub(crate) struct Answers {
    /// Whom those that wait are for.
    link: Option<Arc<Link>>,
    waiting: Vec<(StreamId, Serial, Range<usize>)>,
    /// Their frames.
    wires: Vec<u8>,
    /// Given, and perhaps not written.
    given: usize,
    touched: Touched,
}

impl Answers {
    /// Answers with a payload, which `write` appends.
    pub(crate) fn payload(&mut self, mut ticket: Ticket, write: impl FnOnce(&mut Vec<u8>)) {
        let Some(link) = ticket.link.take() else { return };
        self.begin(link);
        let from = self.wires.len();
        let head = u16::from(FrameType::Payload as u8) << 10 | flags::NEXT | flags::COMPLETE;
        self.wires.extend_from_slice(&[0; LENGTH + 4]);
        self.wires.extend_from_slice(&head.to_be_bytes());
        debug_assert_eq!(self.wires.len() - from, LENGTH + HEADER);
        write(&mut self.wires);
        let len = (self.wires.len() - from - LENGTH) as u32;
        self.wires[from..from + LENGTH].copy_from_slice(&len.to_be_bytes()[1..]);
        self.waiting.push((ticket.stream, ticket.serial, from..self.wires.len()));
    }

    /// Answers with an error.
    pub(crate) fn fail(&mut self, mut ticket: Ticket, code: ErrorCode, text: &str) {
        let Some(link) = ticket.link.take() else { return };
        self.begin(link);
        let from = self.wires.len();
        self.wires.extend_from_slice(&Frame::error(ticket.stream, code, text).into_wire());
        self.waiting.push((ticket.stream, ticket.serial, from..self.wires.len()));
    }

    /// The next answer is for this link.
    fn begin(&mut self, link: Arc<Link>) {
        if self.link.as_ref().is_some_and(|of| Arc::ptr_eq(of, &link)) && self.waiting.len() < TOGETHER {
            return;
        }
        self.deliver();
        if self.given >= WRITTEN {
            self.given = 0;
            self.touched.flush();
        }
        self.link = Some(link);
    }

    fn deliver(&mut self) {
        let Self { link, waiting, wires, given, touched } = self;
        let Some(link) = link.take() else { return };
        let mut effects = Vec::new();
        *given += waiting.len();
        link.with(touched, |state| {
            for (stream, serial, frame) in waiting.drain(..) {
                let wire = &mut wires[frame];
                let step = Step::read(&wire[LENGTH..]);
                if let Delivered::Effect(effect) = state.deliver(stream, serial, step, &mut Packet::Small(wire)) {
                    effects.push(effect);
                }
            }
        });
        wires.clear();
        effects.into_iter().for_each(|effect| touched.apply(effect));
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return self.deliver();
        }
        // What broke had nothing to do with these.
        if self.link.is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let mut left = std::mem::take(self);
            runtime.spawn(async move { left.deliver() });
        }
    }
}

impl<L: Clone> State<L> {
    /// Whether requests of this app may go over a desk now.
    pub(crate) fn is_direct(&self) -> bool {
        self.detours == 0 && !self.owes
    }

    /// A request of this app goes over the link of a service that has a desk.
    pub(crate) fn detour(&mut self, stream: StreamId, step: Step) {
        let entry = self.streams.entry(stream).filter(|_| step.kind == FrameType::RequestResponse);
        match entry {
            Some(entry) => {
                self.detours += usize::from(!std::mem::replace(&mut entry.is_detour, true));
                self.owes = false;
            }
            // Nobody says when it was taken. It was, once a request behind it has been answered.
            None => self.owes = true,
        }
    }

    /// A detour ends without an answer: neither it nor what went before it is known to have been taken.
    pub(super) fn lose_detour(&mut self) {
        self.detours -= 1;
        self.owes = true;
    }
}
