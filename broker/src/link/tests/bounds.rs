//! What a link refuses, and what it ends.

use super::resets::Pair;
use super::*;

/// Queues so many bytes.
fn fill(state: &mut State<char>, bytes: usize) {
    state.outbox.push_control(Frame::keepalive(true, &vec![0; bytes - 17]).into_wire());
    assert_eq!(state.outbox.bytes(), bytes);
}

#[test]
fn requests_to_a_link_are_refused_by_what_waits_for_it() {
    let (small, large) = (&[0; 8][..], &[0; 300][..]);
    // Marks of 2,000 bytes: small requests up to three of them, larger ones up to two.
    let table = [
        (2001, false, small, Ok(())),
        (4000, false, large, Ok(())),
        (4001, false, large, Err(Refusal::Busy)),
        (4001, false, small, Ok(())),
        (6000, false, small, Ok(())),
        (6001, false, small, Err(Refusal::Busy)),
        (2000, true, small, Ok(())),
        (2001, true, small, Err(Refusal::Busy)),
    ];
    for (bytes, is_stalled, body, result) in table {
        let bounds = Bounds { refuse: (3, 2), ..small_bounds() };
        let mut pair = Pair::new(bounds);
        fill(&mut pair.b, bytes);
        pair.b.is_stalled = is_stalled;
        for kind in [FrameType::RequestResponse, FrameType::RequestFnf] {
            let opened = pair.open(kind, 0, 1, body).map(drop);
            assert_eq!(opened, result, "{bytes} bytes wait, stalled: {is_stalled}, request of {} bytes", body.len());
            if opened.is_ok() {
                break;
            }
            assert_eq!(pair.b.outbox.bytes(), bytes, "a refused request leaves nothing");
            assert_eq!((pair.a.streams.len(), pair.b.streams.len()), (0, 0));
        }
    }
}

#[test]
fn a_draining_or_closed_link_takes_no_new_streams_and_keeps_those_it_has() {
    let mut pair = Pair::new(small_bounds());
    let (stream, id, _) = pair.open(FrameType::RequestResponse, 0, 1, b"before").unwrap();
    pair.b.is_draining = true;
    assert_eq!(pair.open(FrameType::RequestResponse, 0, 1, b"after"), Err(Refusal::Draining));
    pair.read(true);
    pair.down(Frame::payload(id, flags::NEXT | flags::COMPLETE, data(b"answer")));
    assert_eq!(pair.read(true).0[0].view().stream_id(), stream);
    pair.b.close();
    assert_eq!(pair.open(FrameType::RequestResponse, 0, 1, b"x"), Err(Refusal::Closed));
    pair.a.close();
    let frame = Frame::request(FrameType::RequestResponse, 1, 0, 1, data(b"x"));
    assert_eq!(pair.a.begin(1, Step::read(frame.view().bytes())), Begin::Ignored);
}

#[test]
fn only_who_is_stalled_over_its_mark_may_not_ask() {
    for (bytes, is_stalled, is_refused) in [(9000, false, false), (2000, true, false), (2001, true, true)] {
        let mut pair = Pair::new(small_bounds());
        fill(&mut pair.a, bytes);
        pair.a.is_stalled = is_stalled;
        let opened = pair.open(FrameType::RequestResponse, 0, 1, b"x");
        assert_eq!(opened.is_err(), is_refused, "{bytes} bytes wait, stalled: {is_stalled}");
    }
}

#[test]
fn streams_are_bounded_on_both_links() {
    let mut pair = Pair::new(small_bounds());
    for _ in 0..12 {
        pair.open(FrameType::RequestStream, 0, 1, b"x").unwrap();
    }
    assert_eq!(pair.open(FrameType::RequestStream, 0, 1, b"x"), Err(Refusal::Streams));
    let mut pair = Pair::new(Bounds { streams: (100, 16), ..small_bounds() });
    for _ in 0..16 {
        pair.open(FrameType::RequestStream, 0, 1, b"x").unwrap();
    }
    assert_eq!(pair.open(FrameType::RequestStream, 0, 1, b"x"), Err(Refusal::Streams));
    assert_eq!(pair.a.streams.len(), 16, "what was refused is gone from the requester's link");
    let mut pair = Pair::new(small_bounds().unbounded());
    for _ in 0..1000 {
        pair.open(FrameType::RequestStream, 0, 1, &[0; 300]).expect("a link inside the process has no such bounds");
    }
}

#[test]
fn a_request_whose_fragments_pile_up_is_ended() {
    for is_written in [false, true] {
        let mut pair = Pair::new(small_bounds());
        let (stream, _, _) = pair.open(FrameType::RequestChannel, flags::FOLLOWS, 1, &[1; 300]).unwrap();
        for _ in 0..20 {
            if is_written {
                pair.read(true);
            }
            pair.up(Frame::payload(stream, flags::NEXT | flags::FOLLOWS, data(&[2; 300])));
            assert!(pair.b.weight() < 1000 + 2 * 400);
        }
        let errors = pair.read(true).0;
        assert_eq!(errors.len(), usize::from(!is_written), "who reads may be sent any number of fragments");
        assert_eq!(pair.a.streams.len(), usize::from(is_written));
        assert_eq!(pair.b.streams.len(), usize::from(is_written), "the responder never heard of it");
    }
}

