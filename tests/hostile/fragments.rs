//! Fragments without end, without bytes, and of more streams than there may be.

use crate::harness::*;
use crate::scene::Scene;
use std::collections::{HashMap, HashSet};
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, flags};

/// Empty fragments of one request or item.
const EMPTY: usize = 1_000_000;
/// Fragments given to one write.
const BATCH: usize = 10_000;

/// Sends empty fragments of a stream; every other one with metadata of no bytes.
async fn flood(peer: &mut Peer, stream: u32) {
    let nothing = Frame::payload(stream, flags::NEXT | flags::FOLLOWS, PayloadParts { metadata: Some(b""), data: b"" });
    let pair = [payload(stream, flags::FOLLOWS, b"").wire(), nothing.wire()].concat();
    let batch = pair.repeat(BATCH / 2);
    for _ in 0..EMPTY / BATCH {
        peer.send_bytes(&batch).await;
    }
}

fn begin(stream: u32, metadata: &[u8], data: &[u8]) -> Frame {
    let parts = PayloadParts { metadata: Some(metadata), data };
    Frame::request(FrameType::RequestResponse, stream, flags::FOLLOWS, 0, parts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_empty_fragments_of_a_request_reach_nobody() {
    let scene = Scene::set().await;
    let mut client = scene.broker.client().await;
    let mut server = scene.broker.serve("test.Mine").await;
    client.send(begin(1, &route("test.Mine.call"), b"begun")).await;
    assert_eq!(server.expect(FrameType::RequestResponse).await.view().data(), b"begun");
    flood(&mut client, 1).await;
    client.send(payload(1, flags::NEXT, b"ended")).await;
    assert_eq!(server.recv().await.view().data(), b"ended", "the next frame it gets");
    server.send(last(2, b"yes")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"yes").await;
    assert_eq!(scene.broker.meter("towline_empty_fragments_total"), EMPTY as f64);
    drop((client, server));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_empty_fragments_of_an_item_reach_the_requester_as_one() {
    let scene = Scene::set().await;
    let mut client = scene.broker.client().await;
    let mut server = scene.broker.serve("test.Mine").await;
    client.send(stream(1, 5, "test.Mine.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    flood(&mut server, 2).await;
    server.send(last(2, b"ended")).await;
    assert!(client.expect_payload(1).await.view().has(flags::FOLLOWS), "the item has begun");
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"ended").await;
    assert_eq!(scene.broker.meter("towline_empty_fragments_total"), (EMPTY - 1) as f64);
    drop((client, server));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_streams_in_fragments_those_allowed_arrive_whole_and_the_rest_is_rejected() {
    const STREAMS: u32 = 10_000;
    let scene = Scene::set().await;
    let allowed = 8_192;
    let mut client = scene.broker.client().await;
    let mut server = scene.broker.serve("test.Mine").await;
    let ids = || (0..STREAMS).map(|nth| 1 + 2 * nth);
    let serving = tokio::spawn(async move {
        let mut begun: HashMap<u32, Vec<u8>> = HashMap::new();
        while let Some(frame) = server.next().await {
            let view = frame.view();
            let data = begun.entry(view.stream_id()).or_default();
            data.extend_from_slice(view.data());
            if view.kind() == FrameType::Payload && !view.has(flags::FOLLOWS) {
                assert_eq!(data[..], [&data[..4], &data[..4], &data[..4]].concat(), "fragments of one stream");
                let answer = last(view.stream_id(), &data[..4]);
                server.send(answer).await;
            }
        }
    });
    let metadata = route("test.Mine.call");
    client.send_all(ids().map(|id| begin(id, &metadata, &id.to_be_bytes()))).await;
    client.send_all(ids().map(|id| payload(id, flags::FOLLOWS, &id.to_be_bytes()))).await;
    client.send_all(ids().map(|id| payload(id, flags::NEXT, &id.to_be_bytes()))).await;
    let (mut answered, mut rejected) = (HashSet::new(), HashSet::new());
    while answered.len() + rejected.len() < STREAMS as usize {
        let frame = client.recv().await;
        let view = frame.view();
        let is_new = if view.kind() == FrameType::Payload {
            assert_eq!(view.data(), view.stream_id().to_be_bytes());
            answered.insert(view.stream_id())
        } else {
            assert_eq!((view.kind(), view.error_code()), (FrameType::Error, 0x202), "{frame:?}");
            rejected.insert(view.stream_id())
        };
        assert!(is_new, "one end for each stream: {frame:?}");
    }
    // Answers may come, and make room, before the last request is read.
    assert!(answered.len() >= allowed && answered.is_disjoint(&rejected), "{} answered", answered.len());
    client.expect_nothing().await;
    drop(client);
    serving.abort();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_ten_thousand_streams_that_never_ends_is_held_up_to_a_bound() {
    let scene = Scene::set().await;
    let mut client = scene.broker.client().await;
    let mut held = 0;
    for round in 0..4 {
        for ids in (0..10_000u32).map(|nth| 1 + 2 * nth).collect::<Vec<_>>().chunks(500) {
            let of = |id: &u32| match round {
                0 => begin(*id, &[7; 50], b""),
                _ => Frame::payload(*id, flags::FOLLOWS, PayloadParts { metadata: Some(&[7; 50]), data: b"" }),
            };
            client.send_all(ids.iter().map(of)).await;
            held += client.fence().await.len();
            let used = scene.broker.meter("towline_budget_used_bytes");
            assert!(used < (4 << 20) as f64, "{used} bytes are held");
        }
    }
    assert!(held >= 10_000 - (1 << 20) / 120, "{held} were rejected");
    drop(client);
    scene.end().await;
}
