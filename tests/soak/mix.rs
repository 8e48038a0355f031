//! A responder of everything, and a requester that asks for everything, by turns.

use crate::harness::*;
use std::collections::HashMap;
use tokio::time::Interval;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, StreamId, flags};

/// The responder refuses, or never answers, requests whose data begin so.
const REFUSE: u8 = b'e';
const NEVER: u8 = b'n';

/// A stream that this responder serves.
enum Open {
    /// The data of a call so far.
    Call(Vec<u8>),
    /// Items still to come, of this size, and credit.
    Items { left: u64, size: usize, credit: u64 },
    /// Items that came and are to go back, and credit.
    Echo { waiting: Vec<Vec<u8>>, has_ended: bool, credit: u64 },
}

/// Serves until its connection ends.
pub(crate) async fn serve(address: &str) {
    let mut peer = Peer::connect(address).await;
    // Requests come as soon as it is in force.
    peer.send(Setup::anonymous().service("test.Mix").frame()).await;
    let mut open: HashMap<StreamId, Open> = HashMap::new();
    while let Some(frame) = peer.next().await {
        let view = frame.view();
        let (stream, data) = (view.stream_id(), view.data().to_vec());
        let mut answer = Vec::new();
        match view.kind() {
            FrameType::RequestResponse if view.has(flags::FOLLOWS) => drop(open.insert(stream, Open::Call(data))),
            FrameType::RequestResponse => match data.first() {
                Some(&REFUSE) => answer.push(error(stream, 0x201, "as asked")),
                Some(&NEVER) => {}
                _ => answer.push(last(stream, &data)),
            },
            FrameType::RequestStream => {
                let [left, size] =
                    [&data[..8], &data[8..16]].map(|part| u64::from_be_bytes(part.try_into().expect("8 bytes")));
                open.insert(stream, Open::Items { left, size: size as usize, credit: view.request_n().into() });
            }
            FrameType::RequestChannel => {
                let (has_ended, credit) = (view.has(flags::COMPLETE), view.request_n().into());
                open.insert(stream, Open::Echo { waiting: vec![data], has_ended, credit });
                answer.push(Frame::request_n(stream, 4));
            }
            FrameType::Payload => match open.get_mut(&stream) {
                Some(Open::Call(call)) => {
                    call.extend(data);
                    if !view.has(flags::FOLLOWS) {
                        answer.push(last(stream, call));
                        open.remove(&stream);
                    }
                }
                Some(Open::Echo { waiting, has_ended, .. }) => {
                    *has_ended |= view.has(flags::COMPLETE);
                    if view.has(flags::NEXT) {
                        waiting.push(data);
                        answer.push(Frame::request_n(stream, 1));
                    }
                }
                _ => {}
            },
            FrameType::RequestN => {
                if let Some(Open::Items { credit, .. } | Open::Echo { credit, .. }) = open.get_mut(&stream) {
                    *credit += u64::from(view.request_n());
                }
            }
            FrameType::Cancel | FrameType::Error => drop(open.remove(&stream)),
            _ => {}
        }
        match open.get_mut(&stream) {
            Some(Open::Items { left, size, credit }) => {
                while *left > 0 && *credit > 0 {
                    (*left, *credit) = (*left - 1, *credit - 1);
                    answer.push(item(stream, &vec![7; *size]));
                }
                if *left == 0 {
                    answer.push(complete(stream));
                    open.remove(&stream);
                }
            }
            Some(Open::Echo { waiting, has_ended, credit }) => {
                let count = waiting.len().min(*credit as usize);
                *credit -= count as u64;
                answer.extend(waiting.drain(..count).map(|data| item(stream, &data)));
                if *has_ended && waiting.is_empty() {
                    answer.push(complete(stream));
                    open.remove(&stream);
                }
            }
            _ => {}
        }
        let bytes: Vec<u8> = answer.iter().flat_map(|frame| frame.wire().to_vec()).collect();
        if !bytes.is_empty() && !peer.try_send_bytes(&bytes).await {
            return;
        }
    }
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// As they should.
    pub good: u64,
    /// With ERROR: asked for, or the responder had gone.
    pub errors: u64,
}

/// A requester that has one request at a time open.
pub(crate) struct Caller {
    pub peer: Peer,
    random: fastrand::Rng,
    stream: StreamId,
    pub ends: Ends,
}

impl Caller {
    pub(crate) async fn join(address: &str, seed: u64) -> Self {
        let peer = Peer::join(address, &Setup::anonymous()).await;
        Self { peer, random: fastrand::Rng::with_seed(seed), stream: 1, ends: Ends::default() }
    }

    fn next_stream(&mut self) -> StreamId {
        self.stream += 2;
        self.stream
    }

    fn data(&mut self) -> Vec<u8> {
        let size = match self.random.u32(..100) {
            0 => 1 << 20,
            1..5 => 100_000,
            _ => self.random.usize(1..1000),
        };
        vec![self.random.u8(b'A'..=b'Z'); size]
    }

