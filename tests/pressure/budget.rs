//! Over the byte budget: whose fault is it, and whose is it not.

use crate::harness::*;
use std::time::Duration;
use towline::config::Config;
use towline_rsocket::{FrameType, flags};

const MIB: usize = 1 << 20;

/// A budget of 16 MiB; who takes or sends nothing for half a second is stalled.
fn small(config: &mut Config) {
    config.relay.budget = Some(16 * MIB);
    config.relay.stalled_after = Duration::from_millis(500);
}

/// So many bytes of a frame of 16 MiB.
fn begun(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0; bytes];
    frame[..9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0, 0, 0, 1, 0x0A << 2, 0]);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_frames_over_the_budget_close_those_who_began_them() {
    let broker = Broker::with(small).await;
    let (mut client, server) = broker.pair().await;
    let _server = echo(server);
    let mut begun_frames = Vec::new();
    for _ in 0..20 {
        let mut peer = broker.client().await;
        // The broker may stop reading it: its own socket takes what the kernel takes.
        let sending = tokio::spawn(async move {
            peer.try_send_bytes(&begun(2 * MIB)).await;
            peer.rest().await
        });
        begun_frames.push(sending);
    }
    broker.until("towline_links_closed_total", 5.0).await;
    for n in 0..50u8 {
        client.send(call(1, "test.Echo.call", &[n])).await;
        client.expect_item(1, flags::NEXT | flags::COMPLETE, &[n]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_is_closed_before_a_stream_of_one_who_reads_is_ended() {
    let broker = Broker::with(small).await;
    let mut server = broker.serve("test.Echo").await;
    let mut stalled = Peer::connect_narrow(&broker.address).await.introduced(&Setup::anonymous()).await;
    stalled.send_all((0..12).map(|nth| call(1 + 2 * nth, "test.Echo.call", b""))).await;
    for nth in 0..12 {
        server.expect(FrameType::RequestResponse).await;
        server.send(last(2 + 2 * nth, &vec![7; MIB])).await;
    }
    server.fence().await;
    // Requests of a stalled connection are refused: that is how one sees that it counts as stalled.
    let mut client = broker.client().await;
    while broker.meter("towline_fire_and_forget_dropped_total") == 0.0 {
        stalled.send(forget(1001, "test.Echo.tell", b"")).await;
        client.fence().await;
    }
    server.fence().await;
    for nth in 0..8 {
        client.send(call(1 + 2 * nth, "test.Echo.call", b"")).await;
        let id = server.expect(FrameType::RequestResponse).await.view().stream_id();
        server.send(last(id, &vec![9; 7 * MIB])).await;
        let answer = client.expect_payload(1 + 2 * nth).await;
        assert_eq!(answer.view().data().len(), 7 * MIB);
    }
    assert_eq!(broker.meter("towline_budget_streams_ended_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_the_broker_does_not_read_is_not_taken_for_one_that_sends_nothing() {
    let broker = Broker::with(small).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(call(1, "test.Echo.call", b"")).await;
    server.expect(FrameType::RequestResponse).await;
    // All are connected before: once the broker reads nothing, nobody can be.
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(broker.client().await);
    }
    let answer = last(2, &vec![9; 6 * MIB]);
    let (begun_answer, rest) = answer.wire().split_at(4 * MIB);
    server.send_bytes(begun_answer).await;
    let mut received = (4 * MIB) as f64;
    broker.until("towline_received_bytes_total", received).await;
    // One after another sends a mebibyte and then nothing, until the broker does not read the next one's.
    let choked = |broker: &Broker| broker.meter("towline_budget_used_bytes") > (18 * MIB) as f64;
    for peer in &mut peers {
        peer.send_bytes(&begun(MIB)).await;
        received += MIB as f64;
        while broker.meter("towline_received_bytes_total") < received && !choked(&broker) {
            tokio::task::yield_now().await;
        }
        if choked(&broker) {
            break;
        }
    }
    assert!(choked(&broker), "more than the budget was begun");
    // The heaviest of them all goes on sending, and is read once those who do not are gone.
    server.send_bytes(rest).await;
    let frame = client.expect_payload(1).await;
    assert_eq!(frame.view().data().len(), 6 * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_read_of_unfinished_frames_than_the_budget_allows() {
    let broker = Broker::with(small).await;
    let mut peers = Vec::new();
    for _ in 0..40 {
        peers.push(broker.client().await);
    }
    for mut peer in peers {
        tokio::spawn(async move {
            peer.try_send_bytes(&begun(4 * MIB)).await;
            peer.rest().await
        });
    }
    let mut peak = 0.0f64;
    while broker.meter("towline_links_closed_total") < 5.0 {
        peak = peak.max(broker.meter("towline_budget_used_bytes"));
        tokio::task::yield_now().await;
    }
    // A buffer doubles as it fills, so a connection may hold twice what it held when reading stopped.
    assert!(peak <= 2.0 * (18 * MIB) as f64 + 40.0 * 65536.0, "{} MiB of 16", peak / MIB as f64);
}
