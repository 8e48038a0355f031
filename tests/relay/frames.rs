//! Frames that should not be there.

use crate::harness::*;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, flags};

/// The peer still does what it did.
async fn expect_alive(client: &mut Peer, server: &mut Peer) {
    client.send(call(99, "test.Echo.call", b"alive")).await;
    let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
    server.send(last(id, b"alive")).await;
    client.expect_item(99, flags::NEXT | flags::COMPLETE, b"alive").await;
}

fn raw(stream: u32, kind: u8, bits: u16, body: &[u8]) -> Vec<u8> {
    framed(&[&stream.to_be_bytes()[..], &(u16::from(kind) << 10 | bits).to_be_bytes(), body].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_unknown_streams_are_dropped_and_the_connection_lives() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    for id in [1, 2, 777, MAX_N] {
        for peer in [&mut client, &mut server] {
            let frames = [
                item(id, b"x"),
                complete(id),
                payload(id, flags::FOLLOWS, b"x"),
                error(id, 0x201, "x"),
                Frame::cancel(id),
            ];
            peer.send_all(frames.into_iter().chain([Frame::request_n(id, 5)])).await;
        }
    }
    client.fence().await;
    server.expect_nothing().await;
    client.expect_nothing().await;
    expect_alive(&mut client, &mut server).await;
    assert!(broker.meter("towline_late_frames_total") >= 40.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_setup_is_ignored() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    client.send(Setup::app("another").service("test.Other").frame()).await;
    client.send(call(3, "test.Other.call", b"")).await;
    assert!(client.expect_error(3).await.1.starts_with("RST-900404"));
    server.send(last(2, b"unharmed")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"unharmed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_an_id_in_use_is_ignored() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send_all([call(1, "test.Echo.call", b"one"), stream(3, 5, "test.Echo.list", b"two")]).await;
    client
        .send_all([
            call(1, "test.Echo.call", b"again"),
            stream(3, 5, "test.Echo.list", b"again"),
            forget(3, "test.Echo.tell", b"again"),
        ])
        .await;
    assert_eq!(server.recv().await.view().data(), b"one");
    assert_eq!(server.recv().await.view().data(), b"two");
    client.fence().await;
    server.expect_nothing().await;
    server.send(last(2, b"1")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"1").await;
    server.send(last(4, b"2")).await;
    client.expect_item(3, flags::NEXT | flags::COMPLETE, b"2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_even_id_of_a_client_is_refused() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    for frame in
        [call(2, "test.Echo.call", b""), stream(4, 1, "test.Echo.list", b""), channel(6, 0, 1, "test.Echo.talk", b"")]
    {
        let id = frame.view().stream_id();
        client.send(frame).await;
        let (code, text) = client.expect_error(id).await;
        assert!(code == 0x204 && text.contains("odd"), "{code:#x} {text}");
    }
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_top_bit_of_a_stream_id_is_no_part_of_it() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let mut request = call(5, "test.Echo.call", b"");
    request.bytes_mut()[0] |= 0x80;
    client.send(request).await;
    server.expect(FrameType::RequestResponse).await;
    let mut answer = last(2, b"ok");
    answer.bytes_mut()[0] |= 0x80;
    server.send(answer).await;
    client.expect_item(5, flags::NEXT | flags::COMPLETE, b"ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_asks_for_at_least_one_item() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    for frame in [stream(1, 0, "test.Echo.list", b""), channel(3, 0, 0, "test.Echo.talk", b"")] {
        let id = frame.view().stream_id();
        client.send(frame).await;
        assert_eq!(client.expect_error(id).await.0, 0x204);
    }
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_on_a_stream_they_do_not_belong_to_are_ignored() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let nobody = PayloadParts { metadata: Some(&route("test.Echo.call")), data: b"x" };
    for kind in [FrameType::RequestResponse, FrameType::RequestFnf, FrameType::RequestStream, FrameType::RequestChannel]
    {
        client.send(Frame::request(kind, 0, 0, 1, nobody)).await;
    }
    let mut keepalive = Frame::keepalive(true, b"on stream 5");
    keepalive.bytes_mut()[3] = 5;
    let mut push = Frame::metadata_push(b"x");
    push.bytes_mut()[3] = 5;
    let on_0 = [item(0, b"x"), Frame::cancel(0), Frame::request_n(0, 1), Frame::metadata_push(b"x")];
    let lease = Frame::lease(std::time::Duration::from_secs(1), 1);
    client.send_all(on_0.into_iter().chain([keepalive, push, lease])).await;
    client.send_bytes(&raw(0, 0x0E, 0, &[0; 8])).await;
    for code in 1..=4 {
        client.send(error(0, code, "only a server says that")).await;
    }
    client.expect_nothing().await;
    server.expect_nothing().await;
    expect_alive(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_frame_closes_unless_it_asks_to_be_ignored() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let extended = [0, 0, 0, 7, 1, 2, 3];
    for (kind, body) in [(0x2A, &b"body"[..]), (0x2B, b""), (0, b""), (0x3F, &extended)] {
        for stream in [0, 1, 2] {
            client.send_bytes(&raw(stream, kind, flags::IGNORE, body)).await;
        }
        let mut doomed = broker.client().await;
        doomed.send_bytes(&raw(0, kind, 0, body)).await;
        assert_eq!(doomed.expect_end().await.0, 0x101, "{kind:#x}");
    }
    expect_alive(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_length_that_does_not_fit_closes_unless_it_may_be_ignored() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let bodies =
        [(0x04, &[0xFF, 0xFF, 0xFF, 1, 2][..]), (0x06, &[0, 0, 0, 1, 0, 0, 9, 1]), (0x0A, &[0, 0]), (0x0A, &[0, 0, 1])];
    for (kind, body) in bodies {
        client.send_bytes(&raw(1, kind, flags::IGNORE | flags::METADATA, body)).await;
        let mut doomed = broker.client().await;
        doomed.send_bytes(&raw(1, kind, flags::METADATA, body)).await;
        let (code, text) = doomed.expect_end().await;
        assert!(code == 0x101 && text.contains("metadata length"), "{code:#x} {text}");
    }
    expect_alive(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_too_short_for_its_type_closes_its_own_connection_alone() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    for bytes in
        [framed(b""), framed(&[0, 0, 0]), raw(1, 0x06, 0, &[0]), raw(1, 0x08, 0, &[0, 0]), raw(0, 0x03, 0, &[0])]
    {
        let mut doomed = broker.client().await;
        doomed.send_bytes(&bytes).await;
        assert_eq!(doomed.expect_end().await.0, 0x101, "{bytes:?}");
    }
    let mut garbage = broker.client().await;
    garbage.try_send_bytes(&[0xA5; 50_000]).await;
    drop(garbage);
    expect_alive(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_after_setup_ends_the_connection() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.send_bytes(&raw(0, 0x0D, 0, &[&[0, 1, 0, 0, 0, 2, 9, 9][..], &[0; 16]].concat())).await;
    let (code, text) = client.expect_end().await;
    assert!(code == 0x101 && text.contains("RESUME"), "{code:#x} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_cut_anywhere_is_put_together_again() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let request = call(1, "test.Echo.call", b"in pieces");
    for at in 1..request.wire().len() {
        let (a, b) = request.wire().split_at(at);
        client.send_bytes(a).await;
        client.send_bytes(b).await;
        let arrived = server.expect(FrameType::RequestResponse).await;
        assert_eq!(arrived.view().data(), b"in pieces", "cut at {at}");
        server.send(last(arrived.view().stream_id(), b"")).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    }
}
