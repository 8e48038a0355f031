//! Bad input: every refusal is a typed error that says what to do.

use crate::harness::{Peer, Setup, payload};
use crate::world::{World, earliest};
use towline::Broker;
use towline::config::Config;
use towline::metrics::{Meters, recorder};
use towline_rsocket::frame::PayloadParts;
use towline_rsocket::metadata::{CompositeBuilder, Mime, mime, routing};
use towline_rsocket::{Frame, FrameType, flags};
use towline_service_api::builtin::{Blob, ConsumeOptions, GroupMode, Message, QueueError, Settle, TopicConfig};
use towline_service_api::{CallError, Encoding};

#[tokio::test]
async fn messages_that_cannot_be_ones_are_refused() {
    let world = World::with("orders", TopicConfig::default()).await;
    let text = || Message::text("x");
    let cases = [
        ("no body", Message::default()),
        ("two bodies", Message { body: Some(Blob("x".into())), ..text() }),
        ("an id and a producer", text().id("a").sequence("p", 1)),
        ("a producer without a sequence", Message { producer: Some("p".to_owned()), ..text() }),
        ("a long id", text().id("x".repeat(129))),
        ("an empty key", text().key("")),
        ("both times", Message { deliver_at: Some(1), delay_ms: Some(1), ..text() }),
        ("too far", text().delay(std::time::Duration::from_secs(500 * 24 * 3600))),
        ("many headers", (0..65).fold(text(), |message, n| message.header(n.to_string(), "x"))),
    ];
    for (why, message) in cases {
        let refused = world.queue().publish("orders".to_owned(), message, None).await;
        assert!(matches!(refused, Err(CallError::App(QueueError::InvalidMessage { .. }))), "{why}: {refused:?}");
    }
    assert_eq!(world.topics().get("orders".to_owned()).await.expect("there").head, 0);
}

/// The metadata of a call of `publish` in MessagePack.
fn metadata() -> Vec<u8> {
    let route = routing::write_tags(["towline.Queue.publish"]).expect("it is short");
    let packed = Mime::named(Encoding::MessagePack.mime());
    CompositeBuilder::new().entry(mime::ROUTING, &route).message_mime(packed).finish().to_vec()
}

/// A connection that says what it likes.
async fn peer(world: &World) -> Peer {
    let address = world.broker.addresses()[0].replace("tcp://", "");
    Peer::join(&address, &Setup::app("raw")).await
}

fn call() -> Vec<u8> {
    Encoding::MessagePack.encode(&("orders", Message::new(&b"x"[..]))).expect("it has a form").to_vec()
}

/// A call that has come in part is no call yet, whatever the part looks like.
#[tokio::test]
async fn a_part_of_a_call_is_not_published() {
    let world = World::with("orders", TopicConfig::default()).await;
    let (mut peer, metadata, call) = (peer(&world).await, metadata(), call());
    let whole = PayloadParts { metadata: Some(&metadata), data: &call };
    let first = |stream| Frame::request(FrameType::RequestResponse, stream, flags::FOLLOWS, 0, whole);
    // What follows makes it unreadable; and it is cancelled before anything follows.
    peer.send_all([first(1), payload(1, flags::NEXT, b"more"), first(3), Frame::cancel(3)]).await;
    peer.expect_error(1).await;
    // The next one goes behind those, and one behind that may take the short way again.
    for (stream, head) in [(5, 1), (7, 2)] {
        peer.send(Frame::request(FrameType::RequestResponse, stream, 0, 0, whole)).await;
        peer.expect_payload(stream).await;
        assert_eq!(world.topics().get("orders".to_owned()).await.expect("there").head, head);
    }
    assert_eq!(world.meter("towline_queue_direct_total"), 1.0);
}

#[tokio::test]
async fn a_flood_of_messages_that_are_cancelled_harms_no_other() {
    const FLOOD: u32 = 50_000;
    let world = World::with("orders", TopicConfig::default()).await;
    let (mut peer, metadata, call) = (peer(&world).await, metadata(), call());
    let whole = PayloadParts { metadata: Some(&metadata), data: &call };
    for first in (0..FLOOD).step_by(500) {
        let streams = (first..first + 500).map(|nth| 2 * nth + 1);
        let request = |stream| Frame::request(FrameType::RequestResponse, stream, 0, 0, whole);
        peer.send_all(streams.flat_map(|stream| [request(stream), Frame::cancel(stream)])).await;
        world.publish("orders", "of another").await;
    }
    peer.fence().await;
    let others = u64::from(FLOOD / 500);
    let head = world.topics().get("orders".to_owned()).await.expect("there").head;
    assert!(head > others && head <= others + u64::from(FLOOD), "{head} messages");
    assert!(world.meter("towline_queue_direct_total") > 0.0);
}

