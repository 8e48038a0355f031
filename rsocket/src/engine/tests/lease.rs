//! LEASE (Protocol.md, "Lease Semantics"), kept by both sides in both roles.

use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::frame::{Frame, FrameType, MAX_REQUEST_N, flags};
use futures::StreamExt;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A side that gives leases by hand only.
fn by_hand() -> Config {
    Config { lease: Some(Lease { requests: 0, ttl: SECOND }), ..Config::default() }
}

async fn leased_client(config: Config) -> (Peer, Connection, std::sync::Arc<Notes>) {
    scripted_client_over(memory(), leased_setup_frame(), config).await
}

/// A call that must not be sent, as the peer's lease allows none.
async fn is_unleased(connection: &Connection) {
    let failures = [
        connection.request_response(text("x")).await.unwrap_err(),
        connection.fire_and_forget(text("x")).await.unwrap_err(),
        connection.request_stream(text("x"), Window::new(1)).next().await.unwrap().unwrap_err(),
        connection
            .request_channel(text("x"), futures::stream::pending(), Window::new(1))
            .next()
            .await
            .unwrap()
            .unwrap_err(),
    ];
    for failure in failures {
        let CallFailure::Stream(error) = failure else { panic!("{failure}") };
        assert_eq!(error.code, ErrorCode::REJECTED);
        assert!(error.message.contains("lease") && error.message.contains("not sent"), "{error}");
    }
}

/// What the peer was sent on streams: all requests.
fn streams(frames: &[Frame]) -> Vec<(FrameType, u32)> {
    frames.iter().map(|frame| (frame.view().kind(), frame.view().stream_id())).collect()
}

#[tokio::test]
async fn a_client_sends_nothing_before_the_first_lease_and_no_more_than_it_allows() {
    over_every_carrier(|(client, server)| async move {
        let client = connect(client, setup(), std::sync::Arc::new(Notes::default()), by_hand());
        let mut peer = Peer::over(server);
        assert!(peer.expect(FrameType::Setup, 0).await.view().has(flags::LEASE));
        is_unleased(&client).await;
        assert!(peer.settled().await.is_empty());
        let mut leased = Box::pin(client.leased());
        assert!(futures::poll!(&mut leased).is_pending());
        peer.send(Frame::lease(60 * SECOND, 2)).await;
        leased.await;
        client.fire_and_forget(text("counts")).await.unwrap();
        let mut items = client.request_stream(text("counts"), Window::new(1));
        assert!(futures::poll!(items.next()).is_pending());
        is_unleased(&client).await;
        assert_eq!(streams(&peer.settled().await), [(FrameType::RequestFnf, 1), (FrameType::RequestStream, 3)]);
    })
    .await;
}

