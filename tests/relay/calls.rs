//! Request-response, fire-and-forget and streams.

use crate::harness::*;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime};
use towline_rsocket::{Frame, FrameType, flags};

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_data_cross_byte_for_byte_both_ways() {
    let broker = Broker::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_and_forget_arrives_and_is_never_answered() {
    let broker = Broker::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_fire_and_forget_nobody_serves_is_dropped_without_a_word() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.send(forget(1, "test.Nobody.tell", b"x")).await;
    client.send(Frame::request(FrameType::RequestFnf, 3, 0, 0, PayloadParts::default())).await;
    client.send(forget(4, "test.Nobody.tell", b"an even id")).await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_its_items_in_order_and_ends_with_complete() {
    let broker = Broker::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_sees_streams_2_4_6_and_so_on() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let mut ids = Vec::new();
    for nth in 0..5 {
        client.send(call(1001 + 2 * nth, "test.Echo.call", b"")).await;
        ids.push(server.expect(FrameType::RequestResponse).await.view().stream_id());
    }
    assert_eq!(ids, [2, 4, 6, 8, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn requesters_on_the_same_stream_id_get_their_own_answers() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let mut clients = Vec::new();
    let mut asked = Vec::new();
    for nth in 0..5u8 {
        let mut client = broker.client().await;
        client.send(call(1, "test.Echo.call", &[nth])).await;
        let request = server.expect(FrameType::RequestResponse).await;
        asked.push((request.view().stream_id(), request.view().data().to_vec()));
        clients.push(client);
    }
    for (id, data) in asked.iter().rev() {
        server.send(last(*id, data)).await;
    }
    for (nth, client) in clients.iter_mut().enumerate() {
        client.expect_item(1, flags::NEXT | flags::COMPLETE, &[nth as u8]).await;
        client.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_another_order_reach_their_own_calls() {
    let broker = Broker::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_call_itself() {
    let broker = Broker::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_of_a_connection_may_ask_and_serve() {
    let broker = Broker::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_complete_gets_one() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send_all([item(2, b"the answer"), item(2, b"another"), complete(2)]).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"the answer").await;
    server.fence().await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_follows_a_complete() {
    let broker = Broker::start().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_be_used_again_once_its_stream_has_ended() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    for n in 0..3u8 {
        client.send(call(1, "test.Echo.call", &[n])).await;
        let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
        server.send(last(id, &[n])).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, &[n]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_relayed_with_their_code_and_text() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let typed = r#"{"code":"unknown-topic","message":"ähm"}"#;
    for (nth, code) in [0x201, 0x202, 0x203, 0x204, 0x301, 0xABCD_EF01, 0xFFFF_FFFE].into_iter().enumerate() {
        let (answered, streamed) = (1 + 4 * nth as u32, 3 + 4 * nth as u32);
        client.send_all([call(answered, "test.Echo.call", b""), stream(streamed, 5, "test.Echo.list", b"")]).await;
        for (stream_id, text) in [(answered, typed), (streamed, "")] {
            let id = server.recv().await.view().stream_id();
            if stream_id == streamed {
                server.send(item(id, b"first")).await;
                client.expect_item(stream_id, flags::NEXT, b"first").await;
            }
            server.send(error(id, code, text)).await;
            assert_eq!(client.expect_error(stream_id).await, (code, text.to_owned()));
            server.send(item(id, b"late")).await;
        }
    }
    server.fence().await;
    client.expect_nothing().await;
}
