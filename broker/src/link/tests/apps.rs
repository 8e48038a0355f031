//! The apps of the model: what a requester and a responder do on one stream, and what they may be shown.
//!
//! Every payload is tagged with its call, direction, item and fragment, so that whoever gets one can tell whether it is
//! the one that must come next.

use super::*;
use rsocket::stream::{Halves, Role, Signal};

pub(super) const ANSWER: u8 = 2;
const REQUEST: u8 = 0;
const UP: u8 = 1;

/// What a payload says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub call: u32,
    direction: u8,
    item: u16,
    fragment: u8,
}

impl Tag {
    pub(super) fn bytes(self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&self.call.to_be_bytes());
        bytes.push(self.direction);
        bytes.extend_from_slice(&self.item.to_be_bytes());
        bytes.push(self.fragment);
        bytes.resize(size.max(8), self.call as u8);
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        let call = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        Self { call, direction: bytes[4], item: u16::from_be_bytes([bytes[5], bytes[6]]), fragment: bytes[7] }
    }
}

/// Where choices come from; zeros once they are used up.
#[derive(Debug)]
pub(super) struct Script {
    choices: Vec<u32>,
    at: usize,
}

impl Script {
    pub(super) fn new(choices: Vec<u32>) -> Self {
        Self { choices, at: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at >= self.choices.len()
    }

    pub(super) fn pick(&mut self, below: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        choice as usize % below
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }
}

/// What both ends of one call have done; the model's own knowledge.
#[derive(Debug)]
pub(super) struct Call {
    pub kind: FrameType,
    /// The endpoints to be tried.
    pub targets: Vec<usize>,
    /// Items asked for and sent, of the answer and of a channel's other direction.
    pub asked: [u64; 2],
    pub sent: [u64; 2],
}

/// Items in one direction, as their receiver sees them.
#[derive(Debug, Default)]
struct Incoming {
    items: u64,
    fragment: u8,
}

impl Incoming {
    /// A payload must be the one that follows what came before.
    fn take(&mut self, call: u32, direction: u8, frame: FrameRef<'_>, follows: bool) {
        let tag = Tag::read(frame.data());
        let expected = Tag { call, direction, item: self.items as u16, fragment: self.fragment };
        assert_eq!(tag, expected, "another payload than the one that must come next");
        self.fragment += 1;
        if !follows {
            (self.items, self.fragment) = (self.items + 1, 0);
        }
    }
}

/// Items in one direction, as their sender plans them.
#[derive(Debug)]
struct Outgoing {
    total: u64,
    sent: u64,
    fragments: u8,
    fragment: u8,
    size: usize,
    /// Ends with the last item's own C flag.
    ends_with_item: bool,
    ignores_credit: bool,
    credit: u64,
}

impl Outgoing {
    fn new(script: &mut Script, total: u64) -> Self {
        let fragments = if script.one_in(4) { 3 } else { 1 };
        Self {
            total,
            sent: 0,
            fragments,
            fragment: 0,
            size: [8, 20, 100, 300][script.pick(4)],
            ends_with_item: script.one_in(2),
            ignores_credit: script.one_in(6),
            credit: 0,
        }
    }

    fn is_mid_item(&self) -> bool {
        self.fragment > 0
    }

    fn can_send(&self) -> bool {
        self.is_mid_item() || self.sent == self.total || self.credit > self.sent || self.ignores_credit
    }

