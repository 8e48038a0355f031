//! Channels: both directions, credit both ways, and who ends which half.

use crate::harness::*;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    a_requester_that_completes_still_gets_items,
    a_responder_that_completes_still_gets_items,
    a_channel_may_complete_with_its_request,
    cancel_from_the_requester_ends_both_halves,
    cancel_from_the_responder_ends_the_upstream_half_alone,
    an_error_of_either_side_ends_both_halves,
    ten_channels_of_one_connection_do_not_mix,
}

/// A channel on stream 1 and 2 with room for items both ways.
async fn open(client: &mut Peer, server: &mut Peer) {
    client.send(channel(1, 0, 8, "test.Echo.talk", b"arguments")).await;
    let request = server.expect(FrameType::RequestChannel).await;
    let view = request.view();
    assert_eq!((view.stream_id(), view.request_n(), view.data()), (2, 8, &b"arguments"[..]));
    assert_eq!(view.metadata(), Some(&route("test.Echo.talk")[..]));
    server.send(Frame::request_n(2, 8)).await;
    assert_eq!(client.expect_request_n(1).await, 8);
}

async fn up(client: &mut Peer, server: &mut Peer, data: &[u8]) {
    client.send(item(1, data)).await;
    server.expect_item(2, flags::NEXT, data).await;
}

async fn down(client: &mut Peer, server: &mut Peer, data: &[u8]) {
    server.send(item(2, data)).await;
    client.expect_item(1, flags::NEXT, data).await;
}

/// The stream is over on both sides: what is still sent goes nowhere.
async fn expect_over(client: &mut Peer, server: &mut Peer) {
    client.send_all([item(1, b"late"), complete(1), Frame::request_n(1, 5), error(1, 0x201, "late")]).await;
    server.send_all([item(2, b"late"), complete(2), Frame::request_n(2, 5), error(2, 0x201, "late")]).await;
    client.fence().await;
    server.expect_nothing().await;
    client.expect_nothing().await;
}

async fn a_requester_that_completes_still_gets_items(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    open(&mut client, &mut server).await;
    up(&mut client, &mut server, b"up").await;
    down(&mut client, &mut server, b"down").await;
    client.send(complete(1)).await;
    server.expect_item(2, flags::COMPLETE, b"").await;
    client.send(item(1, b"after its own end")).await;
    down(&mut client, &mut server, b"more").await;
    server.send(last(2, b"the end")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"the end").await;
    expect_over(&mut client, &mut server).await;
}

async fn a_responder_that_completes_still_gets_items(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    open(&mut client, &mut server).await;
    server.send(complete(2)).await;
    client.expect_item(1, flags::COMPLETE, b"").await;
    server.send(item(2, b"after its own end")).await;
    up(&mut client, &mut server, b"up").await;
    client.send(last(1, b"the end")).await;
    server.expect_item(2, flags::NEXT | flags::COMPLETE, b"the end").await;
    expect_over(&mut client, &mut server).await;
}

async fn a_channel_may_complete_with_its_request(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(channel(1, flags::COMPLETE, 3, "test.Echo.talk", b"")).await;
    let request = server.expect(FrameType::RequestChannel).await;
    assert!(request.view().has(flags::COMPLETE) && request.view().data().is_empty());
    client.send(item(1, b"after its own end")).await;
    server.send(last(2, b"all")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"all").await;
    expect_over(&mut client, &mut server).await;
}

async fn cancel_from_the_requester_ends_both_halves(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    open(&mut client, &mut server).await;
    client.send(Frame::cancel(1)).await;
    server.expect_cancel(2).await;
    expect_over(&mut client, &mut server).await;
}

async fn cancel_from_the_responder_ends_the_upstream_half_alone(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    open(&mut client, &mut server).await;
    server.send(Frame::cancel(2)).await;
    client.expect_cancel(1).await;
    client.send(item(1, b"after the cancel")).await;
    down(&mut client, &mut server, b"down").await;
    server.send(complete(2)).await;
    client.expect_item(1, flags::COMPLETE, b"").await;
    expect_over(&mut client, &mut server).await;
}

async fn an_error_of_either_side_ends_both_halves(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    for is_requester in [true, false] {
        let (mut client, mut server) = (broker.client().await, broker.serve("test.Echo").await);
        open(&mut client, &mut server).await;
        if is_requester {
            client.send(error(1, 0x301, "no more from me")).await;
            assert_eq!(server.expect_error(2).await, (0x301, "no more from me".to_owned()));
        } else {
            server.send(error(2, 0x201, "failed")).await;
            assert_eq!(client.expect_error(1).await, (0x201, "failed".to_owned()));
        }
        expect_over(&mut client, &mut server).await;
        drop(server);
        broker.until("towline_links_closed_total", if is_requester { 1.0 } else { 2.0 }).await;
    }
}

async fn ten_channels_of_one_connection_do_not_mix(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let (mut client, mut server) = broker.pair().await;
    client.send_all((0..10).map(|n| channel(1 + 2 * n, 0, 5, "test.Echo.talk", &[n as u8]))).await;
    for n in 0..10u8 {
        let request = server.expect(FrameType::RequestChannel).await;
        assert_eq!((request.view().stream_id(), request.view().data()), (2 + 2 * u32::from(n), &[n][..]));
        server.send(Frame::request_n(2 + 2 * u32::from(n), 4)).await;
        assert_eq!(client.expect_request_n(1 + 2 * u32::from(n)).await, 4);
    }
    for round in 0..4u8 {
        client.send_all((0..10).map(|n| item(1 + 2 * n, &[n as u8, round]))).await;
        server.send_all((0..10).map(|n| item(2 + 2 * n, &[round, n as u8]))).await;
        for n in 0..10 {
            server.expect_item(2 + 2 * n, flags::NEXT, &[n as u8, round]).await;
            client.expect_item(1 + 2 * n, flags::NEXT, &[round, n as u8]).await;
        }
    }
    client.send_all((0..10).map(|n| complete(1 + 2 * n))).await;
    server.send_all((0..10).map(|n| last(2 + 2 * n, b"end"))).await;
    for n in 0..10 {
        server.expect_item(2 + 2 * n, flags::COMPLETE, b"").await;
        client.expect_item(1 + 2 * n, flags::NEXT | flags::COMPLETE, b"end").await;
    }
}
