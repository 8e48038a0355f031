use super::world::World;
use super::{dead_letters, soon, until};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use towline_requester::App;
use towline_requester::builtin::{Delivery, GroupMode, Message, QueueError, Start, TopicConfig};
use towline_responder::{CallError, Consume, Consumer, ConsumerBuilder, Nack};

async fn orders() -> (World, App) {
    let world = World::with("orders", TopicConfig::default()).await;
    let app = world.app().await;
    (world, app)
}

fn from_the_start(app: &App, group: &str) -> ConsumerBuilder {
    app.consume("orders", group).start(Start::Earliest)
}

/// A consumer that tells what it gets and does it well.
fn telling(builder: ConsumerBuilder) -> (Consumer, mpsc::Receiver<Delivery>) {
    let (told, tells) = mpsc::channel(1000);
    let consumer = builder.each(move |delivery: Delivery| {
        let told = told.clone();
        async move { told.send(delivery).await.map_err(|_| "nobody listens") }
    });
    (consumer, tells)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_group_gets_every_message_in_order_and_each_is_settled() {
    let (world, app) = orders().await;
    let (billing, mut bills) = telling(from_the_start(&app, "billing"));
    let (shipping, mut ships) = telling(from_the_start(&app, "shipping").prefetch(50));
    let topic = app.topic("orders");
    soon(topic.publish_batch((0..100).map(|n| Message::text(n.to_string())))).await.expect("they are stored");
    for n in 0..100 {
        for tells in [&mut bills, &mut ships] {
            let delivery = soon(tells.recv()).await.expect("it comes");
            assert_eq!((delivery.offset, delivery.attempt), (n, 1));
        }
    }
    for (consumer, group) in [(billing, "billing"), (shipping, "shipping")] {
        soon(consumer.close()).await.expect("it ends well");
        until(&world.topics(), group, |group| group.depth == 0 && group.members == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_after_joining_reaches_a_group_that_starts_at_the_latest() {
    let (_world, app) = orders().await;
    let topic = app.topic("orders");
    soon(topic.publish(Message::text("before"))).await.expect("it is stored");
    let (consumer, mut tells) = telling(app.consume("orders", "billing"));
    soon(consumer.joined()).await.expect("it joins");
    soon(topic.publish(Message::text("after"))).await.expect("it is stored");
    assert_eq!(soon(tells.recv()).await.expect("it comes").text(), Some("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_gets_it_again_until_it_is_a_dead_letter_and_it_can_be_sent_back() {
    let (world, app) = orders().await;
    let (told, mut tells) = mpsc::channel(100);
    let consumer = from_the_start(&app, "billing").max_attempts(3).each(move |delivery: Delivery| {
        let told = told.clone();
        async move {
            told.send((delivery.attempt, delivery.headers.contains_key("towline-redriven"))).await?;
            match delivery.headers.contains_key("towline-redriven") {
                false => Err(Nack::new("the card is bad").after(Duration::ZERO)),
                true => Ok(()),
            }
        }
    });
    soon(app.topic("orders").publish(Message::text("a"))).await.expect("it is stored");
    for attempt in 1..=3 {
        assert_eq!(soon(tells.recv()).await, Some((attempt, false)));
    }
    let topics = world.topics();
    until(&topics, "billing", |group| group.depth == 0 && group.dead == 1).await;
    let dead = dead_letters(&topics).await;
    assert_eq!((dead.len(), dead[0].text()), (1, Some("a")));
    assert_eq!(dead[0].headers.get("towline-dead-error").map(String::as_str), Some("the card is bad"));
    let moved = topics.redrive("orders".to_owned(), "billing".to_owned(), None, None).await.expect("it goes back");
    assert_eq!((moved.moved, soon(tells.recv()).await), (1, Some((1, true))));
    soon(consumer.close()).await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_verdict_are_seen_in_the_dead_letter() {
    let (world, app) = orders().await;
    let consumer = from_the_start(&app, "billing").max_attempts(1).each(async |delivery: Delivery| {
        assert_ne!(delivery.text(), Some("panic"), "it is one");
        Err::<(), _>(Nack::new("no order").dead())
    });
    soon(consumer.joined()).await.expect("it joins");
    soon(app.topic("orders").publish_batch(["panic", "verdict"].map(Message::text))).await.expect("they are stored");
    let topics = world.topics();
    until(&topics, "billing", |group| group.dead == 2 && group.depth == 0).await;
    let dead = dead_letters(&topics).await;
    let why = |name: &str| dead.iter().map(|dead| dead.headers[name].clone()).collect::<Vec<_>>();
    assert_eq!(why("towline-dead-reason"), ["max-attempts", "rejected"]);
    let errors = why("towline-dead-error");
    assert!(errors[0].starts_with("the handler panicked: ") && errors[0].contains("it is one"), "{errors:?}");
    assert_eq!(errors[1], "no order");
    soon(consumer.close()).await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_take_many_ack_deadlines_and_keeps_its_delivery() {
    let (world, app) = orders().await;
    let deadline = Duration::from_millis(200);
    let (began, mut begins) = mpsc::channel(8);
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let slow = from_the_start(&app, "billing").ack_deadline(deadline).prefetch(0).each(move |delivery: Delivery| {
        let (began, wait) = (began.clone(), Arc::clone(&wait));
        async move {
            began.send(delivery.attempt).await.map_err(|_| "nobody listens")?;
            wait.notified().await;
            Ok::<_, &str>(())
        }
    });
    let topic = app.topic("orders");
    soon(topic.publish(Message::text("long"))).await.expect("it is stored");
    assert_eq!(soon(begins.recv()).await, Some(1));
    // A second member would get it if the first one lost it; what it gets is due many deadlines later.
    let other = world.app().await;
    let (quick, mut tells) = telling(other.consume("orders", "billing"));
    soon(quick.joined()).await.expect("it joins");
    soon(topic.publish(Message::text("later").delay(5 * deadline))).await.expect("it is scheduled");
    assert_eq!(soon(tells.recv()).await.expect("it comes").text(), Some("later"));
    gate.notify_one();
    let status = until(&world.topics(), "billing", |group| group.depth == 0).await;
    assert_eq!(status.redelivered, 0);
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_settles_what_was_done_and_gives_the_rest_to_others_at_once() {
    let (world, app) = orders().await;
    let (began, mut begins) = mpsc::channel(8);
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    // Nobody would wait for this deadline.
    let builder = |app: &App| from_the_start(app, "billing").ack_deadline(Duration::from_secs(3600));
    let first = builder(&app).prefetch(4).each(move |delivery: Delivery| {
        let (began, wait) = (began.clone(), Arc::clone(&wait));
        async move {
            began.send(delivery.offset).await.map_err(|_| "nobody listens")?;
            wait.notified().await;
            Ok::<_, &str>(())
        }
    });
    soon(app.topic("orders").publish_batch((0..8).map(|n| Message::text(n.to_string())))).await.expect("stored");
    assert_eq!(soon(begins.recv()).await, Some(0));
    until(&world.topics(), "billing", |group| group.in_flight >= 4).await;
    let mut closing = std::pin::pin!(first.close());
    // It takes no more from its first poll on: else the handler's end would begin the next one.
    assert!(futures::poll!(&mut closing).is_pending(), "a handler is at work");
    gate.notify_one();
    soon(closing).await.expect("it ends well");
    assert!(begins.try_recv().is_err(), "it took no more");
    let (second, mut tells) = telling(builder(&world.app().await));
    // It may join before the broker has what the first gives back: then new ones come first.
    let mut came = Vec::new();
    for _ in 1..8 {
        came.push(soon(tells.recv()).await.expect("it comes").offset);
    }
    came.sort_unstable();
    assert_eq!(came, (1..8).collect::<Vec<_>>());
    until(&world.topics(), "billing", |group| group.depth == 0).await;
    soon(second.close()).await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_closes_takes_its_consumers_and_publishers_with_it() {
    let (world, app) = orders().await;
    let (consumer, mut tells) = telling(from_the_start(&app, "billing").ack_deadline(Duration::from_secs(3600)));
    let publisher = app.topic("orders").publisher();
    let outcome = soon(publisher.send(Message::text("a"))).await;
    soon(tells.recv()).await.expect("it comes");
    soon(outcome).await.expect("it is stored");
    let began = std::time::Instant::now();
    soon(app.close()).await;
    assert!(began.elapsed() < Duration::from_secs(8), "nothing is cut off at the grace time: {:?}", began.elapsed());
    soon(consumer.closed()).await.expect("it ended well");
    until(&world.topics(), "billing", |group| group.depth == 0 && group.members == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_member_of_an_exclusive_group_waits_for_the_first() {
    let (world, app) = orders().await;
    let exclusive = |app: &App| from_the_start(app, "billing").mode(GroupMode::Exclusive);
    let (first, mut tells) = telling(exclusive(&app));
    soon(first.joined()).await.expect("it joins");
    let refused = soon(exclusive(&world.app().await).wait(false).join()).await.map(drop);
    assert!(matches!(refused, Err(CallError::App(QueueError::MemberExists { .. }))), "{refused:?}");
    let (second, mut tells_too) = telling(exclusive(&world.app().await));
    let topic = app.topic("orders");
    soon(topic.publish(Message::text("a"))).await.expect("it is stored");
    assert_eq!(soon(tells.recv()).await.expect("it comes").offset, 0);
    soon(first.close()).await.expect("it ends well");
    soon(topic.publish(Message::text("b"))).await.expect("it is stored");
    assert_eq!(soon(tells_too.recv()).await.expect("it comes").offset, 1);
    soon(second.close()).await.expect("it ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_settled_one_by_one() {
    let (world, app) = orders().await;
    let topics = world.topics();
    soon(app.topic("orders").publish_batch((0..6).map(|n| Message::text(n.to_string())))).await.expect("stored");
    let mut deliveries = soon(from_the_start(&app, "billing").join()).await.expect("it joins");
    let mut held = Vec::new();
    for offset in 0..6 {
        let unsettled = soon(deliveries.next()).await.expect("it goes on").expect("a delivery");
        assert_eq!(unsettled.offset, offset);
        held.push(unsettled);
    }
    let mut held = held.into_iter();
    let mut next = || held.next().expect("six");
    next().ack();
    drop(next());
    next().nack(Nack::new("later").after(Duration::ZERO));
    next().dead("never");
    let again = soon(deliveries.next()).await.expect("it goes on").expect("a delivery");
    assert_eq!((again.offset, again.attempt, again.redelivered), (2, 2, true));
    // What was dropped, and what is here again, too.
    next().ack_to();
    until(&topics, "billing", |group| group.depth == 1 && group.dead == 1).await;
    next().ack();
    soon(deliveries.close()).await;
    until(&topics, "billing", |group| group.depth == 0 && group.members == 0).await;
    assert_eq!(again.text(), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_there_is_joined_without_saying_what_it_is_like() {
    let (_world, app) = orders().await;
    let (first, _tells) = telling(from_the_start(&app, "billing").max_attempts(5));
    soon(first.joined()).await.expect("it joins");
    let (second, _tells) = telling(app.consume("orders", "billing"));
    soon(second.joined()).await.expect("it joins");
    let (third, _tells) = telling(app.consume("orders", "billing").max_attempts(6));
    let refused = soon(third.joined()).await;
    assert!(matches!(refused, Err(CallError::App(QueueError::GroupDiffers { .. }))), "{refused:?}");
}
