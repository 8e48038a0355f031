//! CONNECTION_CLOSE: who sends or reads it waits for outstanding streams (Protocol.md, "Error Codes").

use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::error::ConnectionError;
use crate::frame::{Frame, FrameType};
use futures::StreamExt;
use std::time::Duration;

fn is_closing(failure: &CallFailure) -> bool {
    matches!(failure, CallFailure::Connection { is_written: false, .. })
}

#[tokio::test]
async fn an_announced_close_lets_own_streams_end() {
    over_every_carrier(|ends| async move {
        let (mut peer, client, notes) = scripted_server_over(ends, Config::default()).await;
        client.fire_and_forget(text("before")).await.unwrap();
        let mut items = client.request_stream(text("x"), Window::new(2));
        assert!(futures::poll!(items.next()).is_pending());
        client.announce_close("bye");
        client.announce_close("once is enough");
        peer.expect(FrameType::RequestFnf, 1).await;
        peer.expect(FrameType::RequestStream, 3).await;
        let close = peer.expect(FrameType::Error, 0).await;
        assert_eq!((close.view().error_code(), close.view().data()), (ErrorCode::CONNECTION_CLOSE.0, &b"bye"[..]));
        assert!(is_closing(&client.request_response(text("new")).await.unwrap_err()));
        peer.send(request(FrameType::RequestResponse, 2, 0, "new")).await;
        assert_eq!(peer.expect(FrameType::Error, 2).await.view().error_code(), ErrorCode::REJECTED.0);
        peer.send(item(3, NEXT, "one")).await;
        assert_eq!(items.next().await.unwrap().unwrap(), text("one"));
        assert!(!client.is_closed() && notes.seen.lock().is_empty());
        peer.send(item(3, LAST, "two")).await;
        assert_eq!(items.next().await.unwrap().unwrap(), text("two"));
        assert!(matches!(client.closed().await, ConnectionError::Closed));
        while let Some(frame) = peer.next().await {
            assert_eq!(frame.view().kind(), FrameType::RequestN);
        }
    })
    .await;
}

#[tokio::test]
async fn an_announced_close_lets_the_peers_streams_end() {
    over_every_carrier(|ends| async move {
        let (mut peer, server, _) = scripted_client_over(ends, setup_frame(), Config::default()).await;
        peer.send(request(FrameType::RequestStream, 1, 1, "2")).await;
        peer.expect(FrameType::Payload, 1).await;
        server.announce_close("bye");
        assert_eq!(peer.expect(FrameType::Error, 0).await.view().error_code(), ErrorCode::CONNECTION_CLOSE.0);
        assert!(peer.settled().await.is_empty());
        peer.send(Frame::request_n(1, 9)).await;
        peer.expect(FrameType::Payload, 1).await;
        peer.expect(FrameType::Payload, 1).await;
        assert!(peer.next().await.is_none());
        assert!(matches!(server.closed().await, ConnectionError::Closed));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_close_ends_with_a_stream_that_is_dropped() {
    let start = tokio::time::Instant::now();
    let (mut peer, client) = scripted_server().await;
    let mut call = Box::pin(client.request_response(text("x")));
    assert!(futures::poll!(&mut call).is_pending());
    peer.expect(FrameType::RequestResponse, 1).await;
    client.announce_close("bye");
    peer.expect(FrameType::Error, 0).await;
    assert!(peer.settled().await.is_empty(), "the reader waits for more");
    drop(call);
    peer.expect(FrameType::Cancel, 1).await;
    assert!(peer.next().await.is_none());
    assert!(start.elapsed() < Duration::from_secs(1), "at once, not at the next look at the clock");
}

#[tokio::test]
async fn two_engines_close_when_both_are_done() {
    for is_client in [true, false] {
        let Pair { client, server, .. } = pair().await;
        let (near, far) = if is_client { (client, server) } else { (server, client) };
        let mut last = Box::pin(far.request_response(text("never")));
        assert!(futures::poll!(&mut last).is_pending());
        assert_eq!(far.request_response(text("x")).await.unwrap(), Some(text("x")));
        near.announce_close("bye");
        // Until it has read that, what it asks is rejected.
        loop {
            match far.request_response(text("x")).await.unwrap_err() {
                CallFailure::Stream(error) => assert_eq!(error.code, ErrorCode::REJECTED),
                failure => break assert!(is_closing(&failure), "{failure}"),
            }
        }
        assert!(!near.is_closed() && !far.is_closed());
        drop(last);
        near.closed().await;
        far.closed().await;
    }
}

#[tokio::test]
async fn an_announced_close_of_a_quiet_connection_ends_it() {
    let (mut peer, client) = scripted_server().await;
    client.announce_close("bye");
    peer.expect(FrameType::Error, 0).await;
    assert!(peer.next().await.is_none());
    client.closed().await;
    client.announce_close("nobody hears this");
}
