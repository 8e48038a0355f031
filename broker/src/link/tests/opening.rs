//! The opening of a stream, interrupted at every point by everything that can come in between.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    AnswerPart,
    AnswerWhole,
    AnswerError,
    CloseRequester,
    CloseResponder,
    EndAtRequester,
    EndAtResponder,
}

/// What the requester is told at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Complete,
    Error,
    Nothing,
}

/// What the responder's app has seen: nothing at all, a request it could answer, a request and its CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Request,
    Cancelled,
}

const ALL: [Event; 8] = [
    Event::Nothing,
    Event::AnswerPart,
    Event::AnswerWhole,
    Event::AnswerError,
    Event::CloseRequester,
    Event::CloseResponder,
    Event::EndAtRequester,
    Event::EndAtResponder,
];
const A: usize = 0;
const S1: StreamId = 1;

struct Scene {
    links: Vec<State<usize>>,
    b: usize,
    serial: Serial,
    responder: StreamId,
    /// Frames each app has got.
    got: Vec<Vec<Frame>>,
}

impl Scene {
    fn begin(kind: FrameType, is_self: bool, n: u32) -> (Self, Opening, Frame) {
        let links = (1..3).map(|id| State::new(id, Arc::new(small_bounds()))).collect();
        let frame = Frame::request(kind, S1, 0, n, data(b"request"));
        let step = Step::read(frame.view().bytes());
        let mut scene = Self {
            links,
            b: usize::from(!is_self),
            serial: Serial::NONE,
            responder: 0,
            got: vec![Vec::new(), Vec::new()],
        };
        let Begin::Started { serial, share, size } = scene.links[A].begin(S1, step) else { panic!("not begun") };
        scene.serial = serial;
        assert_eq!(scene.links[A].begin(S1, step), Begin::Ignored, "the id is taken from now on");
        (scene, Opening { step, serial, share, size }, frame)
    }

    /// Sends a frame of the responder's app.
    fn answer(&mut self, frame: Frame) {
        let mut step = Step::read(frame.view().bytes());
        if let Departure::Forward(leg) = self.links[self.b].depart(self.responder, &mut step) {
            let delivered =
                as_packet(frame, 64, |_, packet| self.links[leg.link].deliver(leg.stream, leg.serial, step, packet));
            assert!(!matches!(delivered, Delivered::Overrun), "credit was given for it");
            self.apply(match delivered {
                Delivered::Effect(effect) => Some(effect),
                _ => None,
            });
        }
    }

    fn apply(&mut self, effects: impl IntoIterator<Item = Effect<usize>>) {
        for effect in effects {
            match effect {
                Effect::Grant(leg, n) => self.links[leg.link].grant(leg.stream, leg.serial, n),
                Effect::Linger(leg) => self.links[leg.link].linger(),
                Effect::Release(leg) => self.links[leg.link].release(),
                Effect::Finish(leg, text) => {
                    self.links[leg.link].finish(leg.stream, leg.serial, ErrorCode::CANCELED, text);
                }
            }
        }
    }

    fn flush(&mut self) {
        for at in 0..2 {
            let mut effects = Vec::new();
            if !self.links[at].is_closed {
                self.got[at].extend(written(&mut self.links[at], &mut effects));
            }
            self.apply(effects);
        }
    }

    fn close(&mut self, at: usize) {
        if self.links[at].is_closed {
            return;
        }
        let (open, cancelled) = self.links[at].close();
        for leg in open {
            self.links[leg.link].finish(leg.stream, leg.serial, ErrorCode::CANCELED, "closed");
        }
        self.apply(cancelled.into_iter().map(Effect::Release));
    }

    fn end(&mut self, at: usize, stream: StreamId) {
        if let Some(leg) = self.links[at].finish(stream, self.serial, ErrorCode::CANCELED, "budget") {
            self.links[leg.link].finish(leg.stream, leg.serial, ErrorCode::CANCELED, "budget");
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Nothing => {}
            Event::AnswerPart => {
                self.answer(Frame::payload(self.responder, flags::NEXT | flags::FOLLOWS, data(b"part")));
            }
            Event::AnswerWhole => {
                self.answer(Frame::payload(self.responder, flags::NEXT | flags::COMPLETE, data(b"whole")));
            }
            Event::AnswerError => self.answer(Frame::error(self.responder, ErrorCode::APPLICATION_ERROR, "failed")),
            Event::CloseRequester => self.close(A),
            Event::CloseResponder => self.close(self.b),
            Event::EndAtRequester => self.end(A, S1),
            Event::EndAtResponder => self.end(self.b, self.responder),
        }
    }