#[tokio::test]
async fn the_brokers_own_topics_are_nobody_elses() {
    let world = World::with("orders", TopicConfig::default()).await;
    let later = Message::text("later").delay(std::time::Duration::from_secs(3600));
    world.queue().publish("orders".to_owned(), later, None).await.expect("kept");
    let all = world.topics().list(None).await.expect("answered");
    assert_eq!(all.iter().map(|it| it.topic.as_str()).collect::<Vec<_>>(), ["orders"], "what waits is not shown");
    for name in ["towline.scheduled.1", "towline.audit"] {
        let name = || name.to_owned();
        let published = world.queue().publish(name(), Message::text("x"), None).await.map(drop);
        let fetched = world.queue().fetch(name(), "g".to_owned(), None, None, None, None).await.map(drop);
        let purged = world.topics().purge(name()).await.map(drop);
        let deleted = world.topics().delete(name(), name()).await.map(drop);
        let altered = world.topics().alter(name(), TopicConfig::default()).await.map(drop);
        for refused in [published, fetched, purged, deleted, altered] {
            assert!(matches!(refused, Err(CallError::App(QueueError::Forbidden { .. }))), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn names_and_options_that_cannot_be_are_refused() {
    let world = World::with("orders", TopicConfig::default()).await;
    for name in ["", "a b", "../x", "towline.audit", "orders.billing.dlq", "ü"] {
        let refused = world.topics().create(name.to_owned(), None).await;
        assert!(matches!(refused, Err(CallError::App(QueueError::InvalidName { .. }))), "{name}: {refused:?}");
    }
    let zero = TopicConfig { max_message_bytes: Some(0), ..TopicConfig::default() };
    let refused = world.topics().create("zero".to_owned(), Some(zero)).await;
    assert!(matches!(refused, Err(CallError::Rpc(_))), "{refused:?}");
    let group = |name: &str, options| world.topics().create_group("orders".to_owned(), name.to_owned(), Some(options));
    let refused = group("a.b", earliest()).await;
    assert!(matches!(refused, Err(CallError::App(QueueError::InvalidName { .. }))), "{refused:?}");
    let filter = ConsumeOptions { filter: Some("a.*.b".to_owned()), ..earliest() };
    let refused = group("g", filter).await;
    assert!(matches!(refused, Err(CallError::App(QueueError::InvalidFilter { .. }))), "{refused:?}");
    let broadcast = ConsumeOptions { mode: Some(GroupMode::Broadcast), ..earliest() };
    let refused = group("g", broadcast).await;
    assert!(matches!(refused, Err(CallError::App(QueueError::ModeDiffers { .. }))), "{refused:?}");
    let refused = group("g", ConsumeOptions { max_attempts: Some(0), ..earliest() }).await;
    assert!(matches!(refused, Err(CallError::Rpc(_))), "{refused:?}");
    let unknown = world.topics().group("orders".to_owned(), "g".to_owned()).await;
    assert!(matches!(unknown, Err(CallError::App(QueueError::UnknownGroup { .. }))), "nothing was made: {unknown:?}");
}

#[tokio::test]
async fn settles_of_what_was_never_handed_over_are_refused() {
    let world = World::with("orders", TopicConfig::default()).await;
    world.topics().create_group("orders".to_owned(), "billing".to_owned(), Some(earliest())).await.expect("made");
    world.publish("orders", "x").await;
    let settle = |items| world.queue().settle("orders".to_owned(), "billing".to_owned(), None, items);
    let outcome = settle(vec![Settle::ack(0), Settle::nack(u64::MAX), Settle::ack_to(0)]).await.expect("answered");
    assert_eq!(outcome.settled, 0);
    assert!(outcome.refused.iter().all(|refused| refused.code == "invalid-offset"), "{outcome:?}");
    let unknown = world.queue().settle("orders".to_owned(), "mail".to_owned(), None, vec![Settle::ack(0)]).await;
    assert!(matches!(unknown, Err(CallError::App(QueueError::UnknownGroup { .. }))), "{unknown:?}");
}

#[tokio::test]
async fn a_volume_without_room_takes_no_messages_and_says_so() {
    // More than any volume has: the watermark is under water from the start.
    let world = World::configured(|config| config.data.keep_free = 1 << 60).await;
    world.topics().create("orders".to_owned(), None).await.expect("topics are no messages");
    let deadline = tokio::time::Instant::now() + crate::world::SOON;
    loop {
        let refused = world.queue().publish("orders".to_owned(), Message::text("x"), None).await;
        match refused {
            Err(CallError::App(QueueError::StorageFull { watermark, .. })) => {
                assert_eq!(watermark, 1 << 60);
                break;
            }
            // It is looked at once a second.
            Ok(_) => assert!(tokio::time::Instant::now() < deadline, "it takes messages"),
            Err(error) => panic!("{error}"),
        }
    }
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let there = world.topics().get("orders".to_owned()).await.expect("there").head;
    consumer.take(there as usize).await;
}

#[tokio::test]
async fn a_second_broker_on_a_data_folder_does_not_start() {
    let world = World::with("orders", TopicConfig::default()).await;
    let mut config = Config::default();
    config.listen.addresses = vec!["tcp://127.0.0.1:0".parse().expect("an address")];
    config.data.directory = world.folder.0.clone();
    let second = Broker::start(config, std::sync::Arc::new(Meters::new(&recorder()))).await;
    let error = second.expect_err("it is refused").to_string();
    assert!(error.contains(&std::process::id().to_string()), "it names who has it: {error}");
}