    /// One interaction, to its end.
    pub(crate) async fn interact(&mut self) {
        let stream = self.next_stream();
        match self.random.u32(..10) {
            0..3 => {
                let data = self.data();
                self.peer.send(call(stream, "test.Mix.call", &data)).await;
                self.answer(stream, &data).await;
            }
            3 => self.fragmented(stream).await,
            4 => self.items(stream, None).await,
            5 => {
                let after = self.random.u64(1..20);
                self.items(stream, Some(after)).await;
            }
            6 => self.channel(stream).await,
            7 => {
                let data = self.data();
                self.peer.send(forget(stream, "test.Mix.tell", &data)).await;
            }
            8 => {
                let event = br#"{"specversion":"1.0","id":"1","source":"test","type":"test.soak","data":{}}"#;
                self.peer.send(Frame::metadata_push(event)).await;
                self.peer.send(call(stream, "test.Mix.call", &[NEVER])).await;
                self.peer.send(Frame::cancel(stream)).await;
            }
            _ => {
                self.peer.send(call(stream, "test.Mix.call", &[REFUSE])).await;
                let frame = self.of(stream).await;
                assert_eq!(frame.view().kind(), FrameType::Error, "{frame:?}");
                self.ends.errors += 1;
            }
        }
    }

    /// The next frame of this stream; what comes of cancelled ones is passed over.
    async fn of(&mut self, stream: StreamId) -> Frame {
        loop {
            let frame = self.peer.awaiting("a frame of the open stream").await;
            if frame.view().stream_id() == stream {
                return frame;
            }
            assert_ne!(frame.view().stream_id(), 0, "{frame:?}");
        }
    }

    /// Whether this is the ERROR of a stream whose responder has gone.
    fn is_lost(&mut self, frame: &Frame) -> bool {
        let is_lost = frame.view().kind() == FrameType::Error;
        self.ends.errors += u64::from(is_lost);
        is_lost
    }

    async fn answer(&mut self, stream: StreamId, data: &[u8]) {
        let frame = self.of(stream).await;
        if !self.is_lost(&frame) {
            assert!(frame.view().has(flags::COMPLETE) && frame.view().data() == data, "{frame:?}");
            self.ends.good += 1;
        }
    }

    async fn fragmented(&mut self, stream: StreamId) {
        let metadata = route("test.Mix.call");
        let parts = PayloadParts { metadata: Some(&metadata), data: b"one " };
        let first = Frame::request(FrameType::RequestResponse, stream, flags::FOLLOWS, 0, parts);
        let rest = [payload(stream, flags::FOLLOWS | flags::NEXT, b"two "), payload(stream, flags::NEXT, b"three")];
        self.peer.send_all([first].into_iter().chain(rest)).await;
        self.answer(stream, b"one two three").await;
    }

    async fn items(&mut self, stream_id: StreamId, cancel_after: Option<u64>) {
        let (total, size) = (self.random.u64(1..60), self.random.u64(1..4000));
        let asked = [total.to_be_bytes(), size.to_be_bytes()].concat();
        self.peer.send(stream(stream_id, 8, "test.Mix.list", &asked)).await;
        let mut count = 0;
        loop {
            let frame = self.of(stream_id).await;
            if self.is_lost(&frame) {
                return;
            }
            count += u64::from(frame.view().has(flags::NEXT));
            if frame.view().has(flags::COMPLETE) {
                assert_eq!(count, total, "items of stream {stream_id}");
                self.ends.good += 1;
                return;
            }
            if cancel_after.is_some_and(|after| count >= after) {
                return self.peer.send(Frame::cancel(stream_id)).await;
            }
            if count % 8 == 0 {
                self.peer.send(Frame::request_n(stream_id, 8)).await;
            }
        }
    }

    async fn channel(&mut self, stream: StreamId) {
        const ITEMS: u64 = 10;
        self.peer.send(channel(stream, 0, 100, "test.Mix.chat", b"0")).await;
        let (mut sent, mut credit, mut count) = (1, 0, 0);
        loop {
            let frame = self.of(stream).await;
            if self.is_lost(&frame) {
                return;
            }
            if frame.view().kind() == FrameType::RequestN {
                credit += u64::from(frame.view().request_n());
                while credit > 0 && sent < ITEMS {
                    (credit, sent) = (credit - 1, sent + 1);
                    let frame = if sent == ITEMS { last(stream, b"9") } else { item(stream, b"5") };
                    self.peer.send(frame).await;
                }
                continue;
            }
            count += u64::from(frame.view().has(flags::NEXT));
            if frame.view().has(flags::COMPLETE) {
                assert_eq!(count, ITEMS, "items of channel {stream}");
                self.ends.good += 1;
                return;
            }
        }
    }

    /// Opens streams, reads nothing of them for so many ticks, and goes.
    pub(crate) async fn abandon(mut self, pace: &mut Interval, ticks: u32) {
        for _ in 0..3 {
            let id = self.next_stream();
            let asked = [u64::MAX.to_be_bytes(), 1000u64.to_be_bytes()].concat();
            self.peer.send(stream(id, MAX_N, "test.Mix.list", &asked)).await;
        }
        let id = self.next_stream();
        self.peer.send(call(id, "test.Mix.call", &[NEVER])).await;
        for _ in 0..ticks {
            pace.tick().await;
        }
    }
}
