//! Whatever the order of steps: nothing is mixed up, nothing is lost, everything ends and nothing is left.

use super::apps::{Call, Requester, Responder};
use super::world::World;
use super::*;
use proptest::prelude::*;

/// What must hold once everything has come to rest.
fn check_rest(world: &mut World) {
    let World { nodes, calls, .. } = world;
    for (at, node) in nodes.iter_mut().enumerate() {
        if node.state.is_closed {
            assert!(node.state.streams.len() == 0 && node.state.weight() == 0, "a closed link holds something");
            continue;
        }
        for (stream, requester) in &node.requesters {
            check_requester(requester, &calls[requester.call as usize], at, *stream);
        }
        for (stream, responder) in &node.responders {
            check_responder(responder, &calls[responder.call as usize], at, *stream);
        }
        assert_eq!(node.state.streams.len(), 0, "link {at} has streams left: {:?}", node.state);
        assert_eq!(node.state.requests(), 0, "requests of link {at} still count");
        assert_eq!(node.state.lingering(), 0);
        assert_eq!(node.state.weight(), 0, "link {at} holds bytes");
        // A windowed stream gets the share of one that is alone.
        let request = Frame::request(FrameType::RequestStream, 1, 0, 1, data(b"last"));
        let Begin::Started { share, .. } = node.state.begin(1, Step::read(request.view().bytes())) else {
            panic!("a link at rest takes a request");
        };
        assert_eq!(share, small_bounds().window.share(1, false), "link {at} counts windows that are gone");
    }
}

fn check_requester(requester: &Requester, call: &Call, at: usize, stream: StreamId) {
    assert!(requester.is_answered(), "stream {stream} of link {at} has no end: {requester:?} {call:?}");
    assert!(requester.is_over(), "stream {stream} of link {at} is half open: {requester:?} {call:?}");
    if requester.is_complete() {
        assert_eq!(requester.items(), call.sent[0], "items were lost: {requester:?}");
    }
}

fn check_responder(responder: &Responder, call: &Call, at: usize, stream: StreamId) {
    assert!(responder.is_over(), "stream {stream} towards link {at} has no end: {responder:?} {call:?}");
    if responder.is_up_complete() {
        assert_eq!(responder.up_items(), call.sent[1], "items were lost: {responder:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_steps_keeps_calls_apart_and_ends_them(
        nodes in 1usize..5,
        choices in prop::collection::vec(any::<u32>(), 0..5000),
    ) {
        let mut world = World::new(nodes, small_bounds(), choices);
        while !world.script.is_over() {
            world.step();
        }
        world.settle();
        check_rest(&mut world);
    }
}