    /// The next frame of this direction; true if it is the last one.
    fn send(&mut self, stream: StreamId, call: u32, direction: u8, needs_complete: bool) -> (Frame, bool) {
        if self.sent == self.total {
            return (Frame::payload(stream, flags::COMPLETE, PayloadParts::default()), true);
        }
        let tag = Tag { call, direction, item: self.sent as u16, fragment: self.fragment };
        self.fragment += 1;
        let mut bits = flags::NEXT;
        let mut is_last = false;
        if self.fragment < self.fragments {
            bits |= flags::FOLLOWS;
        } else {
            (self.sent, self.fragment) = (self.sent + 1, 0);
            is_last = self.sent == self.total && self.ends_with_item;
            if is_last && needs_complete {
                bits |= flags::COMPLETE;
            }
        }
        (Frame::payload(stream, bits, data(&tag.bytes(self.size))), is_last)
    }
}

/// One call in its requester.
#[derive(Debug)]
pub(super) struct Requester {
    pub call: u32,
    kind: FrameType,
    halves: Halves,
    fragments: u8,
    fragment: u8,
    /// Sends no more of its request once it was answered.
    stops: bool,
    up: Outgoing,
    down: Incoming,
    /// COMPLETE, or an item with it, came.
    is_complete: bool,
    is_failed: bool,
    /// Ended by itself: what was on its way may still come.
    pub has_left: bool,
}

impl Requester {
    pub(super) fn open(script: &mut Script, calls: &mut Vec<Call>, nodes: usize, stream: StreamId) -> (Self, Frame) {
        use FrameType::{RequestChannel, RequestFnf, RequestResponse, RequestStream};
        let kind = [RequestResponse, RequestStream, RequestChannel, RequestFnf][script.pick(4)];
        let call = calls.len() as u32;
        let n = [1, 2, 5, 40][script.pick(4)];
        let first = script.pick(nodes);
        let targets = (0..nodes.min(3)).map(|nth| (first + nth) % nodes).collect();
        let fragments = if script.one_in(3) { 3 } else { 1 };
        let total = [0, 1, 2, 3, 5, 20][script.pick(6)];
        let is_channel = kind == RequestChannel;
        let is_complete = is_channel && fragments == 1 && script.one_in(3);
        let asked = match kind {
            RequestResponse => 1,
            RequestFnf => 0,
            _ => n,
        };
        calls.push(Call { kind, targets, asked: [asked, 0], sent: [0, 0] });
        let mut requester = Self {
            call,
            kind,
            halves: Halves::open(kind, is_complete),
            fragments,
            fragment: 0,
            stops: script.one_in(2),
            up: Outgoing::new(script, total),
            down: Incoming::default(),
            is_complete: false,
            is_failed: false,
            has_left: false,
        };
        let mut bits = if fragments > 1 { flags::FOLLOWS } else { 0 };
        bits |= if is_complete { flags::COMPLETE } else { 0 };
        let tag = requester.next_fragment();
        (requester, Frame::request(kind, stream, bits, n as u32, data(&tag)))
    }

    fn next_fragment(&mut self) -> Vec<u8> {
        self.fragment += 1;
        Tag { call: self.call, direction: REQUEST, item: 0, fragment: self.fragment - 1 }.bytes(self.up.size)
    }

    /// It sends no more, and waits for nothing.
    pub(super) fn is_over(&self) -> bool {
        let is_sent = self.fragment == self.fragments || self.has_stopped();
        self.has_left || self.halves.is_ended() && is_sent
    }

    fn has_stopped(&self) -> bool {
        self.stops && (self.is_failed || self.is_complete && self.halves.is_ended())
    }

    pub(super) fn is_answered(&self) -> bool {
        self.kind == FrameType::RequestFnf || self.has_left || self.is_complete || self.is_failed
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete && !self.is_failed && !self.has_left
    }

    pub(super) fn items(&self) -> u64 {
        self.down.items
    }

