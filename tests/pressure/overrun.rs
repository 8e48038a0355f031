//! Who sends more than was asked for is contained: nobody sees an item it did not ask for.

use crate::harness::*;
use towline_rsocket::{Frame, FrameType, flags};

#[tokio::test(flavor = "multi_thread")]
async fn credit_that_was_not_passed_on_yet_is_no_overrun() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 1000, "test.Echo.list", b"")).await;
    assert!(server.expect(FrameType::RequestStream).await.view().request_n() < 1000);
    server.send_all((0..1000u32).map(|n| item(2, &n.to_be_bytes()))).await;
    for n in 0..1000u32 {
        client.expect_item(1, flags::NEXT, &n.to_be_bytes()).await;
    }
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_behind_parked_items_is_not_lost() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 1, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    server.send_all([item(2, b"1"), item(2, b"2"), error(2, 0x201, "failed")]).await;
    client.expect_item(1, flags::NEXT, b"1").await;
    assert_eq!(client.expect_error(1).await, (0x201, "failed".to_owned()), "an error overtakes what was not asked for");
    client.send(Frame::request_n(1, 5)).await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_of_a_stream_it_ends_on_both_sides() {
    let broker = Broker::with(|config| config.relay.park_stream = 4096).await;
    let (mut client, mut server) = broker.pair().await;
    client.send_all([stream(1, 2, "test.Echo.list", b""), stream(3, 2, "test.Echo.list", b"")]).await;
    server.expect(FrameType::RequestStream).await;
    server.expect(FrameType::RequestStream).await;
    for _ in 0..2 {
        server.send(item(2, &[7; 1000])).await;
        client.expect_item(1, flags::NEXT, &[7; 1000]).await;
    }
    server.send_all((0..8).map(|_| item(2, &[7; 1000]))).await;
    assert_eq!(client.expect_error(1).await, (0x203, "more items were sent than were asked for".to_owned()));
    server.expect_cancel(2).await;
    client.expect_nothing().await;
    server.send(last(4, b"unharmed")).await;
    client.expect_item(3, flags::NEXT | flags::COMPLETE, b"unharmed").await;
    assert_eq!(broker.meter("towline_parked_bytes"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bound_of_a_connection_a_stream_ends() {
    let broker = Broker::with(|config| (config.relay.park_stream, config.relay.park_link) = (4096, 8192)).await;
    let (mut client, mut server) = broker.pair().await;
    let mut other = broker.client().await;
    client.send_all((0..3).map(|nth| stream(1 + 2 * nth, 1, "test.Echo.list", b""))).await;
    for _ in 0..3 {
        server.expect(FrameType::RequestStream).await;
    }
    other.send(stream(1, 1, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    for id in [2, 4, 6] {
        server.send(item(id, &[7; 1000])).await;
        client.expect_item(id - 1, flags::NEXT, &[7; 1000]).await;
    }
    for id in [2, 4, 6] {
        server.send_all((0..3).map(|_| item(id, &[7; 1000]))).await;
    }
    server.send_all((0..4).map(|_| item(8, &[7; 1000]))).await;
    assert_eq!(client.expect_error(5).await.0, 0x203);
    server.expect_cancel(6).await;
    server.fence().await;
    client.expect_nothing().await;
    other.expect_item(1, flags::NEXT, &[7; 1000]).await;
    other.send(Frame::request_n(1, 3)).await;
    for _ in 0..3 {
        other.expect_item(1, flags::NEXT, &[7; 1000]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_that_sends_too_much_upstream_is_contained_alike() {
    let broker = Broker::with(|config| config.relay.park_stream = 4096).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(channel(1, 0, 5, "test.Echo.talk", b"")).await;
    server.expect(FrameType::RequestChannel).await;
    // Nothing has been asked for, and then two.
    client.send_all((0..10u8).map(|n| item(1, &[n]))).await;
    client.fence().await;
    server.expect_nothing().await;
    server.send(Frame::request_n(2, 2)).await;
    server.expect_item(2, flags::NEXT, &[0]).await;
    server.expect_item(2, flags::NEXT, &[1]).await;
    server.expect_nothing().await;
    server.send(Frame::request_n(2, 100)).await;
    for n in 2..10u8 {
        server.expect_item(2, flags::NEXT, &[n]).await;
    }
    let mut granted = 0;
    for frame in client.fence().await {
        assert_eq!(frame.view().kind(), FrameType::RequestN, "{frame:?}");
        granted += frame.view().request_n();
    }
    assert!(granted <= 102 - 10, "{granted}");

    client.send(channel(3, 0, 5, "test.Echo.talk", b"")).await;
    server.expect(FrameType::RequestChannel).await;
    client.send_all((0..10).map(|_| item(3, &[7; 1000]))).await;
    assert_eq!(client.expect_error(3).await, (0x203, "more items were sent than were asked for".to_owned()));
    server.expect_cancel(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_of_an_item_that_was_not_asked_for_waits_too() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 1, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    server.send_all([item(2, b"0"), item(2, b"1"), payload(2, flags::NEXT | flags::FOLLOWS, b"a")]).await;
    client.expect_item(1, flags::NEXT, b"0").await;
    server.fence().await;
    client.send_all([Frame::request_n(1, 0), Frame::request_n(1, 1)]).await;
    client.expect_item(1, flags::NEXT, b"1").await;
    client.expect_nothing().await;
    server.send(payload(2, flags::NEXT, b"b")).await;
    server.fence().await;
    client.expect_nothing().await;
    client.send(Frame::request_n(1, 1)).await;
    client.expect_item(1, flags::NEXT | flags::FOLLOWS, b"a").await;
    client.expect_item(1, flags::NEXT, b"b").await;
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_credit_closes_who_overruns_and_nobody_else() {
    let broker = Broker::with(|config| config.relay.strict_credit = true).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 2, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    // One read with several frames, so that they are relayed together.
    server.send_all((0..10u8).map(|n| item(2, &[n]))).await;
    let (code, text) = server.expect_end().await;
    assert!(code == 0x101 && text.contains("credit"), "{code:#x} {text}");
    // What is still queued of a stream goes with it.
    let mut items = 0;
    let ended = loop {
        let frame = client.recv().await;
        match frame.view().kind() {
            FrameType::Payload => items += 1,
            _ => break frame,
        }
    };
    assert!(items <= 2, "{items}");
    assert_eq!((ended.view().stream_id(), ended.view().error_code()), (1, 0x203));
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_credit_closes_a_requester_that_overruns_its_channel_too() {
    let broker = Broker::with(|config| config.relay.strict_credit = true).await;
    let (mut client, mut server) = broker.pair().await;
    let mut other = broker.client().await;
    client.send(channel(1, 0, 5, "test.Echo.talk", b"")).await;
    server.expect(FrameType::RequestChannel).await;
    server.send(Frame::request_n(2, 1)).await;
    assert_eq!(client.expect_request_n(1).await, 1);
    client.send_all((0..10u8).map(|n| item(1, &[n]))).await;
    let (code, text) = client.expect_end().await;
    assert!(code == 0x101 && text.contains("credit"), "{code:#x} {text}");
    let mut frame = server.recv().await;
    if frame.view().kind() == FrameType::Payload {
        assert_eq!(frame.view().data(), [0], "the one it asked for");
        frame = server.recv().await;
    }
    assert_eq!((frame.view().kind(), frame.view().stream_id()), (FrameType::Cancel, 2));
    broker.until("towline_links_closed_total", 1.0).await;
    assert_eq!(broker.labelled("towline_links_closed_total", "credit"), 1.0);
    expect_alive(&mut other, &mut server).await;
}
