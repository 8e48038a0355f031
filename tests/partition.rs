//! Networks and processes that stop without a word: a link that goes down, a responder that is stopped, a broker that is.
//!
//! The tests start this program again for the other side: [`other_side::run`] is what it does there.

mod harness;
#[path = "partition/other_side.rs"]
mod other_side;

use harness::*;
use other_side::OtherSide;
use std::time::Duration;
use tokio::time::{Instant, interval};
use towline_rsocket::{Frame, FrameType, flags};

/// Who answers this call: the responders of this test answer with their names.
async fn who(client: &mut Peer, nth: u32) -> Vec<u8> {
    let stream = 1 + 2 * nth;
    client.send(call(stream, "test.Who.call", b"")).await;
    parts(&client.expect_payload(stream).await).1
}

/// An app over loopback that answers with this name.
fn named(mut peer: Peer, name: &'static [u8]) {
    tokio::spawn(async move {
        while let Some(frame) = peer.next().await {
            if frame.view().kind() == FrameType::RequestResponse {
                peer.send(last(frame.view().stream_id(), name)).await;
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_network_ends_streams_and_a_new_connection_takes_over_at_once() {
    const LIFETIME: u64 = 3000;
    if !other_side::is_isolated("a_lost_network_ends_streams_and_a_new_connection_takes_over_at_once") {
        return;
    }
    let network = other_side::Network::new();
    let broker = Process::on(
        &["tcp://127.0.0.1:0", &format!("tcp://{}:0", network.here)],
        &[("TOWLINE_LISTEN__INSECURE", "true"), ("TOWLINE_KEEPALIVE__BUSY_INTERVAL", "500ms")],
    );
    let own = broker.meter("towline_services_registered").await;
    let there = network.start(&broker.addresses[1], LIFETIME);
    broker.until("towline_services_registered", SOON, |services| services >= own + 2.0).await;
    let mut client = Peer::join(&broker.address, &Setup::anonymous()).await;
    assert_eq!(who(&mut client, 0).await, b"other side");
    let open = [11, 13, 15];
    for id in open {
        client.send(stream(id, 10, "test.Held.list", b"")).await;
        client.expect_item(id, flags::NEXT, b"first").await;
    }

    network.cut();
    let cut = Instant::now();
    // The same app, once more, from where the network still works.
    let again = Setup::app("other").service("test.Who");
    named(Peer::connect(&broker.address).await.introduced(&again).await, b"here");
    assert_eq!(who(&mut client, 10).await, b"here");
    let lost = "towline_links_closed_total{reason=\"keepalive\"}";
    assert_eq!(broker.meter(lost).await, 0.0, "the lost connection is not yet known to be lost");

    let mut left: Vec<_> = open.into();
    while !left.is_empty() {
        let frame = client.expect(FrameType::Error).await;
        left.retain(|id| *id != frame.view().stream_id());
    }
    assert!(cut.elapsed() < Duration::from_secs(10), "that is what the lifetime is for");
    println!("lifetime {LIFETIME} ms: streams ended {} ms after the network was cut", cut.elapsed().as_millis());
    broker.until(lost, Duration::from_secs(10), |closed| closed == 1.0).await;
    client.send(call(31, "test.Held.call", b"")).await;
    client.expect_error(31).await;
    assert_eq!(who(&mut client, 20).await, b"here");
    drop(there);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_responder_is_left_out_and_comes_back() {
    let broker = Process::start(&[
        ("TOWLINE_KEEPALIVE__INTERVAL", "500ms"),
        ("TOWLINE_KEEPALIVE__BUSY_INTERVAL", "500ms"),
        ("TOWLINE_KEEPALIVE__SUSPECT_AFTER", "500ms"),
    ]);
    let own = broker.meter("towline_services_registered").await;
    let there = OtherSide::start(&broker.address, 90_000);
    broker.until("towline_services_registered", SOON, |services| services >= own + 2.0).await;
    named(Peer::join(&broker.address, &Setup::app("here").service("test.Who")).await, b"here");
    let mut client = Peer::join(&broker.address, &Setup::anonymous()).await;
    let mut made = 0;
    let mut is_there = async |client: &mut Peer| {
        made += 1;
        who(client, made).await == b"other side"
    };
    while !is_there(&mut client).await {}

    there.signal("STOP");
    broker.until("towline_links_suspected_total", SOON, |suspected| suspected >= 1.0).await;
    for _ in 0..500 {
        assert!(!is_there(&mut client).await, "a stopped process answers");
    }
    there.signal("CONT");
    let deadline = Instant::now() + SOON;
    while !is_there(&mut client).await {
        assert!(Instant::now() < deadline, "it is still left out");
    }
    assert_eq!(broker.meter("towline_links_closed_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_was_stopped_closes_nobody() {
    const WINDOW: Duration = Duration::from_secs(4);
    let broker = Process::start(&[
        ("TOWLINE_KEEPALIVE__INTERVAL", "500ms"),
        ("TOWLINE_KEEPALIVE__BUSY_INTERVAL", "500ms"),
        ("TOWLINE_KEEPALIVE__SUSPECT_AFTER", "500ms"),
        ("TOWLINE_LISTEN__SETUP_TIMEOUT", "4s"),
        ("TOWLINE_RELAY__STALLED_AFTER", "1s"),
        ("TOWLINE_RELAY__PROGRESS_WINDOW", "4s"),
    ]);
    let address = &broker.address;
    let anonymous = Setup::anonymous().times(500, 4000);
    produce(Peer::join(address, &anonymous.clone().service("test.Much")).await, 16 * 1024);
    named(Peer::join(address, &anonymous.clone().service("test.Who")).await, b"here");
    let mut idle = Peer::join(address, &anonymous).await;
    let mut halfway = Peer::join(address, &anonymous).await;
    let mut late = Peer::connect(address).await;
    // It asks for more than its kernel takes.
    const ITEMS: u64 = 100;
    let mut slow = Peer::connect_narrow(address).await.introduced(&anonymous).await;
    slow.send(stream(1, MAX_N, "test.Much.list", &ITEMS.to_be_bytes())).await;
    broker.until("towline_outbox_bytes", SOON, |bytes| bytes > 0.0).await;
    let frame = call(1, "test.Who.call", &[7; 1000]);
    let (begin, end) = frame.wire().split_at(500);
    halfway.send_bytes(begin).await;
    // Two probes: the clock has looked at them all.
    idle.is_answering = false;
    for _ in 0..2 {
        let probe = idle.expect(FrameType::Keepalive).await;
        idle.send(Frame::keepalive(false, probe.view().data())).await;
    }
    idle.is_answering = true;

    broker.signal("STOP");
    // Longer than anything the broker waits for.
    let mut pause = interval(WINDOW * 2);
    pause.tick().await;
    pause.tick().await;
    late.send(anonymous.frame()).await;
    broker.signal("CONT");

    let slow = async {
        for nth in 0..ITEMS {
            let data = parts(&slow.expect_payload(1).await).1;
            assert_eq!(data[..8], nth.to_be_bytes());
        }
        slow.expect_nothing().await;
    };
    let halfway = async {
        halfway.send_bytes(end).await;
        halfway.expect_item(1, flags::NEXT | flags::COMPLETE, b"here").await;
    };
    futures::join!(slow, halfway, idle.expect_nothing(), late.expect_nothing());
    assert_eq!(who(&mut idle, 0).await, b"here");
    assert_eq!(broker.meter("towline_links_closed_total").await, 0.0);
}

/// What this program does when it is started as the other side; nothing otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn other_side() {
    other_side::run().await;
}
