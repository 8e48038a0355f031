//! Whole peers that behave badly: dead, deaf, slow, or in a hurry to take back what they asked.

use crate::harness::*;
use crate::scene::Scene;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};
use towline_rsocket::{Frame, FrameType, flags};

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_is_killed_ends_each_of_a_thousand_streams_once() {
    const CLIENTS: usize = 10;
    let scene = Scene::set().await;
    let mut server = scene.broker.serve("test.Mine").await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = scene.broker.client().await;
        let metadata = route("test.Mine.call");
        let part = towline_rsocket::frame::PayloadParts { metadata: Some(&metadata), data: b"part" };
        client
            .send_all((0..25).flat_map(|nth| {
                let id = 1 + 8 * nth;
                [
                    call(id, "test.Mine.call", b""),
                    stream(id + 2, 5, "test.Mine.list", b""),
                    channel(id + 4, 0, 5, "test.Mine.talk", b""),
                    Frame::request(FrameType::RequestResponse, id + 6, flags::FOLLOWS, 0, part),
                ]
            }))
            .await;
        client.expect_nothing().await;
        clients.push(client);
    }
    for _ in 0..CLIENTS * 50 {
        let frame = server.recv().await;
        assert!(frame.view().kind().is_request(), "{frame:?}");
    }
    // The rest is not read: the system resets a connection that is closed over what waits in it.
    drop(server);
    for client in &mut clients {
        let mut ended = HashSet::new();
        while ended.len() < 100 {
            let frame = client.expect(FrameType::Error).await;
            assert_eq!(frame.view().error_code(), 0x203, "{frame:?}");
            assert!(ended.insert(frame.view().stream_id()), "ended twice: {frame:?}");
        }
        client.expect_nothing().await;
        // It is not registered any more; for a moment it may be known as one that is gone.
        loop {
            client.send(call(1, "test.Mine.call", b"")).await;
            let (code, text) = client.expect_error(1).await;
            if text.starts_with("RST-900404") {
                break;
            }
            assert!(code == 0x202 && text.contains("is gone"), "{code:#x} {text}");
        }
    }
    drop(clients);
    scene.end().await;
}

/// What a responder does with calls that are taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// Nothing at all.
    Deaf,
    /// Answers, long after nobody wants it any more.
    Late,
    /// Answers KEEPALIVE alone: that it has read the CANCEL.
    Awake,
}

/// Answers calls that say so at once, all others in its manner, until it is told to go; the most of those others it ever
/// held, and how many came.
fn responder(mut peer: Peer, manner: Manner, mut end: oneshot::Receiver<()>) -> JoinHandle<(usize, usize)> {
    peer.is_answering = manner == Manner::Awake;
    tokio::spawn(async move {
        let (mut open, mut most, mut came) = (Vec::new(), 0, 0);
        loop {
            let frame = tokio::select! {
                frame = peer.next() => frame.expect("the broker closes nobody"),
                _ = &mut end => return (most, came),
            };
            let (view, id) = (frame.view(), frame.view().stream_id());
            let mut answers = Vec::new();
            match view.kind() {
                FrameType::RequestResponse if view.data() == b"honest" => answers.push(id),
                FrameType::RequestResponse => {
                    came += 1;
                    open.push(id);
                    most = most.max(open.len());
                }
                FrameType::Cancel if manner == Manner::Awake => open.retain(|of| *of != id),
                _ => {}
            }
            if manner == Manner::Late && open.len() >= 40 {
                answers.extend(open.drain(..20));
            }
            for id in answers {
                peer.send(last(id, b"yes")).await;
            }
        }
    })
}