    /// The next thing it does, if there is any; in a hurry only what brings the call to its end.
    pub(super) fn act(
        &mut self,
        script: &mut Script,
        call: &mut Call,
        stream: StreamId,
        is_hurried: bool,
    ) -> Option<Frame> {
        if self.is_over() {
            return None;
        }
        if !is_hurried && script.one_in(14) {
            self.has_left = true;
            let is_error = self.kind == FrameType::RequestChannel && script.one_in(3);
            let error = Frame::error(stream, ErrorCode::APPLICATION_ERROR, "requester");
            return Some(if is_error { error } else { Frame::cancel(stream) });
        }
        if self.fragment < self.fragments && !self.has_stopped() {
            let tag = self.next_fragment();
            let bits = if self.fragment < self.fragments { flags::FOLLOWS | flags::NEXT } else { flags::NEXT };
            return Some(Frame::payload(stream, bits, data(&tag)));
        }
        let is_many = matches!(self.kind, FrameType::RequestStream | FrameType::RequestChannel);
        let is_waiting = is_many && self.halves.is_open(Role::Responder);
        let may_ask = if is_hurried { self.down.items == call.asked[0] } else { script.one_in(3) };
        if is_waiting && may_ask {
            let n = if is_hurried { 3 } else { 1 + script.pick(4) as u32 };
            call.asked[0] += u64::from(n);
            return Some(Frame::request_n(stream, n));
        }
        if self.halves.is_open(Role::Requester) && self.up.can_send() {
            let (frame, is_last) = self.up.send(stream, self.call, UP, true);
            call.sent[1] = self.up.sent;
            if is_last {
                self.halves.apply(Role::Requester, Signal::Complete);
            }
            return Some(frame);
        }
        None
    }

    pub(super) fn receive(&mut self, call: &mut Call, frame: FrameRef<'_>) {
        if self.has_left {
            return;
        }
        let step = Step::of(frame, frame.kind());
        assert_ne!(self.kind, FrameType::RequestFnf, "nothing answers a fire-and-forget: {frame:?}");
        match step.kind {
            FrameType::RequestN => {
                self.up.credit += u64::from(step.n);
                assert!(self.up.credit <= call.asked[1], "more credit was passed on than the responder gave");
            }
            FrameType::Cancel => {
                assert_eq!(self.kind, FrameType::RequestChannel);
                self.halves.apply(Role::Responder, Signal::Cancel);
            }
            FrameType::Error => {
                assert!(!self.is_failed, "a second ERROR");
                // A channel's own COMPLETE may have been on its way.
                let is_ended = self.halves.is_ended();
                assert!(!is_ended || self.kind == FrameType::RequestChannel, "an ERROR after the end");
                self.is_failed = !is_ended;
                self.halves.apply(Role::Responder, Signal::Error);
            }
            FrameType::Payload => {
                assert!(self.halves.is_open(Role::Responder), "a payload after the end: {frame:?}");
                if step.is_next() {
                    self.down.take(self.call, ANSWER, frame, step.follows());
                    assert!(self.down.items <= call.asked[0], "more items than were asked for");
                    let is_single = self.kind == FrameType::RequestResponse && !step.follows();
                    assert!(!is_single || step.is_complete(), "the answer of a request-response completes it");
                }
                if step.is_complete() {
                    self.is_complete = true;
                    self.halves.apply(Role::Responder, Signal::Complete);
                }
            }
            kind => panic!("{kind:?} towards a requester"),
        }
    }
}

/// One call in its responder.
#[derive(Debug)]
pub(super) struct Responder {
    pub call: u32,
    kind: FrameType,
    halves: Halves,
    is_request_open: bool,
    request: Incoming,
    up: Incoming,
    down: Outgoing,
    /// Answers before it has the whole request.
    is_early: bool,
    /// Goes on for a while after CANCEL.
    is_deaf: bool,
    is_cancelled: bool,
    /// Its up half ended by COMPLETE: nothing may be missing.
    is_up_complete: bool,
}

impl Responder {
    pub(super) fn open(script: &mut Script, calls: &mut [Call], frame: FrameRef<'_>, here: usize) -> Self {
        let step = Step::of(frame, frame.kind());
        let tag = Tag::read(frame.data());
        let call = calls.get_mut(tag.call as usize).expect("a call that was made");
        assert_eq!(call.kind, step.kind);
        assert!(call.targets.contains(&here));
        let mut request = Incoming::default();
        request.take(tag.call, REQUEST, frame, step.follows());
        let total = if step.kind == FrameType::RequestResponse {
            script.pick(4).min(1)
        } else {
            [0, 1, 2, 3, 5, 12, 30][script.pick(7)]
        };
        let mut down = Outgoing::new(script, total as u64);
        down.credit = if step.kind == FrameType::RequestResponse { 1 } else { step.n.into() };
        down.ends_with_item |= step.kind == FrameType::RequestResponse;
        let responder = Self {
            call: tag.call,
            kind: step.kind,
            halves: Halves::open(step.kind, step.is_complete()),
            is_request_open: step.follows(),
            request,
            up: Incoming::default(),
            down,
            is_early: script.one_in(4),
            is_deaf: script.one_in(4),
            is_cancelled: false,
            is_up_complete: step.is_complete(),
        };
        assert!(responder.down.credit <= call.asked[0], "more credit than was asked for");
        responder
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_cancelled || self.halves.is_ended() && (!self.is_request_open || self.kind != FrameType::RequestFnf)
    }

