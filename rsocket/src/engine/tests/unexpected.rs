use super::support::*;
use crate::ErrorCode;
use crate::engine::*;
use crate::frame::{Frame, FrameType, flags};
use futures::StreamExt;

#[tokio::test]
async fn unaccounted_frames_are_ignored() {
    let (mut peer, server, notes) = scripted_client().await;
    peer.send(request(FrameType::RequestStream, 1, 1, "5")).await;
    peer.expect(FrameType::Payload, 1).await;
    let mut elsewhere = Frame::keepalive(true, b"x");
    crate::frame::set_stream_id(elsewhere.bytes_mut(), 5);
    let mut push = Frame::metadata_push(b"x");
    crate::frame::set_stream_id(push.bytes_mut(), 5);
    let frames = [
        setup_frame(),
        request(FrameType::RequestResponse, 1, 0, "id in use"),
        request(FrameType::RequestResponse, 2, 0, "id of the server's"),
        request(FrameType::RequestResponse, 0, 0, "stream 0"),
        Frame::cancel(9),
        Frame::cancel(0),
        Frame::request_n(9, 1),
        Frame::error(9, ErrorCode::APPLICATION_ERROR, "x"),
        Frame::error(0, ErrorCode::REJECTED_SETUP, "x"),
        Frame::lease(std::time::Duration::from_secs(1), 1),
        item(9, LAST, "x"),
        item(0, LAST, "x"),
        elsewhere,
        push,
    ];
    for frame in frames {
        peer.send(frame).await;
        assert!(peer.until_echo("after").await.is_empty());
    }
    for kind in [0x2A, 0x2B, 0x00, 0x3F] {
        peer.send_bytes(&[0, 0, 10, 0, 0, 0, 0, kind << 2 | 2, 0, 0, 0, 0, 1]).await;
    }
    peer.send_bytes(&[0, 0, 10, 0, 0, 0, 7, 0x04 << 2 | 3, 0, 0xFF, 0xFF, 0xFF, 1]).await;
    assert!(peer.settled().await.is_empty());
    assert!(!server.is_closed());
    assert_eq!(*notes.seen.lock(), ["stream 5"]);
}

#[tokio::test]
async fn broken_frames_end_the_connection_with_a_reason() {
    let mut resume = vec![0, 0, 28, 0, 0, 0, 0, 0x0D << 2, 0];
    resume.extend([0; 22]);
    let broken = [
        vec![0, 0, 6, 0, 0, 0, 0, 0x2A << 2, 0],
        vec![0, 0, 10, 0, 0, 0, 0, 0x3F << 2, 0, 0, 0, 0, 1],
        vec![0, 0, 10, 0, 0, 0, 7, 0x04 << 2 | 1, 0, 0xFF, 0xFF, 0xFF, 1],
        vec![0, 0, 3, 1, 2, 3],
        vec![0, 0, 0],
        resume,
    ];
    for bytes in broken {
        let (mut peer, server, _) = scripted_client().await;
        peer.send_bytes(&bytes).await;
        assert_eq!(peer.expect(FrameType::Error, 0).await.view().error_code(), ErrorCode::CONNECTION_ERROR.0);
        assert!(peer.next().await.is_none());
        assert!(server.is_closed());
    }
}

#[tokio::test]
async fn keepalives_are_echoed_in_order() {
    let (mut peer, _server, _) = scripted_client().await;
    peer.send(Frame::keepalive(false, b"no answer")).await;
    let all: Vec<u8> =
        (0..500).flat_map(|n| Frame::keepalive(true, n.to_string().as_bytes()).wire().to_vec()).collect();
    peer.send_bytes(&all).await;
    for n in 0..500 {
        let echo = peer.expect(FrameType::Keepalive, 0).await;
        assert_eq!(echo.view().data(), n.to_string().as_bytes());
        assert!(!echo.view().has(flags::RESPOND));
    }
    let large = "k".repeat(100_000);
    assert!(peer.until_echo(&large).await.is_empty());
}

#[tokio::test]
async fn an_answer_without_c_is_the_last_one() {
    let (mut peer, client) = scripted_server().await;
    let mut call = Box::pin(client.request_response(text("x")));
    assert!(futures::poll!(&mut call).is_pending());
    peer.expect(FrameType::RequestResponse, 1).await;
    peer.send(item(1, NEXT, "one")).await;
    peer.send(item(1, NEXT, "two")).await;
    assert_eq!(call.await.unwrap(), Some(text("one")));
    assert!(peer.settled().await.is_empty());
    assert_eq!(client.open_streams(), 0);
}

#[tokio::test]
async fn too_many_requests_are_rejected() {
    let (mut peer, server, _) = scripted_client_with(Config { max_streams: 3, ..Config::default() }).await;
    for n in 0..5 {
        peer.send(request(FrameType::RequestResponse, 2 * n + 1, 0, "never")).await;
    }
    let frames = peer.settled().await;
    let codes: Vec<_> = frames.iter().map(|frame| (frame.view().stream_id(), frame.view().error_code())).collect();
    assert_eq!(codes, [(7, ErrorCode::REJECTED.0), (9, ErrorCode::REJECTED.0)]);
    peer.send(Frame::cancel(1)).await;
    peer.send(request(FrameType::RequestResponse, 1, 0, "the id is free again")).await;
    assert_eq!(peer.expect(FrameType::Payload, 1).await.view().data(), b"the id is free again");
    assert_eq!(server.open_streams(), 2);
}

#[tokio::test]
async fn an_error_of_the_requester_reaches_the_items() {
    let (mut peer, server, notes) = scripted_client().await;
    peer.send(request(FrameType::RequestChannel, 1, 9, "echo")).await;
    let frames = peer.settled().await;
    assert_eq!(frames.len(), 2, "{frames:?}");
    peer.send(Frame::error(1, ErrorCode::APPLICATION_ERROR, "x")).await;
    assert!(peer.settled().await.is_empty());
    assert_eq!((server.open_streams(), notes.seen.lock().len()), (0, 1));
}

#[tokio::test]
async fn items_end_with_the_requesters_error() {
    struct Keep(parking_lot::Mutex<Option<Inbound>>);
    impl Responder for Keep {
        fn request_channel(&self, _: Payload, items: Inbound) -> futures::stream::BoxStream<'static, Item> {
            *self.0.lock() = Some(items);
            futures::stream::pending().boxed()
        }
    }
    let (a, b) = crate::transport::memory_pair("test");
    let mut peer = Peer::new(a);
    peer.send(setup_frame()).await;
    let keep = std::sync::Arc::new(Keep(parking_lot::Mutex::new(None)));
    let responder = keep.clone();
    let accepted = |_| async move { Ok(responder as std::sync::Arc<dyn Responder>) };
    let _server = accept(std::sync::Arc::new(b), Config::default(), accepted).await.unwrap();
    peer.send(request(FrameType::RequestChannel, 1, 9, "x")).await;
    peer.settled().await;
    let mut items = keep.0.lock().take().unwrap();
    assert!(futures::poll!(items.next()).is_pending());
    assert_eq!(peer.expect(FrameType::RequestN, 1).await.view().request_n(), 64);
    peer.send(item(1, NEXT, "one")).await;
    peer.send(Frame::error(1, ErrorCode::APPLICATION_ERROR, "why")).await;
    assert_eq!(items.next().await, Some(Ok(text("one"))));
    assert_eq!(items.next().await.unwrap().unwrap_err().message, "why");
    assert_eq!(items.next().await, None);
}
