//! What is done with topics and groups as a whole.

use crate::world::{World, earliest};
use towline_service_api::CallError;
use towline_service_api::builtin::{ConsumeOptions, Durability, Message, QueueError, TopicConfig};

#[tokio::test]
async fn a_broker_that_only_relays_makes_no_files() {
    let world = World::new().await;
    assert_eq!(world.topics().list(None).await.expect("answered"), []);
    let unknown = world.queue().publish("orders".to_owned(), Message::text("x"), None).await;
    assert!(matches!(unknown, Err(CallError::App(QueueError::UnknownTopic { .. }))), "{unknown:?}");
    assert!(!world.folder.0.exists());
}

#[tokio::test]
async fn creating_the_same_topic_again_is_no_error_and_another_one_is() {
    let world = World::with("orders", TopicConfig::default()).await;
    let create = |config| world.topics().create("orders".to_owned(), config);
    let there = create(None).await.expect("the same");
    assert_eq!(there.config.durability, Some(Durability::Disk));
    assert_eq!(there.config.retention_ms, Some(72 * 3_600_000));
    let other = create(Some(TopicConfig { durability: Some(Durability::Os), ..TopicConfig::default() })).await;
    let is_other =
        matches!(&other, Err(CallError::App(QueueError::TopicExists { differs, .. })) if differs == "durability");
    assert!(is_other, "{other:?}");
}

#[tokio::test]
async fn topics_and_groups_survive_a_restart() {
    let world = World::with("orders", TopicConfig { ttl_ms: Some(7), ..TopicConfig::default() }).await;
    world.topics().create("area-service".to_owned(), None).await.expect("created");
    let options = ConsumeOptions { max_attempts: Some(5), ..earliest() };
    world.topics().create_group("orders".to_owned(), "billing".to_owned(), Some(options)).await.expect("created");
    world.topics().pause("orders".to_owned()).await.expect("paused");
    let world = world.restart().await;
    let names: Vec<String> =
        world.topics().list(None).await.expect("answered").into_iter().map(|it| it.topic).collect();
    assert_eq!(names, ["area-service", "orders"]);
    let status = world.topics().get("orders".to_owned()).await.expect("there");
    assert_eq!((status.config.ttl_ms, status.paused, status.groups), (Some(7), true, vec!["billing".to_owned()]));
    let group = world.topics().group("orders".to_owned(), "billing".to_owned()).await.expect("there");
    assert_eq!(group.options.max_attempts, Some(5));
    let paused = world.queue().publish("orders".to_owned(), Message::text("x"), None).await;
    assert!(matches!(paused, Err(CallError::App(QueueError::TopicPaused { .. }))), "{paused:?}");
    world.topics().resume("orders".to_owned()).await.expect("resumed");
    world.publish("orders", "x").await;
}

#[tokio::test]
async fn altering_changes_what_is_given() {
    let world = World::with("orders", TopicConfig::default()).await;
    let alter = |config| world.topics().alter("orders".to_owned(), config);
    let status = alter(TopicConfig { retention_messages: Some(5), ..TopicConfig::default() }).await.expect("altered");
    assert_eq!((status.config.retention_messages, status.config.retention_ms), (Some(5), Some(72 * 3_600_000)));
    let durability = alter(TopicConfig { durability: Some(Durability::Os), ..TopicConfig::default() }).await;
    assert!(matches!(durability, Err(CallError::App(QueueError::TopicExists { .. }))), "{durability:?}");
    let group = || "billing".to_owned();
    world.topics().create_group("orders".to_owned(), group(), None).await.expect("created");
    let options = ConsumeOptions { ack_deadline_ms: Some(5), ..ConsumeOptions::default() };
    let altered = world.topics().alter_group("orders".to_owned(), group(), options).await.expect("altered");
    assert_eq!((altered.options.ack_deadline_ms, altered.options.max_in_flight), (Some(5), Some(256)));
    let differs = ConsumeOptions { ack_deadline_ms: Some(6), ..ConsumeOptions::default() };
    let mut consumer = world.consume("orders", "billing", differs).await;
    let end = consumer.end().await;
    let is_differs =
        matches!(&end, Some(CallError::App(QueueError::GroupDiffers { option, .. })) if option == "ackDeadlineMs");
    assert!(is_differs, "{end:?}");
}

#[tokio::test]
async fn a_purge_removes_what_groups_still_need() {
    let world = World::with("orders", TopicConfig::default()).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    for n in 0..5 {
        world.publish("orders", &n.to_string()).await;
    }
    assert_eq!(consumer.next().await.offset, 0);
    assert_eq!(world.topics().purge("orders".to_owned()).await.expect("purged").removed, 5);
    assert_eq!(world.topics().group("orders".to_owned(), "billing".to_owned()).await.expect("there").depth, 0);
    assert_eq!(world.topics().peek("orders".to_owned(), None, None).await.expect("answered"), []);
    let next = world.publish("orders", "new").await;
    assert_eq!(next, 5, "no offset is given twice");
    loop {
        let delivery = consumer.next().await;
        if delivery.offset == 5 {
            break;
        }
    }
}

