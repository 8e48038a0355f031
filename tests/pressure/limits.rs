//! How many streams there may be, and what is done to those who cancel as fast as they ask.

use crate::harness::*;
use towline_rsocket::{Frame, FrameType, flags};

async fn expect_rejected(client: &mut Peer, stream: u32) {
    let (code, text) = client.expect_error(stream).await;
    assert!(code == 0x202 && text.contains("streams open") && text.contains("retry-after-ms="), "{code:#x} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_has_no_more_streams_than_it_may() {
    let broker = Broker::with(|config| config.relay.max_streams_requester = 4).await;
    let (mut client, mut server) = broker.pair().await;
    let mut other = broker.client().await;
    client.send_all((0..5).map(|nth| call(1 + 2 * nth, "test.Echo.call", b""))).await;
    expect_rejected(&mut client, 9).await;
    for _ in 0..4 {
        server.expect(FrameType::RequestResponse).await;
    }
    other.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    server.send(last(2, b"")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
    client.send(call(9, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_has_no_more_streams_than_it_may() {
    let broker = Broker::with(|config| config.relay.max_streams_responder = 4).await;
    let (mut client, mut server) = broker.pair().await;
    let mut other = broker.client().await;
    client.send_all((0..6).map(|nth| stream(1 + 2 * nth, 1, "test.Echo.list", b""))).await;
    expect_rejected(&mut client, 9).await;
    expect_rejected(&mut client, 11).await;
    for _ in 0..4 {
        server.expect(FrameType::RequestStream).await;
    }
    other.send(call(1, "test.Echo.call", b"")).await;
    expect_rejected(&mut other, 1).await;
    // It is no more than what that app may have: another one takes the call.
    let mut second = broker.serve("test.Echo").await;
    other.send(call(1, "test.Echo.call", b"")).await;
    second.expect(FrameType::RequestResponse).await;
    server.send(complete(2)).await;
    client.expect_item(1, flags::COMPLETE, b"").await;
    server.expect_nothing().await;
    // The id of what was rejected is free.
    client.send(stream(9, 1, "test.Echo.list", b"again")).await;
    let again = tokio::select! {
        frame = server.recv() => frame,
        frame = second.recv() => frame,
    };
    assert_eq!(again.view().data(), b"again");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_requests_count_until_the_responder_has_stopped() {
    let broker =
        Broker::with(|config| (config.relay.max_streams_requester, config.relay.max_streams_responder) = (8, 64)).await;
    let (mut client, mut server) = broker.pair().await;
    let mut other = broker.client().await;
    server.is_answering = false;
    for nth in 0..8 {
        client.send(call(1, "test.Echo.call", b"")).await;
        let id = 2 + 2 * nth;
        loop {
            let frame = server.recv().await;
            if frame.view().kind() == FrameType::RequestResponse {
                assert_eq!(frame.view().stream_id(), id);
                break;
            }
        }
        client.send(Frame::cancel(1)).await;
        server.expect_cancel(id).await;
    }
    client.send(call(1, "test.Echo.call", b"")).await;
    expect_rejected(&mut client, 1).await;
    // Nobody else is harmed.
    other.send(call(1, "test.Echo.call", b"")).await;
    let answered = loop {
        let frame = server.recv().await;
        if frame.view().kind() == FrameType::RequestResponse {
            break frame;
        }
    };
    server.send(last(answered.view().stream_id(), b"yes")).await;
    other.expect_item(1, flags::NEXT | flags::COMPLETE, b"yes").await;
    // One of them says that it has stopped.
    server.send(error(2, 0x203, "stopped")).await;
    server.fence().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_echo_of_a_keepalive_frees_what_was_cancelled_before_it() {
    let broker = Broker::with(|config| config.relay.max_streams_requester = 4).await;
    let (mut client, mut server) = broker.pair().await;
    server.is_answering = false;
    for nth in 0..4 {
        client.send(call(1, "test.Echo.call", b"")).await;
        server.expect(FrameType::RequestResponse).await;
        client.send(Frame::cancel(1)).await;
        server.expect_cancel(2 + 2 * nth).await;
    }
    client.send(call(1, "test.Echo.call", b"")).await;
    expect_rejected(&mut client, 1).await;
    let probe = server.expect(FrameType::Keepalive).await;
    assert!(probe.view().has(flags::RESPOND));
    server.send(Frame::keepalive(false, probe.view().data())).await;
    server.fence().await;
    for nth in 0..4 {
        client.send(call(1 + 2 * nth, "test.Echo.call", b"")).await;
        server.expect(FrameType::RequestResponse).await;
    }
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_and_cancels_harms_no_other() {
    let broker = Broker::with(|config| config.relay.max_streams_requester = 100).await;
    let (mut flood, mut server) = (broker.client().await, broker.serve("test.Echo").await);
    server.is_answering = false;
    let mut other = broker.client().await;
    let flooding = tokio::spawn(async move {
        let mut seen = Vec::new();
        for nth in 0..5000 {
            flood.send(call(1 + 2 * nth, "test.Echo.call", b"flood")).await;
            flood.send(Frame::cancel(1 + 2 * nth)).await;
            if nth % 50 == 49 {
                seen.extend(flood.fence().await);
            }
        }
        seen
    });
    tokio::spawn(async move {
        // It hears of requests and cancels, and of the other's calls, which alone it answers.
        while let Some(frame) = server.next().await {
            if frame.view().data() == b"honest"
                && !server.try_send_bytes(last(frame.view().stream_id(), b"yes").wire()).await
            {
                return;
            }
        }
    });
    for _ in 0..300 {
        other.send(call(1, "test.Echo.call", b"honest")).await;
        other.expect_item(1, flags::NEXT | flags::COMPLETE, b"yes").await;
    }
    for frame in flooding.await.expect("it ends") {
        assert_eq!((frame.view().kind(), frame.view().error_code()), (FrameType::Error, 0x202), "{frame:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_callers_that_take_one_item_and_cancel_are_never_rejected() {
    let broker =
        Broker::with(|config| (config.relay.max_streams_requester, config.relay.max_streams_responder) = (64, 64))
            .await;
    let mut client = broker.client().await;
    produce(broker.serve("test.Echo").await, 10);
    for nth in 0..500 {
        let id = 1 + 2 * nth;
        client.send(stream(id, 5, "test.Echo.list", b"")).await;
        client.expect_payload(id).await;
        client.send(Frame::cancel(id)).await;
        // Whatever was on its way; no error.
        for frame in client.fence().await {
            assert_eq!((frame.view().kind(), frame.view().stream_id()), (FrameType::Payload, id), "{frame:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_nobody_reads_close_the_connection() {
    let broker = Broker::with(|config| config.relay.max_streams_requester = 500).await;
    let mut flood = Peer::connect_narrow(&broker.address).await.introduced(&Setup::anonymous()).await;
    let batch: Vec<u8> = (0..1000).flat_map(|nth| call(1 + 2 * nth, "test.Nobody.call", b"").wire().to_vec()).collect();
    let mut batches = 0;
    while flood.try_send_bytes(&batch).await {
        batches += 1;
        assert!(batches < 1000, "it is never closed");
    }
    broker.until("towline_links_closed_total", 1.0).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
}
