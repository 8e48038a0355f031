//! LEASE: to requesters that asked for it, from responders that asked for it.

use crate::harness::*;
use std::time::Duration;
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::{Frame, FrameType, flags};

over_all! {
    a_client_that_asks_for_leases_gets_one_at_once_and_then_more,
    a_request_beyond_the_lease_is_rejected,
    a_renewed_lease_allows_requests_again,
    a_responder_that_leases_gets_no_request_before_its_lease_and_none_beyond_it,
    the_last_lease_counts_and_0_stops,
    an_expired_lease_allows_nothing,
    what_a_lease_does_not_allow_goes_to_another_instance,
    every_interaction_uses_one_of_a_lease_and_its_fragments_none,
    a_lease_has_no_metadata_length_and_belongs_on_stream_0,
    a_lease_that_was_not_agreed_on_is_ignored,
}

const MINUTE: Duration = Duration::from_secs(60);

/// Sends SETUP with the L flag; the first frame is the broker's own LEASE: its time in milliseconds and its number.
async fn join(broker: &Broker, setup: Setup) -> (Peer, (u32, u32)) {
    let mut peer = broker.connect().await;
    let mut frame = setup.frame();
    frame.bytes_mut()[5] |= flags::LEASE as u8;
    peer.send(frame).await;
    let lease = expect_lease(&mut peer).await;
    (peer, lease)
}

/// A responder of `test.Echo` that leases; its service is in force when this returns.
async fn leasing(broker: &Broker) -> Peer {
    let (mut server, _) = join(broker, Setup::anonymous().service("test.Echo")).await;
    server.expect_nothing().await;
    server
}

async fn expect_lease(peer: &mut Peer) -> (u32, u32) {
    let frame = peer.expect(FrameType::Lease).await;
    assert_eq!((frame.view().stream_id(), frame.view().flags()), (0, 0));
    frame.view().lease()
}

/// It is in force when this returns.
async fn lease(server: &mut Peer, ttl: Duration, requests: u32) {
    server.send(Frame::lease(ttl, requests)).await;
    server.expect_nothing().await;
}

async fn expect_rejected(client: &mut Peer, stream: u32) {
    let (code, text) = client.expect_error(stream).await;
    assert!(code == 0x202 && text.contains("lease"), "{code:#x} {text}");
}

async fn expect_refused_call(client: &mut Peer) {
    client.send(call(1, "test.Echo.call", b"")).await;
    expect_rejected(client, 1).await;
}

async fn a_client_that_asks_for_leases_gets_one_at_once_and_then_more(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut server = broker.serve("test.Echo").await;
    let (mut client, lease) = join(&broker, Setup::anonymous()).await;
    assert_eq!(lease, (30_000, MAX_N));
    expect_alive(&mut client, &mut server).await;
    let change = |config: &mut towline::config::Config| {
        (config.relay.lease_requests, config.relay.lease_ttl) = (7, Duration::from_millis(200));
    };
    let broker = Broker::on_with(carrier, change).await;
    let (mut client, lease) = join(&broker, Setup::anonymous()).await;
    assert_eq!(lease, (200, 7));
    for _ in 0..2 {
        assert_eq!(expect_lease(&mut client).await, (200, 7));
    }
}

async fn a_request_beyond_the_lease_is_rejected(carrier: Carrier) {
    let broker = Broker::on_with(carrier, |config| config.relay.lease_requests = 2).await;
    let mut server = broker.serve("test.Echo").await;
    let (mut client, _) = join(&broker, Setup::anonymous()).await;
    client.send_all((0..3).map(|nth| call(1 + 2 * nth, "test.Echo.call", b""))).await;
    expect_rejected(&mut client, 5).await;
    for nth in 0..2 {
        let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
        server.send(last(id, b"")).await;
        client.expect_item(1 + 2 * nth, flags::NEXT | flags::COMPLETE, b"").await;
    }
    expect_refused_call(&mut client).await;
    server.expect_nothing().await;
}

async fn a_renewed_lease_allows_requests_again(carrier: Carrier) {
    let change = |config: &mut towline::config::Config| {
        (config.relay.lease_requests, config.relay.lease_ttl) = (1, Duration::from_millis(100));
    };
    let broker = Broker::on_with(carrier, change).await;
    echo(broker.serve("test.Echo").await);
    let (mut client, _) = join(&broker, Setup::anonymous()).await;
    // Whenever it is renewed: one rejected, and another served after that.
    let mut outcomes = Vec::new();
    for nth in 0.. {
        assert!(nth < 100_000, "{outcomes:?}");
        client.send(call(1, "test.Echo.call", b"")).await;
        let mut answer = client.recv().await;
        while answer.view().kind() == FrameType::Lease {
            answer = client.recv().await;
        }
        let is_served = answer.view().kind() == FrameType::Payload;
        if outcomes.last() != Some(&is_served) {
            outcomes.push(is_served);
        }
        if outcomes.ends_with(&[false, true]) {
            break;
        }
    }
}

