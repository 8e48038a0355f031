//! Who does not read, or does not ask, holds back nobody else.

use crate::harness::*;
use towline_rsocket::{Frame, FrameType, flags};

#[tokio::test(flavor = "multi_thread")]
async fn a_keepalive_is_answered_before_the_megabytes_that_wait() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = Peer::connect_narrow(&broker.address).await.introduced(&Setup::anonymous()).await;
    client.send_all((0..16).map(|nth| call(1 + 2 * nth, "test.Echo.call", b""))).await;
    for nth in 0..16 {
        server.expect(FrameType::RequestResponse).await;
        server.send(last(2 + 2 * nth, &vec![7; 1 << 20])).await;
    }
    server.fence().await;
    client.send(Frame::keepalive(true, b"now")).await;
    // The broker has read it before anything more is read here.
    broker.until("towline_received_frames_total", 16.0 + 16.0 + 4.0).await;
    let mut answers = 0;
    loop {
        let frame = client.recv().await;
        if frame.view().kind() == FrameType::Keepalive {
            break;
        }
        answers += 1;
    }
    assert!(answers < 12, "{answers} of 16 MiB came first");
    for _ in answers..16 {
        let frame = client.expect(FrameType::Payload).await;
        assert!(frame.view().has(flags::COMPLETE) && frame.view().data().len() == 1 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_is_not_sent_to_one_who_reads_late() {
    let broker = Broker::start().await;
    let mut server = broker.serve("test.Echo").await;
    let mut client = Peer::connect_narrow(&broker.address).await.introduced(&Setup::anonymous()).await;
    client.send_all((0..8).map(|nth| call(1 + 2 * nth, "test.Echo.call", b""))).await;
    for nth in 0..8 {
        server.expect(FrameType::RequestResponse).await;
        server.send(last(2 + 2 * nth, &vec![7; 4 << 20])).await;
    }
    server.fence().await;
    // Those answered last are in no socket yet.
    client.send_all((4..8).map(|nth| Frame::cancel(1 + 2 * nth))).await;
    let answered: Vec<u32> = client.fence().await.iter().map(|frame| frame.view().stream_id()).collect();
    assert_eq!(answered, [1, 3, 5, 7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_that_reads_nothing_costs_calls_to_others_nothing() {
    let broker = Broker::with(|config| config.relay.mark = 64 * 1024).await;
    let stuck = Peer::connect_narrow(&broker.address).await.introduced(&Setup::anonymous().service("test.Stuck")).await;
    let (mut client, server) = broker.pair().await;
    let server = echo(server);
    // More than may wait for it: the last ones are given back, and say when to come again.
    client.send_all((0..400).map(|nth| call(10_001 + 2 * nth, "test.Stuck.call", &[7; 60_000]))).await;
    let mut refused = 0;
    for frame in client.fence().await {
        let text = String::from_utf8_lossy(frame.view().data()).into_owned();
        assert_eq!(frame.view().error_code(), 0x202, "{text}");
        assert!(text.contains("retry-after-ms="), "{text}");
        refused += 1;
    }
    assert!((1..400).contains(&refused), "{refused}");
    for nth in 0..500u32 {
        client.send(call(1, "test.Echo.call", &nth.to_be_bytes())).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, &nth.to_be_bytes()).await;
    }
    drop(stuck);
    for _ in 0..400 - refused {
        assert_eq!(client.expect(FrameType::Error).await.view().error_code(), 0x203);
    }
    broker.drain().await;
    assert_eq!(server.await.expect("it ends"), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_instances_are_preferred_to_one_over_its_mark() {
    let broker = Broker::with(|config| config.relay.mark = 64 * 1024).await;
    let stuck = Setup::app("stuck").label("kind", "stuck").service("test.Echo");
    let _stuck = Peer::connect_narrow(&broker.address).await.introduced(&stuck).await;
    let (mut client, server) = broker.pair().await;
    let server = echo(server);
    // Fire-and-forgets open no streams, so it is not avoided for its load.
    let tell = tags(&["test.Echo.tell", "t.kind=stuck"]);
    let parts = towline_rsocket::frame::PayloadParts { metadata: Some(&tell), data: &[7; 60_000] };
    client.send_all((0..200).map(|nth| Frame::request(FrameType::RequestFnf, 10_001 + 2 * nth, 0, 0, parts))).await;
    client.expect_nothing().await;
    for _ in 0..100 {
        client.send(call(1, "test.Echo.call", b"x")).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, b"x").await;
    }
    assert!(broker.meter("towline_fire_and_forget_dropped_total") > 0.0);
    drop(client);
    broker.drain().await;
    assert_eq!(server.await.expect("it ends"), 100);
}
