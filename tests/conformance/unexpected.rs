//! Frames that should not be there.

use crate::harness::*;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    frames_of_unknown_streams_are_dropped_and_the_connection_lives,
    a_second_setup_is_ignored,
    a_request_on_an_id_in_use_is_ignored,
    frames_on_a_stream_they_do_not_belong_to_are_ignored,
    an_answer_without_complete_gets_one,
    nothing_follows_a_complete,
    a_payload_with_neither_item_nor_end_is_an_item_and_no_answer,
}

async fn frames_of_unknown_streams_are_dropped_and_the_connection_lives(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn a_second_setup_is_ignored(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    client.send(Setup::app("another").service("test.Other").frame()).await;
    client.send(call(3, "test.Other.call", b"")).await;
    assert!(client.expect_error(3).await.1.starts_with("RST-900404"));
    server.send(last(2, b"unharmed")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"unharmed").await;
}

async fn a_request_on_an_id_in_use_is_ignored(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn frames_on_a_stream_they_do_not_belong_to_are_ignored(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn an_answer_without_complete_gets_one(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send_all([item(2, b"the answer"), item(2, b"another"), complete(2)]).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"the answer").await;
    server.fence().await;
    client.expect_nothing().await;
}

async fn nothing_follows_a_complete(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    client.send(stream(3, 100, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.expect(FrameType::RequestStream).await;
    for id in [2, 4] {
        server.send_all([last(id, b"all"), item(id, b"more"), complete(id), error(id, 0x201, "late")]).await;
    }
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"all").await;
    client.expect_item(3, flags::NEXT | flags::COMPLETE, b"all").await;
    server.fence().await;
    client.expect_nothing().await;
}

async fn a_payload_with_neither_item_nor_end_is_an_item_and_no_answer(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send_all([stream(1, 2, "test.Echo.list", b""), call(3, "test.Echo.call", b"")]).await;
    server.expect(FrameType::RequestStream).await;
    server.expect(FrameType::RequestResponse).await;
    server.send_all([payload(4, 0, b"neither"), payload(4, 0, b""), last(4, b"the end")]).await;
    client.expect_item(3, flags::NEXT | flags::COMPLETE, b"the end").await;
    // It used a credit, and the requester counts it too.
    server.send_all([payload(2, 0, b""), payload(2, 0, b"neither"), complete(2)]).await;
    client.expect_item(1, flags::NEXT, b"").await;
    client.expect_item(1, flags::NEXT, b"neither").await;
    client.expect_item(1, flags::COMPLETE, b"").await;
    client.expect_nothing().await;
}
