//! Request-response, fire-and-forget and streams.

use crate::harness::*;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime};
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    metadata_and_data_cross_byte_for_byte_both_ways,
    answers_in_another_order_reach_their_own_calls,
    a_fire_and_forget_arrives_and_is_never_answered,
    a_fire_and_forget_nobody_serves_is_dropped_without_a_word,
    a_stream_passes_its_items_in_order_and_ends_with_complete,
    an_app_may_call_itself,
    both_ends_of_a_connection_may_ask_and_serve,
    cancel_reaches_the_responder_and_a_late_answer_nobody,
    a_stream_of_20000_items_arrives_in_order,
    items_may_be_empty_and_a_stream_may_have_none,
}

async fn metadata_and_data_cross_byte_for_byte_both_ways(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let all: Vec<u8> = (0..=255).collect();
    let metadata = CompositeBuilder::new()
        .entry(Mime::named("application/x.of-the-app"), &all)
        .entry(mime::ROUTING, b"\x0etest.Echo.call\x04junk\x00")
        .entry(mime::MESSAGE_MIME, b"\x85")
        .entry(mime::TRACING, &[])
        .entry(mime::ROUTING, b"\x01x")
        .finish();
    let tail = [&metadata[..], &[0x80, 1, 2]].concat();
    for (nth, (metadata, data)) in
        [(&metadata[..], &all[..]), (&metadata, b""), (&tail, &[0; 5000])].into_iter().enumerate()
    {
        let stream = 1 + 2 * nth as u32;
        client.send(call_with(stream, Some(metadata), data)).await;
        let request = server.expect(FrameType::RequestResponse).await;
        assert_eq!(parts(&request), (Some(metadata.to_vec()), data.to_vec()));
        for answer in [None, Some(&b""[..]), Some(&all[..])].into_iter().skip(nth).take(1) {
            let answer = PayloadParts { metadata: answer, data };
            let id = request.view().stream_id();
            server.send(Frame::payload(id, flags::NEXT | flags::COMPLETE, answer)).await;
            let frame = client.expect_payload(stream).await;
            assert_eq!(
                parts(&frame),
                (answer.metadata.map(<[u8]>::to_vec), data.to_vec()),
                "empty metadata is not none"
            );
        }
    }
}

async fn answers_in_another_order_reach_their_own_calls(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send_all((0..200).map(|n: u32| call(1 + 2 * n, "test.Echo.call", &n.to_be_bytes()))).await;
    let mut asked = Vec::new();
    for _ in 0..200 {
        asked.push(server.expect(FrameType::RequestResponse).await);
    }
    server.send_all(asked.iter().rev().map(|frame| last(frame.view().stream_id(), frame.view().data()))).await;
    for n in (0..200u32).rev() {
        client.expect_item(1 + 2 * n, flags::NEXT | flags::COMPLETE, &n.to_be_bytes()).await;
    }
}

async fn a_fire_and_forget_arrives_and_is_never_answered(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for n in 0..20u8 {
        client.send(forget(1 + 2 * u32::from(n), "test.Echo.tell", &[n])).await;
        let frame = server.expect(FrameType::RequestFnf).await;
        assert_eq!(parts(&frame), (Some(route("test.Echo.tell")), vec![n]));
        server.send(last(frame.view().stream_id(), b"nobody asked")).await;
        server.send(error(frame.view().stream_id(), 0x201, "nobody asked")).await;
    }
    server.fence().await;
    client.expect_nothing().await;
}

async fn a_fire_and_forget_nobody_serves_is_dropped_without_a_word(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    client.send(forget(1, "test.Nobody.tell", b"x")).await;
    client.send(Frame::request(FrameType::RequestFnf, 3, 0, 0, PayloadParts::default())).await;
    client.send(forget(4, "test.Nobody.tell", b"an even id")).await;
    client.expect_nothing().await;
}