#[tokio::test]
async fn retention_keeps_what_a_group_has_not_settled() {
    let world = World::with("orders", TopicConfig { retention_messages: Some(3), ..TopicConfig::default() }).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    for n in 0..10 {
        world.publish("orders", &n.to_string()).await;
    }
    consumer.take(5).await;
    assert!(given_up(&world, 1).await <= 7);
    assert_eq!(consumer.take(5).await.last().map(|it| it.offset), Some(9), "the rest still comes");
}

/// Waits until messages up to this offset, or further, are given up; up to which they are.
async fn given_up(world: &World, to: u64) -> u64 {
    let deadline = tokio::time::Instant::now() + crate::world::SOON;
    loop {
        let floor = world.topics().get("orders".to_owned()).await.expect("there").floor;
        if floor >= to {
            return floor;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "what is below {to} is not given up, but what is below {floor}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_too_much_is_given_up_as_often_as_it_is_and_by_what_is_set_last() {
    let world = World::with("orders", TopicConfig { retention_messages: Some(3), ..TopicConfig::default() }).await;
    for (published, floor) in [(10, 7), (5, 12)] {
        for n in 0..published {
            world.publish("orders", &n.to_string()).await;
        }
        assert_eq!(given_up(&world, floor).await, floor);
    }
    // What bounds it is looked at again once it is set, whatever was worked out by the one before.
    let set = async |config| world.topics().alter("orders".to_owned(), config).await.expect("altered");
    set(TopicConfig { retention_messages: Some(1), ..TopicConfig::default() }).await;
    assert_eq!(given_up(&world, 14).await, 14);
    let (messages, bytes, depth) = (Some(0), Some(1 << 20), Some(8 << 20));
    let config = TopicConfig { retention_messages: messages, retention_bytes: bytes, ..TopicConfig::default() };
    set(TopicConfig { max_depth_bytes: depth, ..config }).await;
    for _ in 0..40 {
        world.publish("orders", &"x".repeat(100 << 10)).await;
    }
    // Ten are a MiB; it is known to a sixteenth of the depth where each stands.
    let floor = given_up(&world, 45).await;
    assert!(floor <= 51, "{floor}");
    set(TopicConfig { retention_bytes: Some(0), retention_ms: Some(1), ..TopicConfig::default() }).await;
    assert_eq!(given_up(&world, 55).await, 55);
}

#[tokio::test]
async fn what_is_too_old_is_given_up_and_nothing_before_that() {
    const AGE: u64 = 500;
    let world = World::with("orders", TopicConfig { retention_ms: Some(AGE), ..TopicConfig::default() }).await;
    // The second time the topic was looked at while nothing was in it.
    for n in 0..2 {
        let message = Message::text(n.to_string());
        let stored = world.queue().publish("orders".to_owned(), message, None).await.expect("stored").timestamp;
        given_up(&world, n + 1).await;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
        assert!(now as u64 >= stored + AGE - 1, "given up early: stored at {stored}, gone by {now}");
    }
}

#[tokio::test]
async fn deleting_ends_members_and_needs_the_name_twice() {
    let world = World::with("orders", TopicConfig::default()).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let delete = |confirm: &str| world.topics().delete("orders".to_owned(), confirm.to_owned());
    assert!(delete("order").await.is_err());
    delete("orders").await.expect("deleted");
    let end = consumer.end().await;
    assert!(matches!(end, Some(CallError::App(QueueError::UnknownTopic { .. }))), "{end:?}");
    let gone = world.queue().publish("orders".to_owned(), Message::text("x"), None).await;
    assert!(matches!(gone, Err(CallError::App(QueueError::UnknownTopic { .. }))), "{gone:?}");
    world.topics().create("orders".to_owned(), None).await.expect("created anew");
    assert_eq!(world.publish("orders", "first").await, 0);
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    world.topics().delete_group("orders".to_owned(), "billing".to_owned()).await.expect("deleted");
    loop {
        if let Some(end) = consumer.end_or_delivery().await {
            assert!(matches!(end, CallError::App(QueueError::UnknownGroup { .. })), "{end:?}");
            break;
        }
    }
}

#[tokio::test]
async fn a_peek_changes_nothing() {
    let world = World::with("orders", TopicConfig::default()).await;
    for n in 0..5 {
        world.publish("orders", &n.to_string()).await;
    }
    let seen = world.topics().peek("orders".to_owned(), Some(2), Some(2)).await.expect("answered");
    assert_eq!(seen.iter().map(|it| (it.offset, it.attempt)).collect::<Vec<_>>(), [(2, 0), (3, 0)]);
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    assert_eq!(consumer.next().await.attempt, 1);
}
