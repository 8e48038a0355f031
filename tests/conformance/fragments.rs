//! Fragments are relayed as they come, never joined.

use crate::harness::*;
use towline_rsocket::fragment::{Whole, split};
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    requests_and_answers_are_relayed_fragment_by_fragment,
    the_last_fragment_of_an_answer_gets_the_complete_it_lacks,
    follows_beside_complete_is_no_promise,
    fragments_of_many_streams_interleave,
    an_error_may_cut_an_answer_short,
    an_answer_before_the_last_fragment_ends_the_call,
    a_request_of_48_mib_in_fragments_arrives_whole,
    metadata_in_fragments_is_gathered_and_relayed_fragment_by_fragment,
    requests_that_are_gathered_do_not_mix_and_hold_back_no_other,
    cancel_before_the_last_fragment_reaches_the_responder,
    a_request_taken_back_before_its_metadata_was_complete_is_never_delivered,
    fragments_without_end_take_no_memory,
}

fn first(kind: FrameType, stream: u32, data: &[u8]) -> Frame {
    let metadata = route("test.Echo.call");
    Frame::request(kind, stream, flags::FOLLOWS, 9, PayloadParts { metadata: Some(&metadata), data })
}

fn fragments(stream: u32, metadata: &[u8], data: &[u8]) -> Vec<Frame> {
    let parts = PayloadParts { metadata: Some(metadata), data };
    let whole = Whole { kind: FrameType::RequestResponse, stream, flags: 0, request_n: 0, parts };
    let mut frames = Vec::new();
    split(whole, 64, |frame| frames.push(frame));
    frames
}

async fn requests_and_answers_are_relayed_fragment_by_fragment(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn the_last_fragment_of_an_answer_gets_the_complete_it_lacks(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn follows_beside_complete_is_no_promise(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send_all([payload(2, flags::NEXT | flags::FOLLOWS | flags::COMPLETE, b"all"), item(2, b"late")]).await;
    let frame = client.expect_payload(1).await;
    assert!(frame.view().has(flags::COMPLETE) && frame.view().data() == b"all");
    assert!(!frame.view().has(flags::FOLLOWS), "a client that believed it would wait for ever");
    server.fence().await;
    client.expect_nothing().await;
}

async fn fragments_of_many_streams_interleave(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn an_error_may_cut_an_answer_short(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn an_answer_before_the_last_fragment_ends_the_call(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(first(FrameType::RequestResponse, 1, b"a")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(last(2, b"enough")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"enough").await;
    client.send_all([payload(1, flags::FOLLOWS, b"b"), payload(1, flags::NEXT, b"c")]).await;
    client.expect_nothing().await;
}

async fn a_request_of_48_mib_in_fragments_arrives_whole(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn metadata_in_fragments_is_gathered_and_relayed_fragment_by_fragment(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let sent = fragments(1, &padded(1000), &[9; 500]);
    assert!(sent.len() > 20, "{}", sent.len());
    for frame in &sent {
        client.send(frame.clone()).await;
    }
    for (nth, frame) in sent.iter().enumerate() {
        let arrived = server.recv().await;
        assert_eq!(arrived.view().stream_id(), 2);
        assert_eq!(
            (arrived.view().kind(), arrived.view().flags()),
            (frame.view().kind(), frame.view().flags()),
            "{nth}"
        );
        assert_eq!(parts(&arrived), parts(frame), "{nth}");
    }
    server.send(last(2, b"ok")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"ok").await;
    client.expect_nothing().await;
    server.expect_nothing().await;
}

async fn requests_that_are_gathered_do_not_mix_and_hold_back_no_other(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let (a, b) = (fragments(1, &padded(300), b"of a"), fragments(3, &padded(300), b"of b"));
    let (last_a, last_b) = (a.len() - 1, b.len() - 1);
    for (a, b) in a[..last_a].iter().zip(&b[..last_b]) {
        client.send_all([a.clone(), b.clone()]).await;
    }
    client.send(call(5, "test.Echo.call", b"whole")).await;
    assert_eq!(server.expect(FrameType::RequestResponse).await.view().data(), b"whole");
    client.send_all([b[last_b].clone(), a[last_a].clone()]).await;
    for (id, data) in [(4, b"of b"), (6, b"of a")] {
        assert_eq!(server.expect(FrameType::RequestResponse).await.view().stream_id(), id);
        let mut joined = Vec::new();
        for _ in 0..last_a {
            joined.extend_from_slice(server.expect_payload(id).await.view().data());
        }
        assert_eq!(joined, data);
    }
}

async fn cancel_before_the_last_fragment_reaches_the_responder(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn a_request_taken_back_before_its_metadata_was_complete_is_never_delivered(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn fragments_without_end_take_no_memory(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    let chunk = vec![7; 1 << 20];
    client.send(first(FrameType::RequestResponse, 1, b"begun")).await;
    server.expect(FrameType::RequestResponse).await;
    let mut peak = 0.0f64;
    for _ in 0..160 {
        let (_, arrived) = tokio::join!(client.send(payload(1, flags::FOLLOWS, &chunk)), server.expect_payload(2));
        assert_eq!(arrived.view().data().len(), chunk.len());
        peak = peak.max(broker.meter("towline_budget_used_bytes"));
    }
    assert!(peak < (8 << 20) as f64, "{peak} bytes held of 160 MiB");
    client.send(Frame::cancel(1)).await;
    server.expect_cancel(2).await;
}
