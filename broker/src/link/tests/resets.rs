//! Ids and serials, and streams that are opened only to be cancelled.

use super::*;
use rsocket::frame::MAX_STREAM_ID;
use rsocket::stream::Role;

/// A requester's link, a responder's, and the next id of the requester's app.
pub(super) struct Pair {
    pub a: State<char>,
    pub b: State<char>,
    next: StreamId,
}

impl Pair {
    pub(super) fn new(bounds: Bounds) -> Self {
        let bounds = Arc::new(bounds);
        Self { a: State::new(1, bounds.clone()), b: State::new(2, bounds), next: 1 }
    }

    /// Opens a stream; gives both ids and the serial.
    pub(super) fn open(
        &mut self,
        kind: FrameType,
        bits: u16,
        n: u32,
        body: &[u8],
    ) -> Result<(StreamId, StreamId, Serial), Refusal> {
        self.next += 2;
        let frame = Frame::request(kind, self.next, bits, n, data(body));
        let step = Step::read(frame.view().bytes());
        let (serial, share, size) = match self.a.begin(self.next, step) {
            Begin::Started { serial, share, size } => (serial, share, size),
            Begin::Refused(refusal) => return Err(refusal),
            Begin::Ignored => panic!("a new id"),
        };
        let opening = Opening { step, serial, share, size };
        let next = self.next;
        match as_packet(frame, 64, |_, packet| self.b.open(('a', next), opening, packet)) {
            Ok(opened) => {
                self.a.fill(next, serial, 'b', opened).unwrap();
                Ok((next, opened.stream, serial))
            }
            Err(refusal) => {
                self.a.abort(next, serial);
                Err(refusal)
            }
        }
    }

    /// The requester's app sends a frame.
    pub(super) fn up(&mut self, frame: Frame) {
        let mut step = Step::read(frame.view().bytes());
        let effect = match self.a.depart(frame.view().stream_id(), &mut step) {
            Departure::Forward(leg) => {
                as_packet(frame, 64, |_, packet| self.b.deliver(leg.stream, leg.serial, step, packet))
            }
            Departure::Effect(effect) => Delivered::Effect(effect),
            Departure::Stays | Departure::Empty | Departure::Dropped => return,
        };
        if let Delivered::Effect(effect) = effect {
            self.apply(effect);
        }
    }

    /// The responder's app sends a frame.
    pub(super) fn down(&mut self, frame: Frame) {
        let mut step = Step::read(frame.view().bytes());
        let effect = match self.b.depart(frame.view().stream_id(), &mut step) {
            Departure::Forward(leg) => {
                as_packet(frame, 64, |_, packet| self.a.deliver(leg.stream, leg.serial, step, packet))
            }
            Departure::Effect(effect) => Delivered::Effect(effect),
            Departure::Stays | Departure::Empty | Departure::Dropped => return,
        };
        if let Delivered::Effect(effect) = effect {
            self.apply(effect);
        }
    }

    fn link(&mut self, name: char) -> &mut State<char> {
        if name == 'a' { &mut self.a } else { &mut self.b }
    }

    fn apply(&mut self, effect: Effect<char>) {
        match effect {
            Effect::Grant(leg, n) => self.link(leg.link).grant(leg.stream, leg.serial, n),
            Effect::Linger(leg) => self.link(leg.link).linger(),
            Effect::Release(leg) => self.link(leg.link).release(),
            Effect::Finish(leg, text) => {
                self.link(leg.link).finish(leg.stream, leg.serial, ErrorCode::CANCELED, text);
            }
        }
    }

    /// Both apps read everything; the responder's answers each KEEPALIVE if `echoes`.
    pub(super) fn read(&mut self, echoes: bool) -> (Vec<Frame>, Vec<Frame>) {
        let mut effects = Vec::new();
        let at_a = written(&mut self.a, &mut effects);
        let at_b = written(&mut self.b, &mut effects);
        for frame in at_b.iter().filter(|frame| echoes && frame.view().kind() == FrameType::Keepalive) {
            effects.extend(self.b.echoed(frame.view().data()));
        }
        effects.into_iter().for_each(|effect| self.apply(effect));
        (at_a, at_b)
    }
}

