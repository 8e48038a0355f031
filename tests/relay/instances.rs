//! Several connections of one app, and several apps of one service.

use crate::harness::*;
use std::time::Duration;
use towline_rsocket::{FrameType, flags};

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_connection_of_an_app_serves_and_the_older_takes_over() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(broker.join(Setup::app("app").service("test.Echo")).await);
        let newest = peers.len() - 1;
        assert_eq!(serves(&mut client, &mut peers).await, newest);
    }
    // The oldest goes: nothing changes. The newest goes: the one before serves.
    drop(peers.remove(0));
    broker.until("towline_links_closed_total", 1.0).await;
    assert_eq!(serves(&mut client, &mut peers).await, 1);
    drop(peers.remove(1));
    broker.until("towline_links_closed_total", 2.0).await;
    assert_eq!(serves(&mut client, &mut peers).await, 0);
    drop(peers);
    broker.until("towline_links_closed_total", 3.0).await;
    client.send(call(1, "test.Echo.call", b"")).await;
    assert!(client.expect_error(1).await.1.starts_with("RST-900404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_connection_keeps_its_streams_and_its_own_services() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut older = broker.join(Setup::app("app").service("test.Echo").service("test.Old")).await;
    client.send(call(1, "test.Echo.call", b"")).await;
    older.expect(FrameType::RequestResponse).await;
    let mut newer = broker.join(Setup::app("app").service("test.Echo")).await;
    client.send(call(3, "test.Echo.call", b"")).await;
    newer.expect(FrameType::RequestResponse).await;
    client.send(call(5, "test.Old.call", b"")).await;
    older.expect(FrameType::RequestResponse).await;
    older.send_all([last(2, b"begun before"), last(4, b"its own")]).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"begun before").await;
    client.expect_item(5, flags::NEXT | flags::COMPLETE, b"its own").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ninth_connection_of_an_app_closes_the_oldest() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut peers = Vec::new();
    for _ in 0..8 {
        peers.push(broker.join(Setup::app("app").service("test.Echo")).await);
    }
    peers[0].expect_nothing().await;
    peers.push(broker.join(Setup::app("app").service("test.Echo")).await);
    let (code, text) = peers[0].expect_end().await;
    assert!(code == 0x102 && text.contains("newer connections"), "{code:#x} {text}");
    drop(peers.remove(0));
    for peer in &mut peers {
        peer.expect_nothing().await;
    }
    assert_eq!(serves(&mut client, &mut peers).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_of_nine_connections_finishes_its_streams_first() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut oldest = broker.join(Setup::app("app").service("test.Echo")).await;
    client.send(call(1, "test.Echo.call", b"")).await;
    oldest.expect(FrameType::RequestResponse).await;
    let mut newer = Vec::new();
    for _ in 0..8 {
        newer.push(broker.join(Setup::app("app").service("test.Echo")).await);
    }
    oldest.send(last(2, b"begun before")).await;
    client.expect_item(1, flags::NEXT | flags::COMPLETE, b"begun before").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instance_with_fewer_streams_open_is_preferred() {
    let broker = Broker::start().await;
    let mut client = broker.client().await;
    let mut peers = [broker.serve("test.Echo").await, broker.serve("test.Echo").await];
    // One by one: requests of one read are placed together, by the load there was before it.
    for nth in 0..40 {
        client.send(call(101 + 2 * nth, "test.Echo.call", b"")).await;
        client.expect_nothing().await;
    }
    let counts = [peers[0].fence().await.len(), peers[1].fence().await.len()];
    assert_eq!(counts[0] + counts[1], 40);
    assert!(counts[0].abs_diff(counts[1]) <= 10, "nobody answered, so calls spread: {counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_connection_is_given_no_new_calls_until_it_is_heard_of() {
    let broker = Broker::with(|config| {
        config.keepalive.interval = Duration::from_millis(300);
        config.keepalive.busy_interval = Duration::from_millis(300);
        config.keepalive.suspect_after = Duration::from_millis(300);
    })
    .await;
    let mut client = broker.client().await;
    let mut peers = vec![broker.join(Setup::app("app").service("test.Echo")).await];
    let mut silent = broker.join(Setup::app("app").service("test.Echo")).await;
    let live = tokio::spawn(async move {
        // It answers KEEPALIVE while it waits for the call that comes to it in the end.
        let request = peers[0].next().await.expect("a call");
        peers[0].send(last(request.view().stream_id(), b"from the older")).await;
        peers
    });
    broker.until("towline_links_suspected_total", 1.0).await;
    // The table follows the clock's finding: calls before that hang with the silent one.
    for nth in 0.. {
        client.send(call(1 + 2 * nth, "test.Echo.call", b"")).await;
        if client.fence().await.iter().any(|frame| frame.view().data() == b"from the older") {
            break;
        }
        assert!(nth < 5000, "the older one is never called");
    }
    let mut peers = live.await.expect("it ends");
    // Any frame proves life; the newest serves again, once the clock has looked.
    for nth in 0.. {
        silent.fence().await;
        client.send(forget(100_001, "test.Echo.tell", b"")).await;
        client.fence().await;
        if silent.fence().await.iter().any(|frame| frame.view().kind() == FrameType::RequestFnf) {
            break;
        }
        peers[0].fence().await;
        assert!(nth < 50_000, "the newest one is never called again");
    }
}