    fn run(kind: FrameType, is_self: bool, point: usize, event: Event, is_flushed: bool) -> (Told, Heard) {
        let (mut scene, opening, frame) = Self::begin(kind, is_self, 3);
        if point == 0 {
            scene.happen(event);
        }
        let b = scene.b;
        let opened = as_packet(frame, 64, |_, packet| scene.links[b].open((A, S1), opening, packet));
        match opened {
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Closed);
                if scene.links[A].abort(S1, scene.serial) {
                    scene.links[A].refuse(S1, ErrorCode::REJECTED, "gone");
                }
            }
            Ok(opened) => {
                scene.responder = opened.stream;
                if is_flushed {
                    scene.flush();
                }
                if point == 1 {
                    scene.happen(event);
                }
                if is_flushed {
                    scene.flush();
                }
                match scene.links[A].fill(S1, scene.serial, b, opened) {
                    Ok(effect) => scene.apply(effect),
                    Err(_) => {
                        scene.links[b].finish(opened.stream, scene.serial, ErrorCode::CANCELED, "ended meanwhile");
                    }
                }
                if point == 2 {
                    scene.happen(event);
                }
                scene.flush();
                // The responder answers whatever it still may.
                if scene.heard() == Heard::Request {
                    scene.happen(Event::AnswerWhole);
                }
            }
        }
        scene.finish(kind)
    }

    fn heard(&self) -> Heard {
        let seen = |kind| {
            self.got[self.b].iter().any(|frame| frame.view().kind() == kind && frame.view().stream_id() % 2 == 0)
        };
        let has_request = self.got[self.b].iter().any(|frame| frame.view().kind().is_request());
        assert!(has_request || !seen(FrameType::Cancel), "CANCEL for a request that was never heard of");
        match (has_request, seen(FrameType::Cancel)) {
            (false, _) => Heard::Nothing,
            (true, false) => Heard::Request,
            (true, true) => Heard::Cancelled,
        }
    }

    /// Brings everything to rest and tells what the apps know.
    fn finish(mut self, kind: FrameType) -> (Told, Heard) {
        // A channel's requester ends its own direction once it was answered.
        if kind == FrameType::RequestChannel && self.links[A].streams.contains(S1) {
            let frame = Frame::payload(S1, flags::COMPLETE, PayloadParts::default());
            let mut step = Step::read(frame.view().bytes());
            if let Departure::Forward(leg) = self.links[A].depart(S1, &mut step) {
                as_packet(frame, 64, |_, packet| {
                    let _ = self.links[leg.link].deliver(leg.stream, leg.serial, step, packet);
                });
            }
        }
        self.flush();
        for at in 0..2 {
            self.links[at].probe_cancelled();
            self.flush();
            let effects = self.links[at].echoed(b"cancelled");
            self.apply(effects);
        }
        for (at, link) in self.links.iter().enumerate() {
            assert_eq!(link.streams.len(), 0, "link {at} has streams left");
            assert_eq!(link.weight(), 0);
            assert!(link.is_closed || link.requests() == 0);
        }
        let towards = self.got[A].iter().filter(|frame| frame.view().stream_id() == S1);
        let ends: Vec<_> = towards
            .filter_map(|frame| match frame.view().kind() {
                FrameType::Error => Some(Told::Error),
                FrameType::Payload if frame.view().has(flags::COMPLETE) => Some(Told::Complete),
                _ => None,
            })
            .collect();
        assert!(ends.len() <= 1, "a request ends once: {:?}", self.got[A]);
        (ends.first().copied().unwrap_or(Told::Nothing), self.heard())
    }
}

/// The table: what each event at each point (0 after begin, 1 after open, 2 after fill) must lead to.
fn expected(point: usize, event: Event, is_self: bool, is_flushed: bool) -> (Told, Heard) {
    // Whoever has the request already is told to stop; otherwise it is taken back.
    let taken_back = match point {
        _ if is_flushed && point > 0 => Heard::Cancelled,
        _ => Heard::Nothing,
    };
    let was_heard = if is_flushed && point > 0 { Heard::Request } else { Heard::Nothing };
    match event {
        Event::CloseRequester | Event::CloseResponder if is_self => (Told::Nothing, was_heard),
        Event::Nothing | Event::AnswerPart | Event::AnswerWhole => (Told::Complete, Heard::Request),
        Event::AnswerError => (Told::Error, Heard::Request),
        Event::CloseRequester if point == 0 && is_flushed => (Told::Nothing, Heard::Cancelled),
        Event::CloseRequester => (Told::Nothing, taken_back),
        Event::CloseResponder => (Told::Error, was_heard),
        Event::EndAtRequester if point == 0 && is_flushed => (Told::Error, Heard::Cancelled),
        Event::EndAtRequester | Event::EndAtResponder => (Told::Error, taken_back),
    }
}