#[test]
fn ids_wrap_and_skip_those_in_use() {
    let mut pair = Pair::new(small_bounds());
    let ids: Vec<_> = (0..3).map(|_| pair.open(FrameType::RequestStream, 0, 1, b"x").unwrap().1).collect();
    assert_eq!(ids, [2, 4, 6]);
    pair.read(true);
    pair.down(Frame::payload(4, flags::COMPLETE, PayloadParts::default()));
    pair.b.streams.set_last_id(MAX_STREAM_ID - 3);
    let ids: Vec<_> = (0..4).map(|_| pair.open(FrameType::RequestStream, 0, 1, b"x").unwrap().1).collect();
    assert_eq!(ids, [MAX_STREAM_ID - 1, 4, 8, 10], "2 and 6 are in use");
}

#[test]
fn what_names_an_old_serial_does_not_touch_the_stream_that_has_its_id_now() {
    let mut pair = Pair::new(small_bounds());
    let (_, old_id, old) = pair.open(FrameType::RequestChannel, 0, 1, b"old").unwrap();
    pair.read(true);
    pair.down(Frame::error(old_id, ErrorCode::APPLICATION_ERROR, "over"));
    pair.b.streams.set_last_id(0);
    let (_, id, new) = pair.open(FrameType::RequestChannel, 0, 1, b"new").unwrap();
    assert_eq!((id, new == old), (old_id, false));
    pair.read(true);
    for frame in [
        Frame::payload(1, flags::NEXT, data(b"late")),
        Frame::payload(1, flags::COMPLETE, PayloadParts::default()),
        Frame::error(1, ErrorCode::CANCELED, "late"),
        Frame::cancel(1),
    ] {
        let late = as_packet(frame, 64, |step, packet| pair.b.deliver(id, old, step, packet));
        assert!(matches!(late, Delivered::Dropped));
    }
    pair.b.grant(id, old, 7);
    assert!(pair.b.finish(id, old, ErrorCode::CANCELED, "late").is_none());
    assert!(pair.read(true).1.is_empty());
    assert!(pair.b.finish(id, new, ErrorCode::CANCELED, "meant").is_some());
}

#[test]
fn serials_never_repeat() {
    let mut seen = std::collections::HashSet::new();
    for link in [1, 2, 3] {
        let mut state = State::<char>::new(link, Arc::new(small_bounds()));
        for _ in 0..1000 {
            assert!(seen.insert(state.streams.draw_serial()));
        }
    }
    assert!(!seen.contains(&Serial::NONE));
}

#[test]
fn a_flood_of_requests_and_cancels_stays_within_max_streams_until_the_echo() {
    let mut pair = Pair::new(small_bounds());
    let mut refused = 0;
    for nth in 0..1000 {
        match pair.open(FrameType::RequestStream, 0, 1, b"flood") {
            Ok((stream, ..)) => {
                // Every second CANCEL comes while the request is still queued.
                if nth % 2 == 0 {
                    pair.read(false);
                }
                pair.up(Frame::cancel(stream));
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Streams);
                refused += 1;
            }
        }
        assert!(pair.a.requests() <= 12 && pair.b.streams.count(Role::Responder) <= 16);
    }
    assert!(refused > 400, "{refused}");
    // The first probe's echo frees what was cancelled before it, the second one's the rest.
    pair.read(false);
    let effects = pair.b.echoed(b"cancelled");
    effects.into_iter().for_each(|effect| pair.apply(effect));
    pair.b.probe_cancelled();
    pair.read(true);
    assert_eq!((pair.a.requests(), pair.b.streams.len(), pair.b.lingering()), (0, 0, 0));
}

#[test]
fn a_request_cancelled_before_it_was_written_costs_nothing() {
    let mut pair = Pair::new(small_bounds());
    for _ in 0..1000 {
        let (stream, ..) = pair.open(FrameType::RequestResponse, 0, 1, b"unheard").expect("nothing counts");
        pair.up(Frame::cancel(stream));
        assert_eq!((pair.a.requests(), pair.b.streams.len(), pair.b.weight()), (0, 0, 0));
    }
}

