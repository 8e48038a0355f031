//! Calls that go nowhere, apps that vanish, and who is not harmed by it.

use crate::harness::*;
use std::collections::HashSet;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{CompositeBuilder, mime};
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    a_request_without_routing_is_invalid_and_says_so,
    an_unknown_service_is_named_with_the_versions_present,
    every_instance_gets_calls_and_a_lost_one_none,
    an_app_that_reconnects_serves_at_once_though_its_old_connection_hangs,
    a_lost_requester_cancels_all_its_streams,
    a_lost_responder_ends_a_thousand_streams_with_an_error_each,
    a_responder_that_breaks_the_protocol_is_lost_to_its_requesters,
    an_app_that_calls_itself_may_vanish,
    a_stream_without_credit_holds_back_no_other_of_its_connections,
    a_requester_that_asks_for_all_and_reads_nothing_holds_back_no_other,
}

const LOST: &str = "the connection to the other side was lost";

async fn a_request_without_routing_is_invalid_and_says_so(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let foreign = CompositeBuilder::new().entry(mime::TRACING, b"x").finish();
    let cut = [0xFE, 0, 0, 9, 8, b'a'];
    for metadata in [None, Some(&b""[..]), Some(&foreign[..]), Some(&cut), Some(b"\xfe\0\0\0"), Some(b"\xfe\0\0\x01\0")]
    {
        let (code, text) = refusal(&mut client, metadata).await;
        assert!(code == 0x204 && text.starts_with("RST-600404: No Routing metadata"), "{metadata:?}: {code:#x} {text}");
    }
    let mut bare = broker.join(Setup::anonymous().metadata_mime("application/json")).await;
    let (code, text) = refusal(&mut bare, Some(&route("test.Echo.call"))).await;
    assert!(code == 0x204 && text.starts_with("RST-600404") && text.contains(COMPOSITE), "{code:#x} {text}");
}

async fn an_unknown_service_is_named_with_the_versions_present(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    for kind in
        [call(1, "test.Echo.call", b""), stream(1, 1, "test.Echo.call", b""), channel(1, 0, 1, "test.Echo.call", b"")]
    {
        client.send(kind).await;
        let (code, text) = client.expect_error(1).await;
        assert_eq!(
            (code, text.as_str()),
            (
                0x204,
                "RST-900404: Service not found test.Echo; no app registered test.Echo: start one that serves it, or \
                 correct the tag, which is service.method"
            )
        );
    }
    let _one = broker.join(Setup::app("one").published("", "test.Echo", "1").published("g", "test.Echo", "2")).await;
    let _two = broker.join(Setup::app("two").published("", "test.Echo", "1")).await;
    let (code, text) = refusal(&mut client, Some(&route("test.Echo.call"))).await;
    assert!(code == 0x204 && text.starts_with("RST-900404: Service not found test.Echo; "), "{text}");
    assert!(text.contains("test.Echo:1 has 2") && text.contains("g!test.Echo:2 has 1"), "{text}");
}

async fn every_instance_gets_calls_and_a_lost_one_none(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut peers =
        vec![broker.serve("test.Echo").await, broker.serve("test.Echo").await, broker.serve("test.Echo").await];
    let mut seen = [0; 3];
    for _ in 0..100 {
        seen[serves(&mut client, &mut peers).await] += 1;
    }
    assert!(seen.iter().all(|calls| *calls > 0), "{seen:?}");
    drop(peers.remove(0));
    broker.until("towline_links_closed_total", 1.0).await;
    for _ in 0..50 {
        serves(&mut client, &mut peers).await;
    }
}

async fn an_app_that_reconnects_serves_at_once_though_its_old_connection_hangs(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut hanging = broker.join(Setup::app("app").service("test.Echo")).await;
    hanging.is_answering = false;
    for _ in 0..5 {
        let mut peers = [broker.join(Setup::app("app").service("test.Echo")).await];
        assert_eq!(serves(&mut client, &mut peers).await, 0);
        let closed = broker.meter("towline_links_closed_total");
        drop(peers);
        broker.until("towline_links_closed_total", closed + 1.0).await;
    }
}

async fn a_lost_requester_cancels_all_its_streams(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn a_lost_responder_ends_a_thousand_streams_with_an_error_each(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn a_responder_that_breaks_the_protocol_is_lost_to_its_requesters(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send_bytes(&framed(&[0, 0, 0, 2, 0x2A << 2, 0])).await;
    assert_eq!(client.expect_error(1).await, (0x203, LOST.to_owned()));
    assert_eq!(server.expect_end().await.0, 0x101);
}

async fn an_app_that_calls_itself_may_vanish(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
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

async fn a_stream_without_credit_holds_back_no_other_of_its_connections(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    produce(broker.serve("test.Echo").await, 1000);
    client.send_all((0..20).map(|nth| stream(1 + 2 * nth, 1, "test.Echo.list", b""))).await;
    for _ in 0..20 {
        client.expect(FrameType::Payload).await;
    }
    client.send(stream(101, 3000, "test.Echo.list", &3000u64.to_be_bytes())).await;
    for _ in 0..3000 {
        client.expect_payload(101).await;
    }
    client.send(Frame::request_n(7, 2)).await;
    client.expect_payload(7).await;
    client.expect_payload(7).await;
    client.expect_nothing().await;
}

async fn a_requester_that_asks_for_all_and_reads_nothing_holds_back_no_other(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    produce(broker.serve("test.Echo").await, 1000);
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let mut peer = broker.narrow_client().await;
        peer.send(stream(1, MAX_N, "test.Echo.list", b"")).await;
        stalled.push(peer);
    }
    let mut client = broker.client().await;
    for round in 0..5u32 {
        let id = 1 + 2 * round;
        client.send(stream(id, 2000, "test.Echo.list", &2000u64.to_be_bytes())).await;
        for n in 0..2000u64 {
            assert_eq!(client.expect_payload(id).await.view().data()[..8], n.to_be_bytes());
        }
    }
    // Each of the stalled ones gets the items it asked for, in order, once it reads.
    for peer in &mut stalled {
        for n in 0..2000u64 {
            assert_eq!(peer.expect_payload(1).await.view().data()[..8], n.to_be_bytes());
        }
    }
}