async fn a_stream_passes_its_items_in_order_and_ends_with_complete(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for (stream_id, has_last_item) in [(1, true), (3, false)] {
        client.send(stream(stream_id, 5, "test.Echo.list", b"from here")).await;
        let request = server.expect(FrameType::RequestStream).await;
        let id = request.view().stream_id();
        assert_eq!((request.view().request_n(), request.view().data()), (5, &b"from here"[..]));
        for n in 0..4u8 {
            server.send(item(id, &[n])).await;
            client.expect_item(stream_id, flags::NEXT, &[n]).await;
        }
        let (frame, bits) = if has_last_item {
            (last(id, b"4"), flags::NEXT | flags::COMPLETE)
        } else {
            (complete(id), flags::COMPLETE)
        };
        server.send(frame).await;
        client.expect_item(stream_id, bits, if has_last_item { b"4" } else { b"" }).await;
    }
    client.expect_nothing().await;
}

async fn an_app_may_call_itself(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut app = broker.serve("test.Echo").await;
    app.send(call(1, "test.Echo.call", b"to me")).await;
    let request = app.expect(FrameType::RequestResponse).await;
    assert_eq!((request.view().stream_id(), request.view().data()), (2, &b"to me"[..]));
    app.send(last(2, b"from me")).await;
    app.expect_item(1, flags::NEXT | flags::COMPLETE, b"from me").await;
    app.send(call(3, "test.Echo.call", b"taken back")).await;
    app.expect(FrameType::RequestResponse).await;
    app.send(Frame::cancel(3)).await;
    app.expect_cancel(4).await;
    app.expect_nothing().await;
}

async fn both_ends_of_a_connection_may_ask_and_serve(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut a, mut b) = (broker.serve("test.A").await, broker.serve("test.B").await);
    a.send(call(1, "test.B.m", b"a asks")).await;
    b.send(call(1, "test.A.m", b"b asks")).await;
    for (peer, data, answer) in [(&mut a, b"b asks", b"a says"), (&mut b, b"a asks", b"b says")] {
        let request = peer.expect(FrameType::RequestResponse).await;
        assert_eq!((request.view().stream_id(), request.view().data()), (2, &data[..]));
        peer.send(last(2, answer)).await;
    }
    a.expect_item(1, flags::NEXT | flags::COMPLETE, b"b says").await;
    b.expect_item(1, flags::NEXT | flags::COMPLETE, b"a says").await;
}

async fn cancel_reaches_the_responder_and_a_late_answer_nobody(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn a_stream_of_20000_items_arrives_in_order(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    produce(broker.serve("test.Echo").await, 16);
    client.send(stream(1, 20_000, "test.Echo.list", &20_000u64.to_be_bytes())).await;
    for n in 0..20_000u64 {
        let frame = client.expect_payload(1).await;
        assert_eq!(
            (frame.view().data()[..8].to_vec(), frame.view().has(flags::COMPLETE)),
            (n.to_be_bytes().to_vec(), n == 19_999)
        );
    }
}

async fn items_may_be_empty_and_a_stream_may_have_none(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    for (stream_id, has_items) in [(1, false), (3, true)] {
        client.send(stream(stream_id, 5, "test.Echo.list", b"")).await;
        let id = server.expect(FrameType::RequestStream).await.view().stream_id();
        if has_items {
            server.send_all([item(id, b""), item(id, b""), last(id, b"")]).await;
            client.expect_item(stream_id, flags::NEXT, b"").await;
            client.expect_item(stream_id, flags::NEXT, b"").await;
            client.expect_item(stream_id, flags::NEXT | flags::COMPLETE, b"").await;
        } else {
            server.send(complete(id)).await;
            client.expect_item(stream_id, flags::COMPLETE, b"").await;
        }
    }
    // An answer without an item: the caller is told that there is none.
    client.send(call(5, "test.Echo.call", b"")).await;
    let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
    server.send(complete(id)).await;
    client.expect_item(5, flags::COMPLETE, b"").await;
    client.expect_nothing().await;
}
