//! Plays a recording against a broker: one scripted peer is the app that was recorded, another stands for whoever was behind
//! the Java broker. The broker is between them, and what it passes on is compared.

use super::recording::{Event, Line, has_mime, on, parse, route};
use crate::harness::*;
use std::collections::HashMap;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameRef, FrameType, StreamId, flags};

/// What the Java broker, and this one, append to a request that says no type: that of SETUP, Hessian.
const APPENDED: [u8; 5] = [0xFA, 0, 0, 1, 0xA6];

/// A peer, and the credit it has.
#[derive(Debug)]
pub(super) struct Side {
    pub peer: Peer,
    credit: HashMap<StreamId, Credit>,
}

#[derive(Debug, Default)]
struct Credit {
    /// What the other side of the recording allowed.
    allowed: u64,
    /// What the broker passed on of it.
    granted: u64,
    sent: u64,
}

/// How many lines were played, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sent to the broker, for the broker itself.
    pub sent: usize,
    /// Expected of the broker itself, and matched.
    pub matched: usize,
    /// Sent by one peer and matched at the other.
    pub relayed: usize,
}

/// A recording being played.
#[derive(Debug)]
pub(super) struct Scene {
    pub app: Side,
    /// Nobody: nothing is behind the broker.
    pub other: Option<Side>,
    pub tally: Tally,
    /// Recorded streams that go through the broker: their ids at the app and at the other.
    streams: HashMap<StreamId, (StreamId, StreamId)>,
    /// The next stream of the other's own.
    next: StreamId,
}

impl Side {
    pub(super) fn new(peer: Peer) -> Self {
        Self { peer, credit: HashMap::new() }
    }

    /// The next frame that is no REQUEST_N; those count.
    async fn next(&mut self) -> Frame {
        loop {
            let frame = self.peer.recv().await;
            if !self.note(frame.view()) {
                return frame;
            }
        }
    }

    /// Takes what is credit. The rule: the broker gives it in portions of its own, and never more than it was given.
    fn note(&mut self, view: FrameRef<'_>) -> bool {
        let has_n = matches!(view.kind(), FrameType::RequestStream | FrameType::RequestChannel);
        if has_n || view.kind() == FrameType::RequestN {
            let credit = self.credit.entry(view.stream_id()).or_default();
            credit.granted += u64::from(view.request_n());
            assert!(credit.granted <= credit.allowed || has_n, "the broker made up credit: {credit:?}");
        }
        view.kind() == FrameType::RequestN
    }

    /// Waits until it may send one more item.
    async fn may_send(&mut self, stream: StreamId) {
        loop {
            let credit = self.credit.entry(stream).or_default();
            if credit.sent < credit.granted {
                credit.sent += 1;
                return;
            }
            let frame = self.peer.awaiting("credit").await;
            assert!(self.note(frame.view()), "{frame:?} instead of credit");
        }
    }

    /// Nothing else came; REQUEST_N may.
    pub(super) async fn expect_nothing(&mut self) {
        for frame in self.peer.fence().await {
            assert!(self.note(frame.view()), "unexpected: {frame:?}");
        }
    }
}

impl Scene {
    pub(super) fn new(app: Peer, other: Option<Peer>) -> Self {
        let (app, other) = (Side::new(app), other.map(Side::new));
        Self { app, other, tally: Tally::default(), streams: HashMap::new(), next: 1 }
    }

    pub(super) async fn play(&mut self, line: &Line) {
        match &line.event {
            Event::End => {
                // Whoever closed first in the recording: here it is the broker, after ERROR on stream 0.
                self.app.peer.expect_closed().await;
                self.tally.matched += 1;
            }
            Event::Frame(frame) if line.is_from_app => self.play_from_app(frame).await,
            Event::Frame(frame) => self.play_to_app(frame).await,
        }
    }

    async fn play_from_app(&mut self, frame: &Frame) {
        let view = frame.view();
        let stream = view.stream_id();
        let is_for_broker = stream == 0
            || view.kind().is_request() && (self.other.is_none() || route(frame).starts_with("com.alibaba.rsocket."));
        if is_for_broker {
            self.app.peer.send(frame.clone()).await;
            self.tally.sent += 1;
            return;
        }
        let other = self.other.as_mut().expect("somebody is behind the broker");
        if view.kind().is_request() {
            let seen = request(&mut self.app, stream, other, frame, &appended(frame)).await;
            self.streams.insert(stream, (stream, seen));
        } else {
            let (at_app, at_other) = self.streams[&stream];
            pass((&mut self.app, at_app), (other, at_other), frame).await;
        }
        self.tally.relayed += 1;
    }

