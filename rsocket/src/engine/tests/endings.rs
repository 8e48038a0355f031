use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::error::ConnectionError;
use crate::frame::{Frame, FrameType};
use crate::transport::memory_pair;
use futures::{StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_dead_connection_ends_every_call() {
    let (mut peer, client) = scripted_server().await;
    let mut calls = Vec::new();
    for n in 0..1_000 {
        let mut call = match n % 3 {
            0 => client.request_stream(text("x"), Window::new(8)),
            1 => client.request_channel(text("x"), stream::pending(), Window::new(8)),
            _ => client.request_stream(text("y"), Window::new(1)),
        };
        assert!(futures::poll!(call.next()).is_pending());
        calls.push(call);
    }
    let mut single = Box::pin(client.request_response(text("z")));
    assert!(futures::poll!(&mut single).is_pending());
    for n in 0..1_001 {
        assert_eq!(peer.next().await.unwrap().view().stream_id(), 2 * n + 1);
    }
    peer.transport.shutdown();
    for mut call in calls {
        let Some(Err(CallFailure::Connection { is_written: true, .. })) = call.next().await else { panic!() };
        assert!(call.next().await.is_none());
    }
    let Err(CallFailure::Connection { error, is_written: true }) = single.await else { panic!() };
    assert!(matches!(error, ConnectionError::ClosedByPeer), "{error}");
    let Err(CallFailure::Connection { is_written: false, .. }) = client.request_response(text("z")).await else {
        panic!()
    };
    assert!(client.fire_and_forget(text("z")).await.is_err());
    assert_eq!(client.open_streams(), 0);
    client.closed().await;
}

#[tokio::test]
async fn what_the_socket_never_took_is_not_written() {
    let (a, b) = memory_pair("test");
    let client = connect(Arc::new(a), setup(), Arc::new(Notes::default()), Config::default());
    let big = text(vec![7; 400_000]);
    let mut first = Box::pin(client.request_response(big.clone()));
    assert!(futures::poll!(&mut first).is_pending());
    let mut second = Box::pin(client.request_response(big));
    assert!(futures::poll!(&mut second).is_pending());
    tokio::task::yield_now().await;
    drop(b);
    let Err(CallFailure::Connection { is_written: true, .. }) = first.await else { panic!() };
    let Err(CallFailure::Connection { is_written: false, .. }) = second.await else { panic!() };
}

#[tokio::test]
async fn an_error_on_stream_0_says_why_everything_ended() {
    let (peer, client) = scripted_server().await;
    let call = client.request_response(text("z"));
    peer.send(Frame::error(0, ErrorCode::REJECTED_SETUP, "not you")).await;
    let ConnectionError::Refused { code, message } = client.closed().await else { panic!() };
    assert_eq!((code, message.as_str()), (ErrorCode::REJECTED_SETUP, "not you"));
    assert!(call.await.is_err());
}

#[tokio::test]
async fn connection_close_lets_streams_end() {
    let (mut peer, client) = scripted_server().await;
    let mut call = Box::pin(client.request_response(text("z")));
    assert!(futures::poll!(&mut call).is_pending());
    peer.send(Frame::error(0, ErrorCode::CONNECTION_CLOSE, "later")).await;
    peer.expect(FrameType::RequestResponse, 1).await;
    peer.settled().await;
    let Err(CallFailure::Connection { is_written: false, .. }) = client.request_response(text("new")).await else {
        panic!()
    };
    assert!(!client.is_closed());
    peer.send(item(1, LAST, "answer")).await;
    assert_eq!(call.await.unwrap(), Some(text("answer")));
    assert!(matches!(client.closed().await, ConnectionError::Refused { code: ErrorCode::CONNECTION_CLOSE, .. }));
}

#[tokio::test]
async fn connection_close_is_why_even_if_the_end_comes_with_it() {
    let (peer, client) = scripted_server().await;
    peer.send(Frame::error(0, ErrorCode::CONNECTION_CLOSE, "bye")).await;
    drop(peer);
    assert!(matches!(client.closed().await, ConnectionError::Refused { code: ErrorCode::CONNECTION_CLOSE, .. }));
}

#[tokio::test]
async fn close_writes_what_is_queued_and_the_reason() {
    let (mut peer, client) = scripted_server().await;
    client.fire_and_forget(text("before")).await.unwrap();
    client.close(Some((ErrorCode::CONNECTION_ERROR, "bye")));
    assert!(matches!(client.closed().await, ConnectionError::Closed));
    peer.expect(FrameType::RequestFnf, 1).await;
    assert_eq!(peer.expect(FrameType::Error, 0).await.view().data(), b"bye");
    assert!(peer.next().await.is_none());
}

#[tokio::test]
async fn drain_waits_for_what_is_in_progress() {
    let (mut peer, server, _) = scripted_client().await;
    peer.send(request(FrameType::RequestStream, 1, 1, "2")).await;
    peer.expect(FrameType::Payload, 1).await;
    let mut drain = Box::pin(server.drain());
    assert!(futures::poll!(&mut drain).is_pending());
    peer.send(request(FrameType::RequestResponse, 3, 0, "x")).await;
    assert_eq!(peer.expect(FrameType::Error, 3).await.view().error_code(), ErrorCode::REJECTED.0);
    assert!(server.request_response(text("own")).await.is_err());
    peer.send(Frame::request_n(1, 9)).await;
    drain.await;
    peer.expect(FrameType::Payload, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_sends_keepalive_and_gives_a_silent_peer_up() {
    let (keepalive, lifetime) = (Duration::from_secs(1), Duration::from_secs(5));
    let (mut peer, client) = scripted_server_with(Config { keepalive, lifetime, ..Config::default() }).await;
    let start = tokio::time::Instant::now();
    let mut call = Box::pin(client.request_response(text("x")));
    assert!(futures::poll!(&mut call).is_pending());
    peer.expect(FrameType::RequestResponse, 1).await;
    for _ in 0..20 {
        let probe = peer.expect(FrameType::Keepalive, 0).await;
        assert!(probe.view().has(crate::flags::RESPOND));
        peer.send(Frame::keepalive(false, probe.view().data())).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(19) && start.elapsed() <= Duration::from_secs(26));
    let silent = tokio::time::Instant::now();
    assert!(matches!(client.closed().await, ConnectionError::KeepaliveTimeout(_)));
    assert!(silent.elapsed() >= lifetime && silent.elapsed() <= lifetime + keepalive, "{:?}", silent.elapsed());
    assert!(call.await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_busy_client_still_sends_keepalive() {
    let keepalive = Duration::from_secs(1);
    let (mut peer, _client) = scripted_server_with(Config { keepalive, ..Config::default() }).await;
    let mut seen = 0;
    for _ in 0..50 {
        peer.send(Frame::lease(keepalive, 1)).await;
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    let frames = peer.settled().await;
    seen += frames.iter().filter(|frame| frame.view().kind() == FrameType::Keepalive).count();
    assert!((3..=5).contains(&seen), "{seen}");
}

#[tokio::test]
async fn a_peer_that_never_reads_bounds_what_waits() {
    let config = Config { max_streams: 64, ..Config::default() };
    let (peer, server, _) = scripted_client_with(config.clone()).await;
    let big = "x".repeat(60_000);
    for n in 0..500 {
        peer.send(request(FrameType::RequestResponse, 2 * n + 1, 0, &big)).await;
        peer.send(Frame::keepalive(true, big.as_bytes())).await;
    }
    let mut sent = Vec::new();
    for _ in 0..500 {
        let mut call = Box::pin(server.request_response(text(big.clone())));
        assert!(futures::poll!(&mut call).is_pending());
        sent.push(call);
    }
    tokio::task::yield_now().await;
    assert!(server.queued() < 3 * config.outgoing_mark, "{}", server.queued());
    assert!(server.open_streams() < 200, "{}", server.open_streams());
    drop(sent);
}

#[tokio::test]
async fn ids_wrap_and_skip_those_in_use() {
    let (mut peer, client) = scripted_server().await;
    let mut first = Box::pin(client.request_response(text("z")));
    assert!(futures::poll!(&mut first).is_pending());
    client.continue_ids_at(0x7FFF_FFFF);
    for _ in 0..2 {
        client.fire_and_forget(text("f")).await.unwrap();
    }
    for stream in [1, 0x7FFF_FFFF, 3] {
        assert_eq!(peer.next().await.unwrap().view().stream_id(), stream);
    }
}
