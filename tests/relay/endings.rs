//! CANCEL, and connections that are lost.

use crate::harness::*;
use std::collections::HashSet;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, flags};

const LOST: &str = "the connection to the other side was lost";

#[tokio::test(flavor = "multi_thread")]
async fn cancel_reaches_the_responder_and_a_late_answer_nobody() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send_all([call(1, "test.Echo.call", b""), stream(3, 9, "test.Echo.list", b"")]).await;
    server.expect(FrameType::RequestResponse).await;
    server.expect(FrameType::RequestStream).await;
    client.send_all([Frame::cancel(1), Frame::cancel(3)]).await;
    server.expect_cancels([2, 4]).await;
    server.send_all([last(2, b"late"), item(4, b"late"), complete(4), error(4, 0x201, "late")]).await;
    server.fence().await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_before_the_last_fragment_reaches_the_responder() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let first = PayloadParts { metadata: Some(&route("test.Echo.call")), data: b"part" };
    client.send(Frame::request(FrameType::RequestResponse, 1, flags::FOLLOWS, 0, first)).await;
    assert!(server.expect(FrameType::RequestResponse).await.view().has(flags::FOLLOWS));
    client.send(Frame::cancel(1)).await;
    client.send_all([payload(1, flags::FOLLOWS, b"more"), payload(1, flags::NEXT, b"the end")]).await;
    server.expect_cancel(2).await;
    client.fence().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_taken_back_before_its_metadata_was_complete_is_never_delivered() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let metadata = route("test.Echo.call");
    for end in [Frame::cancel(1), error(1, 0x201, "no")] {
        let first = PayloadParts { metadata: Some(&metadata[..10]), data: b"" };
        client.send(Frame::request(FrameType::RequestResponse, 1, flags::FOLLOWS, 0, first)).await;
        client.send(end).await;
        let rest = PayloadParts { metadata: Some(&metadata[10..]), data: b"x" };
        client.send(Frame::payload(1, flags::NEXT, rest)).await;
    }
    client.expect_nothing().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_requester_cancels_all_its_streams() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let mut other = broker.client().await;
    let kinds = [FrameType::RequestResponse, FrameType::RequestStream, FrameType::RequestChannel];
    let metadata = route("test.Echo.any");
    let request = |nth: u32| {
        let kind = kinds[nth as usize % 3];
        let bits = if nth.is_multiple_of(2) && kind == FrameType::RequestResponse { flags::FOLLOWS } else { 0 };
        Frame::request(kind, 1 + 2 * nth, bits, 1, PayloadParts { metadata: Some(&metadata), data: b"x" })
    };
    client.send_all((0..300).map(request)).await;
    for nth in 0..300 {
        assert_eq!(server.recv().await.view().stream_id(), 2 + 2 * nth);
    }
    other.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    drop(client);
    server.expect_cancels((1..=300).map(|nth| 2 * nth)).await;
    server.send(last(602, b"unharmed")).await;
    other.expect_item(1, flags::NEXT | flags::COMPLETE, b"unharmed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_responder_ends_a_thousand_streams_with_an_error_each() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let kinds = [FrameType::RequestResponse, FrameType::RequestStream, FrameType::RequestChannel];
    let metadata = route("test.Echo.any");
    let parts = PayloadParts { metadata: Some(&metadata), data: b"x" };
    client.send_all((0..1000).map(|nth| Frame::request(kinds[nth as usize % 3], 1 + 2 * nth, 0, 1, parts))).await;
    for _ in 0..1000 {
        server.recv().await;
    }
    // One of them is half answered.
    server.send(payload(4, flags::NEXT | flags::FOLLOWS, b"half")).await;
    client.expect_item(3, flags::NEXT | flags::FOLLOWS, b"half").await;
    drop(server);
    let mut left: HashSet<u32> = (0..1000).map(|nth| 1 + 2 * nth).collect();
    while !left.is_empty() {
        let frame = client.expect(FrameType::Error).await;
        assert_eq!((frame.view().error_code(), frame.view().data()), (0x203, LOST.as_bytes()));
        assert!(left.remove(&frame.view().stream_id()), "{frame:?}");
    }
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_breaks_the_protocol_is_lost_to_its_requesters() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send_bytes(&framed(&[0, 0, 0, 2, 0x2A << 2, 0])).await;
    assert_eq!(client.expect_error(1).await, (0x203, LOST.to_owned()));
    assert_eq!(server.expect_end().await.0, 0x101);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_calls_itself_may_vanish() {
    let broker = Broker::start().await;
    let mut app = broker.serve("test.Echo").await;
    app.send(call(1, "test.Echo.call", b"")).await;
    app.expect(FrameType::RequestResponse).await;
    drop(app);
    broker.until("towline_links_closed_total", 1.0).await;
    let mut client = broker.client().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    let (code, text) = client.expect_error(1).await;
    assert!(code == 0x204 && text.starts_with("RST-900404"), "{code:#x} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_close_finishes_its_streams_and_is_called_no_more() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(error(0, 0x102, "going")).await;
    server.fence().await;
    client.send(call(3, "test.Echo.call", b"")).await;
    assert!(client.expect_error(3).await.1.starts_with("RST-900404"));
    server.send(last(2, b"still answered")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"still answered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_says_connection_error_is_gone_at_once() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(error(0, 0x101, "Disposed")).await;
    assert_eq!(client.expect_error(1).await, (0x203, LOST.to_owned()));
    server.rest().await;
}