    async fn play_to_app(&mut self, frame: &Frame) {
        let view = frame.view();
        let stream = view.stream_id();
        if view.kind().is_request() {
            let other = self.other.as_mut().expect("somebody is behind the broker");
            let own = self.next;
            self.next += 2;
            // What the Java broker appended is the broker's to append.
            let sent = unappended(frame).unwrap_or_else(|| frame.clone());
            let seen = request(other, own, &mut self.app, &sent, frame.view().metadata().expect("it has some")).await;
            assert_eq!(seen, stream, "both brokers number the streams they open 2, 4, 6, ..");
            self.streams.insert(stream, (seen, own));
            self.tally.relayed += 1;
        } else if let Some((at_app, at_other)) = self.streams.get(&stream) {
            let other = self.other.as_mut().expect("somebody is behind the broker");
            pass((other, *at_other), (&mut self.app, *at_app), frame).await;
            self.tally.relayed += 1;
        } else {
            expect(&mut self.app, frame).await;
            self.tally.matched += 1;
        }
    }
}

/// What the broker itself says is what the Java broker said, byte for byte; hints come after the words of an error.
async fn expect(app: &mut Side, recorded: &Frame) {
    let frame = app.next().await;
    let (seen, wanted) = (frame.view(), recorded.view());
    if wanted.kind() == FrameType::Error {
        let head = (seen.kind(), seen.stream_id(), seen.error_code());
        assert_eq!(head, (wanted.kind(), wanted.stream_id(), wanted.error_code()), "{frame:?}");
        assert!(seen.data().starts_with(wanted.data()), "{}", String::from_utf8_lossy(seen.data()));
    } else {
        assert_eq!(seen.bytes(), wanted.bytes(), "{frame:?} is not {recorded:?}");
    }
}

/// Sends a request on this stream and says on which it arrived: nothing of it is changed but this metadata, the id, and the
/// initial n, which may be less.
async fn request(from: &mut Side, stream: StreamId, to: &mut Side, recorded: &Frame, metadata: &[u8]) -> StreamId {
    let wanted = recorded.view();
    from.peer.send(on(recorded, stream)).await;
    let frame = to.next().await;
    let seen = frame.view();
    assert_eq!((seen.kind(), seen.flags()), (wanted.kind(), wanted.flags()), "{frame:?} is not {recorded:?}");
    assert_eq!((seen.metadata(), seen.data()), (Some(metadata), wanted.data()), "of {recorded:?}");
    if matches!(wanted.kind(), FrameType::RequestStream | FrameType::RequestChannel) {
        assert!((1..=wanted.request_n()).contains(&seen.request_n()), "{} of {}", seen.request_n(), wanted.request_n());
        to.credit.entry(seen.stream_id()).or_default().allowed += u64::from(wanted.request_n());
        to.note(seen);
    }
    seen.stream_id()
}

/// Sends a later frame of a stream, which arrives byte for byte, the id excepted; credit in the broker's own portions.
async fn pass((from, sent_on): (&mut Side, StreamId), (to, seen_on): (&mut Side, StreamId), recorded: &Frame) {
    let wanted = recorded.view();
    if wanted.kind() == FrameType::RequestN {
        to.credit.entry(seen_on).or_default().allowed += u64::from(wanted.request_n());
        return from.peer.send(on(recorded, sent_on)).await;
    }
    // Those of a request with one answer need no credit.
    let is_item = wanted.kind() == FrameType::Payload && wanted.has(flags::NEXT);
    if is_item && (from.credit.contains_key(&sent_on) || !wanted.has(flags::COMPLETE)) {
        from.may_send(sent_on).await;
    }
    from.peer.send(on(recorded, sent_on)).await;
    let frame = to.next().await;
    assert_eq!(frame.view().bytes(), on(recorded, seen_on).view().bytes(), "{frame:?} is not {recorded:?}");
}

/// The metadata of a request as its responder gets it.
fn appended(frame: &Frame) -> Vec<u8> {
    let metadata = frame.view().metadata().expect("requests have metadata");
    if has_mime(frame) { metadata.to_vec() } else { [metadata, &APPENDED].concat() }
}

/// A request of a stock client before the Java broker appended the type: that has neither binary routing nor a type.
fn unappended(frame: &Frame) -> Option<Frame> {
    let view = frame.view();
    let bare = view.metadata()?.strip_suffix(&APPENDED).filter(|metadata| metadata[0] == 0xFE)?;
    let parts = PayloadParts { metadata: Some(bare), data: view.data() };
    let frame = Frame::request(view.kind(), view.stream_id(), 0, 0, parts);
    Some(parse(frame.view().bytes()))
}
