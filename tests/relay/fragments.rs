//! Fragments are relayed as they come, never joined.

use crate::harness::*;
use towline_rsocket::frame::{MAX_FRAME, PayloadParts};
use towline_rsocket::{Frame, FrameType, flags};

fn first(kind: FrameType, stream: u32, data: &[u8]) -> Frame {
    let metadata = route("test.Echo.call");
    Frame::request(kind, stream, flags::FOLLOWS, 9, PayloadParts { metadata: Some(&metadata), data })
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_are_relayed_fragment_by_fragment() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    // Follow-ups with N and without it, and one that carries metadata as well.
    let with_metadata = PayloadParts { metadata: Some(b"no matter"), data: b"c" };
    client.send(first(FrameType::RequestResponse, 1, b"a")).await;
    client.send(payload(1, flags::NEXT | flags::FOLLOWS, b"b")).await;
    client.send(Frame::payload(1, flags::FOLLOWS, with_metadata)).await;
    let request = server.expect(FrameType::RequestResponse).await;
    assert!(request.view().has(flags::FOLLOWS));
    assert_eq!(parts(&request), (Some(route("test.Echo.call")), b"a".to_vec()));
    server.expect_item(2, flags::NEXT | flags::FOLLOWS, b"b").await;
    assert_eq!(parts(&server.expect_payload(2).await), (Some(b"no matter".to_vec()), b"c".to_vec()));
    client.send(payload(1, flags::NEXT, b"d")).await;
    server.expect_item(2, flags::NEXT, b"d").await;
    server.send(payload(2, flags::NEXT | flags::FOLLOWS, b"1")).await;
    client.expect_item(1, flags::NEXT | flags::FOLLOWS, b"1").await;
    server.send(payload(2, flags::FOLLOWS, b"2")).await;
    client.expect_item(1, flags::FOLLOWS, b"2").await;
    server.send(payload(2, flags::NEXT | flags::COMPLETE, b"3")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"3").await;
    client.expect_nothing().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_fragment_of_an_answer_gets_the_complete_it_lacks() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server
        .send_all([payload(2, flags::NEXT | flags::FOLLOWS, b"1"), payload(2, flags::NEXT, b"2"), item(2, b"3")])
        .await;
    client.expect_item(1, flags::NEXT | flags::FOLLOWS, b"1").await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"2").await;
    server.fence().await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_beside_complete_is_no_promise() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send_all([payload(2, flags::NEXT | flags::FOLLOWS | flags::COMPLETE, b"all"), item(2, b"late")]).await;
    let frame = client.expect_payload(1).await;
    assert!(frame.view().has(flags::COMPLETE) && frame.view().data() == b"all");
    server.fence().await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_of_many_streams_interleave() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let kinds =
        [FrameType::RequestResponse, FrameType::RequestFnf, FrameType::RequestStream, FrameType::RequestChannel];
    client.send_all((0..4).map(|nth| first(kinds[nth as usize], 1 + 2 * nth, &[nth as u8]))).await;
    for nth in 0..4 {
        assert_eq!(server.expect(kinds[nth as usize]).await.view().stream_id(), 2 + 2 * nth);
    }
    for round in 0..3u8 {
        client.send_all((0..4).rev().map(|nth| payload(1 + 2 * nth, flags::FOLLOWS, &[nth as u8, round]))).await;
        for nth in (0..4).rev() {
            server.expect_item(2 + 2 * nth, flags::FOLLOWS, &[nth as u8, round]).await;
        }
    }
    client.send_all((0..4).map(|nth| payload(1 + 2 * nth, flags::NEXT, b"end"))).await;
    for nth in 0..4 {
        server.expect_item(2 + 2 * nth, flags::NEXT, b"end").await;
    }
    for id in [2, 6, 8] {
        server.send(last(id, &[id as u8])).await;
        client.expect_item(id - 1, flags::NEXT | flags::COMPLETE, &[id as u8]).await;
    }
    client.send(payload(3, flags::NEXT, b"the fire-and-forget has ended")).await;
    client.expect_nothing().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_may_cut_an_answer_short() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server
        .send_all([
            payload(2, flags::NEXT | flags::FOLLOWS, b"1"),
            error(2, 0x201, "no more"),
            payload(2, flags::NEXT, b"2"),
        ])
        .await;
    client.expect_item(1, flags::NEXT | flags::FOLLOWS, b"1").await;
    assert_eq!(client.expect_error(1).await, (0x201, "no more".to_owned()));
    server.fence().await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_last_fragment_ends_the_call() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(first(FrameType::RequestResponse, 1, b"a")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(last(2, b"enough")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"enough").await;
    client.send_all([payload(1, flags::FOLLOWS, b"b"), payload(1, flags::NEXT, b"c")]).await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_of_16_mib_less_one_cross_both_ways() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let metadata = route("test.Echo.call");
    let data: Vec<u8> = (0..MAX_FRAME - 6 - 3 - metadata.len()).map(|n| (n % 251) as u8).collect();
    let request = call_with(1, Some(&metadata), &data);
    assert_eq!(request.wire().len(), 3 + 0xFF_FFFF);
    let (sent, arrived) = tokio::join!(client.send(request), server.expect(FrameType::RequestResponse));
    let () = sent;
    assert!(arrived.view().metadata() == Some(&metadata[..]) && arrived.view().data() == data, "it has changed");
    let data: Vec<u8> = (0..MAX_FRAME - 6).map(|n| (n % 241) as u8).collect();
    let (_, arrived) = tokio::join!(server.send(last(2, &data)), client.expect_payload(1));
    assert!(arrived.view().data() == data, "it has changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_48_mib_in_fragments_arrives_whole() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let chunk: Vec<u8> = (0..1 << 20).map(|n| (n % 239) as u8).collect();
    let send = async {
        client.send(first(FrameType::RequestResponse, 1, &chunk)).await;
        for nth in 1..48 {
            client.send(payload(1, if nth == 47 { flags::NEXT } else { flags::FOLLOWS }, &chunk)).await;
        }
    };
    let read = async {
        assert!(server.expect(FrameType::RequestResponse).await.view().data() == chunk);
        for _ in 1..48 {
            assert!(server.expect_payload(2).await.view().data() == chunk);
        }
    };
    tokio::join!(send, read);
    server.send(last(2, b"thanks")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"thanks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_configured_length_closes_its_own_connection() {
    let broker = Broker::with(|config| config.relay.max_frame = 100_000).await;
    let (mut client, mut server) = broker.pair().await;
    let mut large = broker.client().await;
    large.send_bytes(&[1, 0x86, 0xA1, 0, 0, 0, 1]).await;
    let (code, text) = large.expect_end().await;
    assert!(code == 0x101 && text.contains("100001") && text.contains("100000"), "{code:#x} {text}");
    client.send(call(1, "test.Echo.call", &[7; 50_000])).await;
    assert_eq!(server.expect(FrameType::RequestResponse).await.view().data(), [7; 50_000]);
}