async fn a_responder_that_leases_gets_no_request_before_its_lease_and_none_beyond_it(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut server = leasing(&broker).await;
    expect_refused_call(&mut client).await;
    server.expect_nothing().await;
    lease(&mut server, MINUTE, 2).await;
    expect_alive(&mut client, &mut server).await;
    expect_alive(&mut client, &mut server).await;
    expect_refused_call(&mut client).await;
    server.expect_nothing().await;
    lease(&mut server, MINUTE, 1).await;
    expect_alive(&mut client, &mut server).await;
    expect_refused_call(&mut client).await;
}

async fn the_last_lease_counts_and_0_stops(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut server = leasing(&broker).await;
    lease(&mut server, MINUTE, 50).await;
    lease(&mut server, MINUTE, 1).await;
    expect_alive(&mut client, &mut server).await;
    expect_refused_call(&mut client).await;
    for (ttl, requests) in [(MINUTE, 0), (Duration::ZERO, 5)] {
        lease(&mut server, MINUTE, 50).await;
        expect_alive(&mut client, &mut server).await;
        lease(&mut server, ttl, requests).await;
        expect_refused_call(&mut client).await;
    }
    server.expect_nothing().await;
}

async fn an_expired_lease_allows_nothing(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut server = leasing(&broker).await;
    lease(&mut server, Duration::from_millis(50), MAX_N).await;
    for nth in 0.. {
        assert!(nth < 100_000, "it never expires");
        client.send(call(1, "test.Echo.call", b"")).await;
        tokio::select! {
            request = server.expect(FrameType::RequestResponse) => {
                server.send(last(request.view().stream_id(), b"")).await;
                client.expect_item(1, flags::NEXT | flags::COMPLETE, b"").await;
            }
            () = expect_rejected(&mut client, 1) => break,
        }
    }
    lease(&mut server, MINUTE, 1).await;
    expect_alive(&mut client, &mut server).await;
}

async fn what_a_lease_does_not_allow_goes_to_another_instance(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut leasing = leasing(&broker).await;
    let mut other = broker.serve("test.Echo").await;
    for _ in 0..20 {
        expect_alive(&mut client, &mut other).await;
    }
    leasing.expect_nothing().await;
}

async fn every_interaction_uses_one_of_a_lease_and_its_fragments_none(carrier: Carrier) {
    let broker = Broker::on_with(carrier, |config| config.relay.lease_requests = 4).await;
    let mut server = leasing(&broker).await;
    lease(&mut server, MINUTE, 4).await;
    let (mut client, _) = join(&broker, Setup::anonymous()).await;
    let metadata = route("test.Echo.any");
    let parts = PayloadParts { metadata: Some(&metadata), data: b"part" };
    let kinds =
        [FrameType::RequestResponse, FrameType::RequestFnf, FrameType::RequestStream, FrameType::RequestChannel];
    for (nth, kind) in kinds.into_iter().enumerate() {
        let id = 1 + 2 * nth as u32;
        client.send(Frame::request(kind, id, flags::FOLLOWS, 1, parts)).await;
        client.send_all([payload(id, flags::FOLLOWS, b"part"), payload(id, flags::NEXT, b"end")]).await;
        let id = server.expect(kind).await.view().stream_id();
        server.expect_item(id, flags::FOLLOWS, b"part").await;
        server.expect_item(id, flags::NEXT, b"end").await;
    }
    client.send(call(9, "test.Echo.call", b"")).await;
    expect_rejected(&mut client, 9).await;
    // So is the responder's.
    let mut other = broker.client().await;
    expect_refused_call(&mut other).await;
    server.expect_nothing().await;
}

async fn a_lease_has_no_metadata_length_and_belongs_on_stream_0(carrier: Carrier) {
    let broker = Broker::on(carrier).await;
    let mut client = broker.client().await;
    let mut server = leasing(&broker).await;
    let body = [&60_000u32.to_be_bytes()[..], &2u32.to_be_bytes(), b"metadata"].concat();
    server.send_bytes(&raw(0, 0x02, flags::METADATA, &body)).await;
    server.expect_nothing().await;
    expect_alive(&mut client, &mut server).await;
    let mut elsewhere = Frame::lease(MINUTE, 0);
    elsewhere.bytes_mut()[3] = 5;
    server.send(elsewhere).await;
    server.expect_nothing().await;
    expect_alive(&mut client, &mut server).await;
    // The reserved bits of both numbers.
    let body = [0x80, 0, 0xEA, 0x60, 0x80, 0, 0, 1];
    server.send_bytes(&raw(0, 0x02, 0, &body)).await;
    server.expect_nothing().await;
    expect_alive(&mut client, &mut server).await;
    expect_refused_call(&mut client).await;
}

async fn a_lease_that_was_not_agreed_on_is_ignored(carrier: Carrier) {
    let broker = Broker::on_with(carrier, |config| config.relay.lease_requests = 1).await;
    let (mut client, mut server) = broker.pair().await;
    lease(&mut server, MINUTE, 0).await;
    lease(&mut client, MINUTE, 0).await;
    for _ in 0..3 {
        expect_alive(&mut client, &mut server).await;
    }
}