#[test]
fn items_nobody_asked_for_are_parked_up_to_a_bound_per_stream_and_then_end_it() {
    let mut pair = Pair::new(small_bounds());
    let (stream, id, _) = pair.open(FrameType::RequestStream, 0, 1, b"x").unwrap();
    pair.read(true);
    for _ in 0..3 {
        pair.down(Frame::payload(id, flags::NEXT, data(&[3; 100])));
    }
    assert_eq!(pair.read(true).0.len(), 1);
    assert_eq!(pair.a.parked(), 2 * (109 + 64));
    pair.up(Frame::request_n(stream, 1));
    assert_eq!(pair.read(true).0.len(), 1, "released as asked");
    for _ in 0..3 {
        pair.down(Frame::payload(id, flags::NEXT, data(&[3; 100])));
    }
    let (at_a, at_b) = pair.read(true);
    assert_eq!(at_a.last().unwrap().view().kind(), FrameType::Error);
    assert_eq!(at_a.len(), 1, "what was parked went with the stream");
    assert_eq!(at_b.last().unwrap().view().kind(), FrameType::Cancel);
    assert_eq!((pair.a.parked(), pair.a.streams.len()), (0, 0));
}

#[test]
fn what_is_parked_on_a_link_is_bounded_too() {
    let mut pair = Pair::new(small_bounds());
    let ids: Vec<_> = (0..4).map(|_| pair.open(FrameType::RequestStream, 0, 1, b"x").unwrap().1).collect();
    pair.read(true);
    for id in &ids {
        for _ in 0..4 {
            pair.down(Frame::payload(*id, flags::NEXT, data(&[3; 100])));
        }
    }
    assert!(pair.a.parked() <= 1500);
    let errors = pair.read(true).0.iter().filter(|frame| frame.view().kind() == FrameType::Error).count();
    assert_eq!(errors, 2, "1,500 bytes hold the 510 of two streams, not of three");
}

#[test]
fn the_window_opens_again_as_the_receiver_comes_below_its_mark() {
    let mut pair = Pair::new(small_bounds());
    pair.open(FrameType::RequestStream, 0, 100, b"x").unwrap();
    fill(&mut pair.a, 2001);
    let (stream, id, _) = pair.open(FrameType::RequestStream, 0, 100, b"x").unwrap();
    let first = pair.read(true).1.into_iter().find(|frame| frame.view().stream_id() == id).unwrap();
    assert_eq!(first.view().request_n(), 1, "one by one while the receiver is over its mark");
    pair.down(Frame::payload(id, flags::NEXT, data(b"item")));
    assert_eq!(pair.read(true).0[0].view().stream_id(), stream);
    let grant = pair.read(true).1;
    assert!(grant[0].view().request_n() > 1, "{grant:?}");
}

#[test]
fn a_fragment_that_carries_nothing_is_not_relayed_unless_it_begins_an_item() {
    let nothing = [PayloadParts::default(), PayloadParts { metadata: Some(b""), data: b"" }];
    let empty = |stream, nth: usize| Frame::payload(stream, flags::NEXT | flags::FOLLOWS, nothing[nth % 2]);
    let mut pair = Pair::new(small_bounds());
    let (stream, id, _) = pair.open(FrameType::RequestChannel, flags::FOLLOWS, 9, b"x").unwrap();
    pair.read(true);
    // Of the request, which has begun already; its last fragment may be empty, and crosses.
    (0..9).for_each(|nth| pair.up(empty(stream, nth)));
    assert_eq!(pair.read(true).1.len(), 0);
    pair.up(Frame::payload(stream, flags::NEXT, PayloadParts::default()));
    assert_eq!(pair.read(true).1.len(), 1);
    // Of an item each way: the first one begins it, and an empty item has no other.
    for is_up in [true, false] {
        let send = |pair: &mut Pair, frame| if is_up { pair.up(frame) } else { pair.down(frame) };
        pair.down(Frame::request_n(id, 9));
        pair.read(true);
        let from = if is_up { stream } else { id };
        (0..9).for_each(|nth| send(&mut pair, empty(from, nth)));
        send(&mut pair, Frame::payload(from, flags::FOLLOWS, data(b"part")));
        send(&mut pair, Frame::payload(from, flags::NEXT, PayloadParts::default()));
        let (at_a, at_b) = pair.read(true);
        let arrived = if is_up { at_b } else { at_a };
        let lens: Vec<_> = arrived.iter().map(|frame| frame.view().data().len()).collect();
        assert_eq!(lens, [0, 4, 0], "sent by the requester: {is_up}");
    }
}