    pub(super) fn stop(&mut self) {
        self.is_deaf &= !self.is_cancelled;
    }

    pub(super) fn is_up_complete(&self) -> bool {
        self.kind == FrameType::RequestChannel && self.is_up_complete && !self.is_cancelled
    }

    pub(super) fn up_items(&self) -> u64 {
        self.up.items
    }

    pub(super) fn act(
        &mut self,
        script: &mut Script,
        call: &mut Call,
        stream: StreamId,
        is_hurried: bool,
    ) -> Option<Frame> {
        if self.kind == FrameType::RequestFnf || self.is_cancelled && !self.is_deaf || self.halves.is_ended() {
            return None;
        }
        if self.is_request_open && !self.is_early {
            return None;
        }
        if !is_hurried && script.one_in(20) {
            self.halves.apply(Role::Responder, Signal::Error);
            return Some(Frame::error(stream, ErrorCode::APPLICATION_ERROR, "responder"));
        }
        if self.halves.is_open(Role::Requester) && !self.is_cancelled {
            if !is_hurried && script.one_in(20) {
                self.halves.apply(Role::Responder, Signal::Cancel);
                return Some(Frame::cancel(stream));
            }
            let may_ask = if is_hurried { self.up.items == call.asked[1] } else { script.one_in(3) };
            if may_ask {
                let n = if is_hurried { 3 } else { 1 + script.pick(4) as u32 };
                call.asked[1] += u64::from(n);
                return Some(Frame::request_n(stream, n));
            }
        }
        if self.halves.is_open(Role::Responder) && self.down.can_send() {
            let needs_complete = self.kind != FrameType::RequestResponse || script.one_in(2);
            let (frame, is_last) = self.down.send(stream, self.call, ANSWER, needs_complete);
            call.sent[0] = self.down.sent;
            if is_last {
                self.halves.apply(Role::Responder, Signal::Complete);
            }
            return Some(frame);
        }
        None
    }

    pub(super) fn receive(&mut self, call: &mut Call, frame: FrameRef<'_>) {
        let step = Step::of(frame, frame.kind());
        assert!(!self.is_cancelled, "{frame:?} after CANCEL");
        match step.kind {
            FrameType::RequestN => {
                self.down.credit += u64::from(step.n);
                assert!(self.down.credit <= call.asked[0], "more credit than was asked for");
            }
            FrameType::Cancel => self.is_cancelled = true,
            FrameType::Error => {
                assert_eq!(self.kind, FrameType::RequestChannel);
                self.halves.apply(Role::Requester, Signal::Error);
                (self.is_cancelled, self.is_deaf) = (true, false);
            }
            FrameType::Payload if self.is_request_open => {
                self.request.take_more(self.call, frame, step.follows());
                self.is_request_open = step.follows();
            }
            FrameType::Payload => {
                if step.is_next() {
                    self.up.take(self.call, UP, frame, step.follows());
                    assert!(self.up.items <= call.asked[1], "more items than were asked for");
                }
                if step.is_complete() {
                    self.is_up_complete = self.halves.is_open(Role::Requester);
                    self.halves.apply(Role::Requester, Signal::Complete);
                }
            }
            kind => panic!("{kind:?} towards a responder"),
        }
    }
}

impl Incoming {
    fn take_more(&mut self, call: u32, frame: FrameRef<'_>, follows: bool) {
        self.take(call, REQUEST, frame, follows);
    }
}
