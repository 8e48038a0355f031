//! Frames that are legal one by one, and come without end.

use crate::harness::*;
use crate::scene::Scene;
use std::time::Duration;
use towline_rsocket::{Frame, FrameType, flags};

/// Frames of one flood.
const FLOOD: usize = 100_000;
/// Those given to one write.
const BATCH: usize = 1_000;

/// Sends so many of these, as long as the broker takes them; whether it took all.
async fn flood(peer: &mut Peer, frames: &[Frame]) -> bool {
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.wire().to_vec()).collect();
    let batch = bytes.repeat(BATCH / frames.len());
    for _ in 0..FLOOD / BATCH {
        if !peer.try_send_bytes(&batch).await {
            return false;
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn keepalives_and_pushes_without_end_are_closed_with_their_reason() {
    let scene = Scene::set().await;
    for frame in [Frame::keepalive(true, b"x"), Frame::metadata_push(b"{}"), Frame::keepalive(true, &[7; 500])] {
        let mut peer = scene.broker.client().await;
        // What waits in its own socket may take the broker's last word with it.
        flood(&mut peer, &[frame]).await;
        peer.rest().await;
    }
    scene.broker.until("towline_links_closed_total", 3.0).await;
    assert_eq!(scene.broker.labelled("towline_links_closed_total", "flood"), 3.0);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keepalive_of_128_kib_is_echoed_and_a_longer_one_is_closed_with_its_reason() {
    let scene = Scene::set().await;
    let mut peer = scene.broker.client().await;
    let data = vec![7; 128 * 1024];
    peer.send(Frame::keepalive(true, &data)).await;
    assert!(peer.expect(FrameType::Keepalive).await.view().data() == data);
    peer.send(Frame::keepalive(true, &[&data[..], b"x"].concat())).await;
    let (code, text) = peer.expect_end().await;
    assert!(code == 0x101 && text.contains("128 KiB"), "{code:#x} {text}");
    scene.broker.until("towline_links_closed_total", 1.0).await;
    assert_eq!(scene.broker.labelled("towline_links_closed_total", "flood"), 1.0);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn echoes_that_nobody_reads_do_not_pile_up() {
    // Only what waits bounds them here.
    let scene = Scene::with(|config| config.relay.control_burst = 1_000_000).await;
    let mut peer = scene.broker.narrow_client().await;
    let data = vec![7; 100_000];
    let mut peak = 0.0f64;
    for nth in 0..500u32 {
        let mut data = data.clone();
        data[..4].copy_from_slice(&nth.to_be_bytes());
        peer.send(Frame::keepalive(true, &data)).await;
        peak = peak.max(scene.broker.meter("towline_budget_used_bytes"));
    }
    assert!(peak < (8 << 20) as f64, "{peak} of 50 MB waited");
    // The newest is not lost, and none comes twice or out of order.
    let mut before = None;
    while before != Some(499) {
        let echo = peer.expect(FrameType::Keepalive).await;
        let nth = u32::from_be_bytes(echo.view().data()[..4].try_into().expect("4 bytes"));
        assert!(before < Some(nth), "{nth} after {before:?}");
        before = Some(nth);
    }
    drop(peer);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_and_answers_nobody_asked_for_are_read_and_forgotten() {
    let scene = Scene::set().await;
    let mut leased = Setup::anonymous().service("test.Mine").frame();
    leased.bytes_mut()[5] |= flags::LEASE as u8;
    let mut server = scene.broker.connect().await;
    server.send(leased).await;
    assert_eq!(server.expect(FrameType::Lease).await.view().stream_id(), 0);
    let mut client = scene.broker.client().await;
    let lease = |n| Frame::lease(Duration::from_secs(60), n);
    for peer in [&mut client, &mut server] {
        assert!(flood(peer, &[lease(MAX_N), lease(0), Frame::keepalive(false, b"x"), lease(1)]).await);
    }
    server.expect_nothing().await;
    // The last one counts.
    client.send_all([call(1, "test.Mine.call", b"first"), call(3, "test.Mine.call", b"second")]).await;
    let (code, text) = client.expect_error(3).await;
    assert!(code == 0x202 && text.contains("lease"), "{code:#x} {text}");
    let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
    server.send(last(id, b"yes")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"yes").await;
    drop((client, server));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_ended_streams_are_dropped_and_counted_without_end() {
    let scene = Scene::set().await;
    let mut client = scene.broker.client().await;
    let mut server = scene.broker.serve("test.Mine").await;
    client.send(stream(1, 5, "test.Mine.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    server.send(last(2, b"all")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"all").await;
    let late = scene.broker.meter("towline_late_frames_total");
    for (peer, id) in [(&mut client, 1), (&mut server, 2)] {
        let frames =
            [item(id, b"late"), complete(id), error(id, 0x201, "late"), Frame::request_n(id, 5), Frame::cancel(id)];
        assert!(flood(peer, &frames).await);
    }
    server.expect_nothing().await;
    client.expect_nothing().await;
    assert_eq!(scene.broker.meter("towline_late_frames_total") - late, 2.0 * FLOOD as f64);
    expect_alive_at(&mut client, &mut server).await;
    drop((client, server));
    scene.end().await;
}

/// A call to `test.Mine` reaches it and is answered.
async fn expect_alive_at(client: &mut Peer, server: &mut Peer) {
    client.send(call(99, "test.Mine.call", b"")).await;
    let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
    server.send(last(id, b"alive")).await;
    client.expect_item(99, flags::NEXT | flags::COMPLETE, b"alive").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credit_asked_for_again_and_again_never_stops_the_items() {
    const ITEMS: u64 = 5_000;
    let scene = Scene::set().await;
    let server = produce(scene.broker.serve("test.Mine").await, 16);
    let mut client = scene.broker.client().await;
    client.send(stream(1, MAX_N, "test.Mine.list", &ITEMS.to_be_bytes())).await;
    // Beyond 2^47 items, and on; some of it before the first item and some amid them.
    for _ in 0..FLOOD / BATCH {
        let more = Frame::request_n(1, MAX_N).wire().repeat(BATCH);
        client.send_bytes(&more).await;
    }
    for nth in 0..ITEMS {
        let frame = client.expect_payload(1).await;
        assert_eq!(frame.view().data()[..8], nth.to_be_bytes());
        assert_eq!(frame.view().has(flags::COMPLETE), nth + 1 == ITEMS);
    }
    client.expect_nothing().await;
    drop(client);
    scene.broker.until("towline_received_frames_total", FLOOD as f64).await;
    server.abort();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_is_asked_for_no_more_than_a_window_however_often_it_is_asked() {
    let scene = Scene::set().await;
    let mut client = scene.broker.client().await;
    let mut server = scene.broker.serve("test.Mine").await;
    client.send(stream(1, MAX_N, "test.Mine.list", b"")).await;
    let first = server.expect(FrameType::RequestStream).await.view().request_n();
    assert!(flood(&mut client, &[Frame::request_n(1, MAX_N), Frame::request_n(1, 0), Frame::request_n(1, 1)]).await);
    client.fence().await;
    // Nothing was sent, so nothing more is asked for.
    server.expect_nothing().await;
    assert!(first < 2_000, "{first}");
    server.send(last(2, b"")).await;
    client.expect_payload(1).await;
    drop((client, server));
    scene.end().await;
}