/// Asks and takes back, at once or when the responder may have heard of it; how many of its calls were rejected.
async fn hasty(mut peer: Peer, calls: u32) -> usize {
    let mut rejected = 0;
    for (round, ids) in (0..calls).map(|nth| 1 + 2 * nth).collect::<Vec<_>>().chunks(50).enumerate() {
        peer.send_all(ids.iter().map(|id| call(*id, "test.Mine.call", b""))).await;
        let mut seen = if round % 2 == 0 { peer.fence().await } else { Vec::new() };
        peer.send_all(ids.iter().map(|id| Frame::cancel(*id))).await;
        seen.extend(peer.fence().await);
        for frame in seen {
            match frame.view().kind() {
                FrameType::Error => assert_eq!(frame.view().error_code(), 0x202, "{frame:?}"),
                kind => assert_eq!(kind, FrameType::Payload, "an answer that crossed its CANCEL"),
            }
            rejected += usize::from(frame.view().kind() == FrameType::Error);
        }
    }
    rejected
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_responder_does_calls_that_are_taken_back_never_fill_it() {
    const STREAMS: usize = 100;
    for manner in [Manner::Deaf, Manner::Late, Manner::Awake] {
        let scene = Scene::with(|config| {
            (config.relay.max_streams_requester, config.relay.max_streams_responder) = (STREAMS, 2 * STREAMS);
        })
        .await;
        let (end, is_over) = oneshot::channel();
        let serving = responder(scene.broker.serve("test.Mine").await, manner, is_over);
        let mut honest = scene.broker.client().await;
        let flooding = tokio::spawn(hasty(scene.broker.client().await, 10_000));
        let mut calls = 0;
        while calls < 300 || !flooding.is_finished() {
            honest.send(call(1, "test.Mine.call", b"honest")).await;
            honest.expect_item(1, flags::NEXT | flags::COMPLETE, b"yes").await;
            calls += 1;
        }
        let rejected = flooding.await.expect("it ends");
        end.send(()).expect("it serves to the end");
        let (most, came) = serving.await.expect("it ends");
        assert!(most <= STREAMS, "{manner:?}: {most} at once");
        // Who never says that it has stopped is given no more than that in all.
        assert!(manner != Manner::Deaf || came <= STREAMS && rejected > 0, "{came} came, {rejected} were rejected");
        drop(honest);
        scene.end().await;
    }
}

/// Reads items of this size until each of these streams has got so many, in order; and those of `other` meanwhile.
async fn read_items(peer: &mut Peer, streams: &[u32], items: u64, other: u32) -> u64 {
    let mut next: HashMap<u32, u64> = streams.iter().map(|id| (*id, 0)).chain([(other, 0)]).collect();
    while streams.iter().any(|id| next[id] < items) {
        let frame = peer.expect(FrameType::Payload).await;
        let nth = next.get_mut(&frame.view().stream_id()).expect("a stream of its own");
        assert_eq!(frame.view().data()[..8], nth.to_be_bytes(), "of stream {}", frame.view().stream_id());
        *nth += 1;
    }
    next[&other]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_asks_for_little_holds_back_none_beside_it() {
    const ITEMS: u64 = 1_000;
    let scene = Scene::set().await;
    let server = produce(scene.broker.serve("test.Mine").await, 1000);
    let mut client = scene.broker.client().await;
    let ids: Vec<u32> = (0..10).map(|nth| 3 + 2 * nth).collect();
    client.send(stream(1, 1, "test.Mine.list", b"")).await;
    client.send_all(ids.iter().map(|id| stream(*id, MAX_N, "test.Mine.list", &ITEMS.to_be_bytes()))).await;
    let mut slow = read_items(&mut client, &ids, ITEMS, 1).await;
    assert!(slow <= 1, "{slow} items of a stream that asked for one");
    for frame in client.fence().await {
        assert_eq!(frame.view().stream_id(), 1);
        slow += 1;
    }
    assert_eq!(slow, 1);
    for nth in 1..200u64 {
        client.send(Frame::request_n(1, 1)).await;
        assert_eq!(client.expect_payload(1).await.view().data()[..8], nth.to_be_bytes());
    }
    client.send(Frame::cancel(1)).await;
    client.expect_nothing().await;
    drop(client);
    server.abort();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_does_not_read_holds_a_window_and_loses_nothing() {
    const ITEMS: u64 = 2_000;
    let scene = Scene::set().await;
    let server = produce(scene.broker.serve("test.Mine").await, 1000);
    let mut deaf = scene.broker.narrow_client().await;
    deaf.send(stream(1, MAX_N, "test.Mine.list", &ITEMS.to_be_bytes())).await;
    let mut client = scene.broker.client().await;
    client.send(stream(1, MAX_N, "test.Mine.list", &ITEMS.to_be_bytes())).await;
    read_items(&mut client, &[1], ITEMS, 0).await;
    let waiting = scene.broker.meter("towline_outbox_bytes");
    assert!(waiting < (1 << 20) as f64, "{waiting} bytes wait for one stream");
    read_items(&mut deaf, &[1], ITEMS, 0).await;
    drop((client, deaf));
    server.abort();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_that_send_and_never_read_none_stays_and_memory_is_bounded() {
    const CLIENTS: usize = 200;
    const BUDGET: usize = 32 << 20;
    let scene = Scene::with(|config| {
        config.relay.budget = Some(BUDGET);
        // What waits for the one responder they all call is a part of the budget, as it is by default.
        config.relay.mark = 64 * 1024;
        config.relay.stalled_after = Duration::from_millis(500);
        config.relay.progress_window = Duration::from_secs(2);
    })
    .await;
    let server = echo(scene.broker.serve("test.Mine").await);
    let mut deaf = JoinSet::new();
    for _ in 0..CLIENTS {
        // Those for whom nothing waits any more are found by their silence.
        let setup = Setup::anonymous().times(500, 3_000);
        let mut peer = Peer::connect_narrow(&scene.broker.address).await.introduced(&setup).await;
        deaf.spawn(async move {
            for ids in (0..400u32).collect::<Vec<_>>().chunks(10) {
                let calls = ids.iter().flat_map(|nth| call(1 + 2 * nth, "test.Mine.call", &[7; 2000]).wire().to_vec());
                if !peer.try_send_bytes(&calls.collect::<Vec<_>>()).await {
                    break;
                }
            }
            peer
        });
    }
    let mut peak = 0.0f64;
    let closed = || {
        let reasons = ["stalled", "budget", "refusals", "keepalive"];
        reasons.iter().map(|reason| scene.broker.labelled("towline_links_closed_total", reason)).sum::<f64>()
    };
    let deadline = Instant::now() + 3 * SOON;
    let mut looks = interval(Duration::from_millis(5));
    while closed() < CLIENTS as f64 {
        peak = peak.max(scene.broker.meter("towline_budget_used_bytes"));
        let open = scene.broker.labelled("towline_links_open", "app");
        assert!(Instant::now() < deadline, "{open} are open, of them 3 honest ones");
        looks.tick().await;
    }
    assert!(peak < BUDGET as f64 * 1.5, "{peak} bytes of a budget of {BUDGET}");
    assert_eq!(scene.broker.meter("towline_links_closed_total"), CLIENTS as f64, "nobody else is closed");
    drop(deaf.join_all().await);
    server.abort();
    scene.end().await;
}