#[tokio::test]
async fn a_server_waits_for_the_clients_lease() {
    over_every_carrier(|ends| async move {
        let (mut peer, server, _) = scripted_client_over(ends, leased_setup_frame(), Config::default()).await;
        peer.expect(FrameType::Lease, 0).await;
        is_unleased(&server).await;
        assert!(peer.settled().await.is_empty());
        peer.send(Frame::lease(60 * SECOND, 1)).await;
        server.leased().await;
        server.fire_and_forget(text("x")).await.unwrap();
        is_unleased(&server).await;
        assert_eq!(streams(&peer.settled().await), [(FrameType::RequestFnf, 2)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_lease_counts_and_0_stops_and_time_ends_it() {
    let (mut peer, client) = scripted_server_with(by_hand()).await;
    peer.send(Frame::lease(60 * SECOND, 100)).await;
    peer.send(Frame::lease(60 * SECOND, 1)).await;
    client.leased().await;
    peer.settled().await;
    client.fire_and_forget(text("x")).await.unwrap();
    is_unleased(&client).await;
    for stop in [Frame::lease(60 * SECOND, 0), Frame::lease(Duration::ZERO, 9)] {
        peer.send(Frame::lease(60 * SECOND, 9)).await;
        peer.send(stop).await;
        peer.settled().await;
        is_unleased(&client).await;
    }
    peer.send(Frame::lease(4 * SECOND, 9)).await;
    peer.settled().await;
    tokio::time::advance(3 * SECOND).await;
    client.fire_and_forget(text("x")).await.unwrap();
    tokio::time::advance(SECOND).await;
    is_unleased(&client).await;
}

#[tokio::test]
async fn a_fragmented_request_costs_one_of_a_lease() {
    let (mut peer, client) = scripted_server_with(Config { max_frame: 64, ..by_hand() }).await;
    peer.send(Frame::lease(60 * SECOND, 2)).await;
    client.leased().await;
    for _ in 0..2 {
        client.fire_and_forget(text(vec![7; 1_000])).await.unwrap();
    }
    is_unleased(&client).await;
    assert!(peer.settled().await.len() > 20, "they were fragmented");

    let config = Config { lease: Some(Lease { requests: 2, ttl: 60 * SECOND }), ..Config::default() };
    let (mut peer, _server, _) = leased_client(config).await;
    peer.expect(FrameType::Lease, 0).await;
    for stream in [1, 3, 5] {
        let parts = crate::frame::PayloadParts::default();
        peer.send(Frame::request(FrameType::RequestResponse, stream, flags::FOLLOWS, 0, parts)).await;
        peer.send(item(stream, NEXT | flags::FOLLOWS, "a")).await;
        peer.send(item(stream, NEXT, "b")).await;
    }
    let frames = streams(&peer.settled().await);
    assert_eq!(frames, [(FrameType::Payload, 1), (FrameType::Payload, 3), (FrameType::Error, 5)]);
}

#[tokio::test]
async fn requests_beyond_the_lease_are_rejected() {
    over_every_carrier(|ends| async move {
        let config = Config { lease: Some(Lease { requests: 2, ttl: 60 * SECOND }), ..Config::default() };
        let (mut peer, server, notes) = scripted_client_over(ends, leased_setup_frame(), config).await;
        assert_eq!(peer.expect(FrameType::Lease, 0).await.view().lease(), (60_000, 2));
        peer.send(request(FrameType::RequestFnf, 1, 0, "one")).await;
        for (stream, data) in [(3, "two"), (5, "three")] {
            peer.send(request(FrameType::RequestResponse, stream, 0, data)).await;
        }
        peer.send(request(FrameType::RequestFnf, 7, 0, "four")).await;
        peer.expect(FrameType::Payload, 3).await;
        assert_eq!(peer.expect(FrameType::Error, 5).await.view().error_code(), ErrorCode::REJECTED.0);
        server.lease(9 * SECOND, 1);
        assert_eq!(peer.expect(FrameType::Lease, 0).await.view().lease(), (9_000, 1));
        peer.send(request(FrameType::RequestResponse, 9, 0, "five")).await;
        peer.expect(FrameType::Payload, 9).await;
        server.lease(9 * SECOND, 7);
        server.lease(Duration::ZERO, 7);
        peer.send(request(FrameType::RequestStream, 11, 1, "6")).await;
        let frames = streams(&peer.settled().await);
        assert_eq!(frames, [(FrameType::Lease, 0), (FrameType::Lease, 0), (FrameType::Error, 11)]);
        assert_eq!(*notes.seen.lock(), ["fnf one", "rr two", "rr five"]);
    })
    .await;
}

#[tokio::test]
async fn a_client_gives_the_server_its_lease_behind_setup() {
    let config = Config { lease: Some(Lease { requests: 1, ttl: 5 * SECOND }), ..Config::default() };
    let (mut peer, _client) = scripted_server_with(config).await;
    assert_eq!(peer.expect(FrameType::Lease, 0).await.view().lease(), (5_000, 1));
    peer.send(request(FrameType::RequestResponse, 2, 0, "one")).await;
    peer.send(request(FrameType::RequestResponse, 4, 0, "two")).await;
    assert_eq!(streams(&peer.settled().await), [(FrameType::Payload, 2), (FrameType::Error, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_before_it_ends_until_another_takes_its_place() {
    let start = tokio::time::Instant::now();
    let (mut peer, server, _) = leased_client(Config::default()).await;
    for n in 0..4 {
        let lease = peer.expect(FrameType::Lease, 0).await;
        assert_eq!(lease.view().lease(), (30_000, MAX_REQUEST_N));
        assert!(start.elapsed() >= n * 20 * SECOND && start.elapsed() < n * 30 * SECOND + SECOND);
        peer.until_echo("alive").await;
    }
    server.lease(SECOND, 3);
    assert_eq!(peer.expect(FrameType::Lease, 0).await.view().lease(), (1_000, 3));
    for _ in 0..10 {
        tokio::time::advance(10 * SECOND).await;
        let frames = peer.settled().await;
        assert!(frames.iter().all(|frame| frame.view().kind() == FrameType::Keepalive), "{frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_lease_is_renewed_in_time_as_well() {
    let start = tokio::time::Instant::now();
    let ttl = Duration::from_millis(300);
    let config = Config { lease: Some(Lease { requests: 1, ttl }), ..Config::default() };
    let (mut peer, _client) = scripted_server_with(config).await;
    for n in 0..10 {
        peer.expect(FrameType::Lease, 0).await;
        assert!(start.elapsed() <= n * ttl, "the one before has ended");
    }
}

#[tokio::test]
async fn a_lease_that_was_not_agreed_on_is_neither_sent_nor_heeded() {
    let config = Config { lease: Some(Lease { requests: 1, ttl: SECOND }), ..Config::default() };
    let (mut peer, server, _) = scripted_client_with(config).await;
    let (mut far, client) = scripted_server().await;
    for (peer, connection) in [(&mut peer, server), (&mut far, client)] {
        peer.send(Frame::lease(60 * SECOND, 0)).await;
        assert!(peer.settled().await.is_empty());
        connection.lease(SECOND, 1);
        connection.leased().await;
        connection.fire_and_forget(text("x")).await.unwrap();
        assert_eq!(peer.settled().await.len(), 1, "the request alone");
    }
    for stream in [1, 3, 5] {
        peer.send(request(FrameType::RequestResponse, stream, 0, "x")).await;
        peer.expect(FrameType::Payload, stream).await;
    }
}

#[tokio::test]
async fn two_engines_keep_each_others_leases() {
    let config = Config { lease: Some(Lease { requests: 3, ttl: 60 * SECOND }), ..Config::default() };
    let (a, b) = crate::transport::memory_pair("test");
    let Pair { client, server, .. } = pair_over(a, b, config).await;
    for (caller, other) in [(&client, &server), (&server, &client)] {
        caller.leased().await;
        for _ in 0..3 {
            assert_eq!(caller.request_response(text("x")).await.unwrap(), Some(text("x")));
        }
        is_unleased(caller).await;
        other.lease(60 * SECOND, 1);
        caller.leased().await;
        caller.request_response(text("x")).await.unwrap();
    }
    let mut waits = Box::pin(client.leased());
    assert!(futures::poll!(&mut waits).is_pending());
    server.close(None);
    waits.await;
}