#[test]
fn whatever_interrupts_an_opening_ends_both_sides_once() {
    for kind in [FrameType::RequestResponse, FrameType::RequestStream, FrameType::RequestChannel] {
        for (point, is_self, is_flushed) in (0..12).map(|n| (n % 3, n / 3 % 2 == 1, n / 6 == 1)) {
            for event in ALL {
                let needs_responder = !matches!(
                    event,
                    Event::Nothing | Event::CloseRequester | Event::CloseResponder | Event::EndAtRequester
                );
                if needs_responder && point == 0 {
                    continue;
                }
                // An app cannot answer a request that was not written to it.
                let is_answer = matches!(event, Event::AnswerPart | Event::AnswerWhole | Event::AnswerError);
                if is_answer && !is_flushed {
                    continue;
                }
                let outcome = Scene::run(kind, is_self, point, event, is_flushed);
                let table = expected(point, event, is_self, is_flushed);
                assert_eq!(
                    outcome, table,
                    "{kind:?}, {event:?} at point {point}, self call: {is_self}, written: {is_flushed}"
                );
            }
        }
    }
}

#[test]
fn credit_used_up_before_fill_is_renewed_by_it() {
    for early in 0..=8 {
        let (mut scene, opening, frame) = Scene::begin(FrameType::RequestStream, false, 100);
        let opened = as_packet(frame, 64, |_, packet| scene.links[1].open((A, S1), opening, packet)).unwrap();
        scene.responder = opened.stream;
        scene.flush();
        let mut credit = scene.got[1][0].view().request_n();
        assert_eq!(credit, 8);
        let mut sent = 0;
        while sent < early {
            scene.answer(Frame::payload(opened.stream, flags::NEXT, data(b"item")));
            sent += 1;
            scene.flush();
        }
        let effect = scene.links[A].fill(S1, scene.serial, 1, opened).unwrap();
        scene.apply(effect);
        for _ in 0..1000 {
            scene.flush();
            credit += scene.got[1]
                .drain(..)
                .skip(usize::from(credit == 0))
                .map(|frame| match frame.view().kind() {
                    FrameType::RequestN => frame.view().request_n(),
                    _ => 0,
                })
                .sum::<u32>();
            if sent == credit {
                break;
            }
            scene.answer(Frame::payload(opened.stream, flags::NEXT, data(b"item")));
            sent += 1;
        }
        assert_eq!(
            sent, 100,
            "the requester asked for 100 and reads, but after {early} early items the credit stopped"
        );
    }
}

#[test]
fn a_request_that_was_ended_while_endpoints_were_tried_is_not_refused_again() {
    let (mut scene, _, _) = Scene::begin(FrameType::RequestResponse, false, 1);
    scene.end(A, S1);
    assert!(!scene.links[A].abort(S1, scene.serial), "its app was told already");
}

#[test]
fn a_single_fire_and_forget_leaves_no_entry_and_no_answer_reaches_its_requester() {
    let (mut scene, opening, frame) = {
        let links = (1..3).map(|id| State::new(id, Arc::new(small_bounds()))).collect();
        let frame = Frame::request(FrameType::RequestFnf, S1, 0, 0, data(b"event"));
        let mut scene = Scene { links, b: 1, serial: Serial::NONE, responder: 0, got: vec![Vec::new(), Vec::new()] };
        let step = Step::read(frame.view().bytes());
        let Begin::Started { serial, share, size } = scene.links[A].begin(S1, step) else { panic!() };
        (scene, Opening { step, serial, share, size }, frame)
    };
    let opened = as_packet(frame, 64, |_, packet| scene.links[1].open((A, S1), opening, packet)).unwrap();
    scene.responder = opened.stream;
    assert_eq!(scene.links[A].streams.len() + scene.links[1].streams.len(), 0);
    scene.flush();
    assert_eq!(scene.heard(), Heard::Request);
    scene.happen(Event::AnswerWhole);
    scene.happen(Event::AnswerError);
    scene.flush();
    assert!(scene.got[A].is_empty());
}
