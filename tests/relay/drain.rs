//! The end of a broker.

use crate::harness::*;
use std::time::Duration;
use towline_rsocket::{Frame, FrameType, flags};

/// Nobody may connect any more: refused by the system, closed at once, or refused in words.
async fn expect_refused(address: &str) {
    let Ok(mut peer) = Peer::try_connect(address).await else { return };
    if !peer.try_send_bytes(Setup::anonymous().frame().wire()).await {
        return;
    }
    for frame in peer.rest().await {
        assert_eq!((frame.view().kind(), frame.view().error_code()), (FrameType::Error, 0x101), "{frame:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_closes_idle_connections_and_lets_streams_end() {
    let broker = Broker::start().await;
    let address = broker.address.clone();
    let (mut client, mut server) = broker.pair().await;
    let mut idle = broker.client().await;
    let mut undecided = broker.connect().await;
    client.send_all([stream(1, 5, "test.Echo.list", b""), call(3, "test.Echo.call", b"")]).await;
    server.expect(FrameType::RequestStream).await;
    server.expect(FrameType::RequestResponse).await;
    let drained = tokio::spawn(broker.drain());
    let (code, text) = idle.expect_end().await;
    assert!(code == 0x101 && text.contains("shutting down"), "{code:#x} {text}");
    undecided.try_send_bytes(Setup::anonymous().frame().wire()).await;
    assert_eq!(undecided.expect_end().await.0, 0x101, "the code on which clients try again");
    expect_refused(&address).await;
    server.send(last(4, b"answered")).await;
    client.expect_item(3, flags::NEXT | flags::COMPLETE, b"answered").await;
    for _ in 0..3 {
        server.send(item(2, b"more")).await;
        client.expect_item(1, flags::NEXT, b"more").await;
    }
    assert!(!drained.is_finished());
    server.send(last(2, b"the end")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"the end").await;
    for peer in [&mut client, &mut server] {
        assert_eq!(peer.expect_end().await.0, 0x101);
    }
    tokio::time::timeout(SOON, drained).await.expect("it ends").expect("it does not panic");
    assert!(Peer::try_connect(&address).await.is_err(), "the listener is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_nobody_but_open_streams() {
    let broker = Broker::start().await;
    let mut peers = Vec::new();
    for _ in 0..20 {
        peers.push(broker.serve("test.Echo").await);
    }
    tokio::time::timeout(SOON, broker.drain()).await.expect("nothing is open");
    for peer in &mut peers {
        assert_eq!(peer.expect_end().await.0, 0x101);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grace_time_ends_what_does_not_end_itself() {
    let broker = Broker::with(|config| config.shutdown.grace = Duration::from_millis(200)).await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 5, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    tokio::time::timeout(SOON, broker.drain()).await.expect("the grace time is short");
    for (peer, id) in [(&mut client, 1), (&mut server, 2)] {
        let frames = peer.rest().await;
        let (end, before) = frames.split_last().expect("a last word");
        assert_eq!((end.view().stream_id(), end.view().error_code()), (0, 0x101), "{frames:?}");
        assert!(before.iter().all(|frame| frame.view().stream_id() == id), "{frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_stream_holds_up_no_drain() {
    let broker = Broker::start().await;
    let (mut client, mut server) = broker.pair().await;
    client.send(stream(1, 5, "test.Echo.list", b"")).await;
    server.expect(FrameType::RequestStream).await;
    client.send(Frame::cancel(1)).await;
    server.expect_cancel(2).await;
    let drained = tokio::spawn(broker.drain());
    assert_eq!(client.expect_end().await.0, 0x101);
    // The responder answers the KEEPALIVE that follows the CANCEL, and says nothing else.
    assert_eq!(server.expect_end().await.0, 0x101);
    tokio::time::timeout(SOON, drained).await.expect("it ends").expect("it does not panic");
}
