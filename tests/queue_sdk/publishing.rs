use super::world::World;
use super::{soon, until};
use futures::FutureExt;
use futures::future::join_all;
use std::time::Duration;
use towline_requester::builtin::{Durability, Message, Start, TopicConfig};
use towline_responder::Consume;

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_says_where_a_message_is_and_a_second_one_that_it_was_there() {
    let world = World::with("orders", TopicConfig::default()).await;
    let orders = world.app().await.topic("orders");
    let first = soon(orders.publish(Message::text("a").id("a"))).await.expect("it is stored");
    assert_eq!((first.offset, first.durability, first.duplicate), (Some(0), Durability::Disk, false));
    let again = soon(orders.publish(Message::text("a").id("a"))).await.expect("it was stored");
    assert_eq!((again.offset, again.duplicate), (Some(0), true));
    let batch = ["b", "c"].map(Message::text);
    assert_eq!(soon(orders.publish_batch(batch)).await, Ok(vec![Some(1), Some(2)]));
    let error = soon(world.app().await.topic("nothing").publish(Message::text("a"))).await.expect_err("there is none");
    assert_eq!((error.code(), error.is_in_doubt()), (Some("unknown-topic"), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weaker_topic_confirms_what_was_asked_for() {
    let config = TopicConfig { durability: Some(Durability::Os), ..TopicConfig::default() };
    let world = World::with("orders", config).await;
    let orders = world.app().await.topic("orders");
    assert_eq!(soon(orders.publish(Message::text("a"))).await.expect("it is stored").durability, Durability::Os);
    let publisher = orders.durability(Durability::Disk).publisher();
    let outcome = soon(publisher.send(Message::text("b"))).await;
    assert_eq!(soon(outcome).await.expect("it is stored").durability, Durability::Disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_keeps_the_order_and_confirms_each() {
    let world = World::with("orders", TopicConfig::default()).await;
    let publisher = world.app().await.topic("orders").max_in_flight(1000).publisher();
    let mut outcomes = Vec::new();
    for n in 0..5_000 {
        outcomes.push(soon(publisher.send(Message::text(n.to_string()))).await);
    }
    let offsets = join_all(outcomes).await.into_iter().map(|outcome| outcome.expect("it is stored").offset);
    assert!(offsets.eq((0..5_000).map(Some)), "one behind the other");
    soon(publisher.close()).await;
    let first = world.topics().peek("orders".to_owned(), Some(4_999), None).await.expect("it is there");
    assert_eq!(first[0].text(), Some("4999"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_is_refused_is_one_outcome() {
    let config = TopicConfig { max_message_bytes: Some(100), ..TopicConfig::default() };
    let world = World::with("orders", config).await;
    let publisher = world.app().await.topic("orders").publisher();
    let outcomes = [
        publisher.send(Message::text("a")).await,
        publisher.send(Message::new(vec![0; 1000])).await,
        publisher.send(Message::text("b")).await,
    ];
    let [first, second, third] = soon(join_all(outcomes)).await.try_into().expect("three");
    assert_eq!((first.expect("stored").offset, third.expect("stored").offset), (Some(0), Some(1)));
    assert_eq!(second.expect_err("it is too large").code(), Some("too-large"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_topic_refuses_or_slows_down_who_publishes() {
    let config = TopicConfig { max_depth_messages: Some(16), ..TopicConfig::default() };
    let world = World::with("orders", config).await;
    let app = world.app().await;
    let orders = app.topic("orders").max_in_flight(8);
    // A group that takes nothing yet, so that something is needed.
    let held = app.consume("orders", "billing").start(Start::Earliest).prefetch(1);
    let mut deliveries = soon(held.join()).await.expect("it joins");
    let publisher = orders.clone().wait_when_full().publisher();
    let mut sent = 0;
    let outcomes = async {
        let mut outcomes = Vec::new();
        for n in 0..200 {
            outcomes.push(publisher.send(Message::text(n.to_string())).await);
            sent = n + 1;
        }
        soon(join_all(outcomes)).await
    };
    let mut outcomes = Box::pin(outcomes);
    // Sizes are known to a sixteenth, and so is the depth at which it is full.
    let full = async {
        loop {
            if let Err(error) = orders.publish(Message::text("x")).await {
                return error;
            }
        }
    };
    let full = tokio::select! {
        _ = &mut outcomes => panic!("nobody waited"),
        full = soon(full) => full,
    };
    assert_eq!(full.code(), Some("topic-full"));
    assert!((&mut outcomes).now_or_never().is_none());
    // Consuming makes room.
    let consuming = tokio::spawn(async move {
        use futures::StreamExt;
        while let Some(unsettled) = deliveries.next().await {
            unsettled.expect("a delivery").ack();
        }
    });
    let outcomes = soon(outcomes).await;
    assert_eq!(outcomes.into_iter().filter(Result::is_ok).count(), 200);
    assert_eq!(sent, 200);
    consuming.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_scheduled_comes_when_it_is_due() {
    let world = World::with("orders", TopicConfig::default()).await;
    let app = world.app().await;
    let (told, mut tells) = tokio::sync::mpsc::channel(8);
    let consumer = app.consume("orders", "billing").each(move |delivery: towline_requester::builtin::Delivery| {
        let told = told.clone();
        async move { told.send(delivery.text().unwrap_or_default().to_owned()).await }
    });
    soon(consumer.joined()).await.expect("it joins");
    let publisher = app.topic("orders").publisher();
    let late = publisher.send(Message::text("late").delay(Duration::from_millis(200))).await;
    let now = publisher.send(Message::text("now")).await;
    let (late, now) = (soon(late).await.expect("scheduled"), soon(now).await.expect("stored"));
    assert!(late.due.is_some() && late.offset.is_none() && now.offset.is_some());
    assert_eq!((soon(tells.recv()).await.as_deref(), soon(tells.recv()).await.as_deref()), (Some("now"), Some("late")));
    until(&world.topics(), "billing", |group| group.depth == 0).await;
    soon(consumer.close()).await.expect("it ends well");
}
