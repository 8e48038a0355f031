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

    /// Takes whole requests that have such metadata, by their data and in their order, up to one that is for the service.
    /// Returns how many: for each of these it asks for the ticket, by its number.
    fn take(&self, requests: &[&[u8]], ticket: &mut dyn FnMut(usize) -> Ticket) -> usize;
}

/// Whom to answer. Dropped, the request fails.
pub(crate) struct Ticket {
    /// None once it is answered.
    link: Option<Arc<Link>>,
    stream: StreamId,
    serial: Serial,
}

impl Ticket {
    pub(crate) fn new(link: Arc<Link>, stream: StreamId, serial: Serial) -> Self {
        Self { link: Some(link), stream, serial }
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

/// Answers that are given under one lock of a link at most.
const TOGETHER: usize = 256;
/// Answers after which those there are are given, though more are to come.
const GATHERED: usize = 1024;

/// Answers that are given together: a link is locked and written once for all of them that are for it. They are given when
/// this is dropped, at the latest.
#[derive(Default)]
pub(crate) struct Answers {
    /// In the order of the links, once they are given.
    waiting: Vec<(Arc<Link>, StreamId, Serial, Range<usize>)>,
    /// Their frames.
    wires: Vec<u8>,
}

impl Answers {
    /// Answers with a payload, which `write` appends.
    pub(crate) fn payload(&mut self, ticket: Ticket, write: impl FnOnce(&mut Vec<u8>)) {
        self.push(ticket, |wires, _| {
            let from = wires.len();
            let head = u16::from(FrameType::Payload as u8) << 10 | flags::NEXT | flags::COMPLETE;
            wires.extend_from_slice(&[0; LENGTH + 4]);
            wires.extend_from_slice(&head.to_be_bytes());
            debug_assert_eq!(wires.len() - from, LENGTH + HEADER);
            write(wires);
            let len = (wires.len() - from - LENGTH) as u32;
            wires[from..from + LENGTH].copy_from_slice(&len.to_be_bytes()[1..]);
        });
    }

    /// Answers with an error.
    pub(crate) fn fail(&mut self, ticket: Ticket, code: ErrorCode, text: &str) {
        self.push(ticket, |wires, stream| wires.extend_from_slice(&Frame::error(stream, code, text).into_wire()));
    }

    fn push(&mut self, mut ticket: Ticket, write: impl FnOnce(&mut Vec<u8>, StreamId)) {
        let Some(link) = ticket.link.take() else { return };
        if self.waiting.len() >= GATHERED {
            self.give();
        }
        let from = self.wires.len();
        write(&mut self.wires, ticket.stream);
        self.waiting.push((link, ticket.stream, ticket.serial, from..self.wires.len()));
    }

    fn give(&mut self) {
        let Self { waiting, wires } = self;
        waiting.sort_by_key(|(link, ..)| link.id);
        let mut touched = Touched::default();
        for of_link in waiting.chunk_by(|a, b| a.0.id == b.0.id).flat_map(|of_link| of_link.chunks(TOGETHER)) {
            let mut effects = Vec::new();
            of_link[0].0.with(&mut touched, |state| {
                for (_, stream, serial, frame) in of_link {
                    let wire = &mut wires[frame.clone()];
                    let step = Step::read(&wire[LENGTH..]);
                    if let Delivered::Effect(effect) = state.deliver(*stream, *serial, step, &mut Packet::Small(wire)) {
                        effects.push(effect);
                    }
                }
            });
            effects.into_iter().for_each(|effect| touched.apply(effect));
            // Whoever has its answers can go on.
            touched.flush();
        }
        waiting.clear();
        wires.clear();
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return self.give();
        }
        // What broke had nothing to do with these.
        if !self.waiting.is_empty()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let mut left = std::mem::take(self);
            runtime.spawn(async move { left.give() });
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
