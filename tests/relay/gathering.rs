//! The limits of requests whose metadata spans fragments, and deadlines.

use crate::harness::*;
use std::time::{Duration, Instant};
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{Composite, Mime};
use towline_rsocket::{Frame, FrameType, flags};

fn part(kind: Option<FrameType>, stream: u32, metadata: &[u8]) -> Frame {
    let parts = PayloadParts { metadata: Some(metadata), data: b"" };
    match kind {
        Some(kind) => Frame::request(kind, stream, flags::FOLLOWS, 1, parts),
        None => Frame::payload(stream, flags::FOLLOWS, parts),
    }
}

fn deadline(metadata: &[u8]) -> u32 {
    let entry = Composite::new(metadata).find(Mime::named(DEADLINE)).expect("a deadline");
    u32::from_be_bytes(entry.try_into().expect("4 bytes"))
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_over_the_limit_of_one_request_is_rejected() {
    let broker = Broker::with(|config| config.relay.gathering_max = 1000).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(part(Some(FrameType::RequestResponse), 1, &[7; 600])).await;
    client.send(part(None, 1, &[7; 600])).await;
    let (code, text) = client.expect_error(1).await;
    assert!(code == 0x202 && text.contains("put its routing entry first"), "{code:#x} {text}");
    client.send_all([part(None, 1, &[7; 600]), payload(1, flags::NEXT, b"the end")]).await;
    client.expect_nothing().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_empty_looking_fragments_are_rejected_too() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    client.send(part(Some(FrameType::RequestStream), 1, &[7])).await;
    let flood: Vec<_> = (0..2000).map(|_| part(None, 1, &[7])).collect();
    client.send_all(flood).await;
    assert_eq!(client.expect_error(1).await.0, 0x202);
    client.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_over_the_limit_of_one_connection_is_rejected_and_what_fits_is_served() {
    let broker =
        Broker::with(|config| (config.relay.gathering_max, config.relay.gathering_link) = (4_000, 10_000)).await;
    let (mut client, mut server) = broker.pair().await;
    let metadata = padded(3_000);
    for nth in 0..4 {
        client.send(part(Some(FrameType::RequestResponse), 1 + 2 * nth, &metadata[..2_900])).await;
    }
    assert_eq!(client.expect_error(7).await.0, 0x202);
    let rest = PayloadParts { metadata: Some(&metadata[2_900..]), data: b"x" };
    client.send_all((0..4).map(|nth| Frame::payload(1 + 2 * nth, flags::NEXT, rest))).await;
    for id in [2, 4, 6] {
        assert_eq!(server.expect(FrameType::RequestResponse).await.view().stream_id(), id);
        server.expect_payload(id).await;
    }
    client.expect_nothing().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_not_complete_in_time_is_rejected() {
    let broker = Broker::with(|config| config.relay.gathering_timeout = Duration::from_millis(50)).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(part(Some(FrameType::RequestResponse), 1, &[7; 60])).await;
    let (code, text) = client.expect_error(1).await;
    assert!(code == 0x202 && text.contains("in time"), "{code:#x} {text}");
    client.send(payload(1, flags::NEXT, b"late")).await;
    client.expect_nothing().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_of_zero_is_over_and_never_delivered() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call_with(1, Some(&route_within("test.Echo.call", 0)), b"")).await;
    assert_eq!(client.expect_error(1).await, (0x203, "deadline exceeded".to_owned()));
    let nobody = PayloadParts { metadata: Some(&route_within("test.Echo.call", 0)), data: b"" };
    client.send(Frame::request(FrameType::RequestFnf, 3, 0, 0, nobody)).await;
    client.expect_nothing().await;
    server.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_crosses_and_what_gathering_took_is_subtracted() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call_with(1, Some(&route_within("test.Echo.call", 60_000)), b"")).await;
    let request = server.expect(FrameType::RequestResponse).await;
    assert_eq!(deadline(request.view().metadata().expect("metadata")), 60_000, "nothing was waited for");

    // Cut inside the four bytes, which stand last.
    let metadata = route_within("test.Echo.call", 60_000);
    let cut = metadata.len() - 2;
    let began = Instant::now();
    client.send(part(Some(FrameType::RequestResponse), 3, &metadata[..cut])).await;
    client.fence().await;
    let held = Instant::now();
    while held.elapsed() < Duration::from_millis(10) {
        client.fence().await;
    }
    let rest = PayloadParts { metadata: Some(&metadata[cut..]), data: b"x" };
    client.send(Frame::payload(3, flags::NEXT, rest)).await;
    let mut joined = server.expect(FrameType::RequestResponse).await.view().metadata().expect("metadata").to_vec();
    joined.extend_from_slice(server.expect_payload(4).await.view().metadata().expect("metadata"));
    let passed = began.elapsed().as_millis() as u32;
    let left = deadline(&joined);
    assert!((60_000 - passed..=60_000 - 9).contains(&left), "{left} after {passed} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_may_pass_while_metadata_is_gathered() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    let metadata = route_within("test.Echo.call", 2);
    let cut = metadata.len() - 2;
    client.send(part(Some(FrameType::RequestResponse), 1, &metadata[..cut])).await;
    client.fence().await;
    let held = Instant::now();
    while held.elapsed() < Duration::from_millis(5) {
        client.fence().await;
    }
    let rest = PayloadParts { metadata: Some(&metadata[cut..]), data: b"x" };
    client.send(Frame::payload(1, flags::NEXT, rest)).await;
    assert_eq!(client.expect_error(1).await, (0x203, "deadline exceeded".to_owned()));
    client.expect_nothing().await;
    server.expect_nothing().await;
}