#[test]
fn the_terminal_frame_of_a_cancelled_stream_frees_both_sides() {
    let ends = [
        |stream| Frame::payload(stream, flags::COMPLETE, PayloadParts::default()),
        |stream| Frame::payload(stream, flags::NEXT | flags::COMPLETE, data(b"last")),
        |stream| Frame::error(stream, ErrorCode::APPLICATION_ERROR, "stopped"),
    ];
    for end in ends {
        let mut pair = Pair::new(small_bounds());
        let (stream, id, _) = pair.open(FrameType::RequestStream, 0, 5, b"x").unwrap();
        pair.read(false);
        pair.up(Frame::cancel(stream));
        assert_eq!((pair.a.requests(), pair.b.streams.len()), (1, 1));
        pair.down(Frame::payload(id, flags::NEXT, data(b"on its way")));
        assert_eq!((pair.a.requests(), pair.b.streams.len()), (1, 1), "an item is no end");
        pair.down(end(id));
        assert_eq!((pair.a.requests(), pair.b.streams.len()), (0, 0));
        assert!(pair.read(false).0.is_empty(), "nothing reaches who has cancelled");
    }
}

#[test]
fn an_error_on_its_way_to_a_responder_survives_that_responders_cancel() {
    let mut pair = Pair::new(small_bounds());
    let (stream, id, _) = pair.open(FrameType::RequestChannel, 0, 5, b"x").unwrap();
    pair.read(true);
    pair.up(Frame::error(stream, ErrorCode::APPLICATION_ERROR, "requester"));
    // It wants no more items, but goes on sending its own: only ERROR tells it to stop.
    pair.down(Frame::cancel(id));
    assert_eq!(pair.read(true).1[0].view().kind(), FrameType::Error);
}

#[test]
fn a_fragment_of_an_answer_does_not_free_a_cancelled_request() {
    let mut pair = Pair::new(small_bounds());
    let (stream, id, _) = pair.open(FrameType::RequestResponse, 0, 0, b"x").unwrap();
    pair.read(false);
    pair.up(Frame::cancel(stream));
    pair.down(Frame::payload(id, flags::NEXT | flags::FOLLOWS, data(b"part")));
    assert_eq!(pair.b.streams.len(), 1);
    pair.down(Frame::payload(id, flags::NEXT, data(b"rest")));
    assert_eq!(pair.b.streams.len(), 0);
}

#[test]
fn an_honest_take_of_one_is_never_refused() {
    let mut pair = Pair::new(small_bounds());
    for nth in 0..500 {
        let (stream, id, _) =
            pair.open(FrameType::RequestStream, 0, 5, b"take(1)").unwrap_or_else(|why| panic!("{nth}: {why:?}"));
        pair.read(true);
        pair.down(Frame::payload(id, flags::NEXT, data(b"first")));
        pair.read(true);
        pair.up(Frame::cancel(stream));
        pair.read(true);
    }
}

#[test]
fn a_cancel_that_crosses_the_end_of_its_stream_is_not_counted_forever() {
    let mut pair = Pair::new(small_bounds());
    for nth in 0..100 {
        let (stream, id, _) =
            pair.open(FrameType::RequestStream, 0, 5, b"x").unwrap_or_else(|why| panic!("{nth}: {why:?}"));
        pair.read(true);
        // The responder's link has read COMPLETE, the requester's has not got it yet.
        let mut step = Step::read(Frame::payload(id, flags::COMPLETE, PayloadParts::default()).view().bytes());
        let Departure::Forward(_) = pair.b.depart(id, &mut step) else { panic!("COMPLETE is relayed") };
        pair.up(Frame::cancel(stream));
        assert_eq!((pair.a.requests(), pair.b.streams.len()), (0, 0));
    }
}

#[test]
fn a_responder_that_ends_streams_but_echoes_nothing_makes_no_list_grow() {
    let mut pair = Pair::new(small_bounds());
    for _ in 0..5000 {
        let (stream, id, _) = pair.open(FrameType::RequestStream, 0, 5, b"x").unwrap();
        pair.read(false);
        pair.up(Frame::cancel(stream));
        pair.down(Frame::payload(id, flags::COMPLETE, PayloadParts::default()));
    }
    assert!(pair.b.lingering() < 200, "{} ended streams are remembered", pair.b.lingering());
}
