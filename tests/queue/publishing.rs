//! What a confirmation says, and what publishers are refused.

use crate::world::{SOON, World, earliest};
use futures::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use std::future::IntoFuture;
use std::time::Duration;
use tokio::time::timeout;
use towline_service_api::builtin::{
    ConsumeOptions, Delivery, Durability, Message, QueueClient, QueueError, Receipt, TopicConfig,
};
use towline_service_api::{CallError, RpcError, Stream, Streaming, service};

fn config() -> TopicConfig {
    TopicConfig::default()
}

fn refusal<T: std::fmt::Debug>(outcome: Result<T, CallError<QueueError>>) -> QueueError {
    match outcome.expect_err("it is refused") {
        CallError::App(error) => error,
        CallError::Rpc(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_message_is_confirmed_and_delivered_as_it_was() {
    let world = World::with("orders", config()).await;
    let message = Message::json(&[1, 2]).expect("json").key("c42").tag("paid").header("a", "b").id("x");
    let confirmed = world.queue().publish("orders".to_owned(), message, None).await.expect("it is stored");
    assert_eq!((confirmed.offset, confirmed.durability, confirmed.duplicate), (Some(0), Durability::Disk, false));
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let delivery = consumer.next().await;
    assert_eq!((delivery.offset, delivery.attempt, delivery.redelivered), (0, 1, false));
    assert_eq!(delivery.timestamp, confirmed.timestamp);
    assert_eq!((&delivery.body[..], delivery.content_type.as_deref()), (&b"[1,2]"[..], Some("application/json")));
    assert_eq!(
        (delivery.key.as_deref(), delivery.tag.as_deref(), delivery.id.as_deref()),
        (Some("c42"), Some("paid"), Some("x"))
    );
    assert_eq!(delivery.headers["a"], "b");
}

#[tokio::test]
async fn how_long_each_confirmation_took_is_counted() {
    let world = World::with("orders", config()).await;
    for n in 0..3 {
        assert_eq!(world.publish("orders", "x").await, n);
    }
    assert_eq!(world.meter("towline_queue_confirm_seconds_count"), 3.0);
    assert_eq!(world.meter("towline_queue_confirm_seconds_bucket{le=\"+Inf\"}"), 3.0);
    assert!(world.meter("towline_queue_confirm_seconds_sum") > 0.0);
}

#[tokio::test]
async fn a_stronger_durability_may_be_asked_for_and_no_weaker_one_is_given() {
    let world = World::with("fast", TopicConfig { durability: Some(Durability::Os), ..config() }).await;
    let publish = |durability| world.queue().publish("fast".to_owned(), Message::text("x"), durability);
    // The first messages wait for their offsets to be reserved.
    assert!(publish(None).await.expect("stored").durability >= Durability::Os);
    assert_eq!(publish(Some(Durability::Disk)).await.expect("stored").durability, Durability::Disk);
    world.topics().create("sure".to_owned(), None).await.expect("created");
    let weaker = world.queue().publish("sure".to_owned(), Message::text("x"), Some(Durability::Os)).await;
    assert_eq!(weaker.expect("stored").durability, Durability::Disk);
}

#[tokio::test]
async fn a_batch_is_stored_whole_or_not_at_all() {
    let world = World::with("orders", TopicConfig { max_message_bytes: Some(100), ..config() }).await;
    let batch = |texts: &[&str]| texts.iter().map(|text| Message::text(*text)).collect::<Vec<_>>();
    let placed = world.queue().publish_batch("orders".to_owned(), batch(&["a", "b"]), None).await.expect("stored");
    assert_eq!(placed.offsets, [Some(0), Some(1)]);
    let large = "x".repeat(200);
    let refused = world.queue().publish_batch("orders".to_owned(), batch(&["c", &large]), None).await;
    assert!(matches!(refusal(refused), QueueError::TooLarge { limit: 100, .. }));
    assert_eq!(world.publish("orders", "d").await, 2, "nothing of the batch was stored");
}

#[tokio::test]
async fn what_is_published_is_stored_in_the_order_of_the_calls_whichever_they_are() {
    let world = World::with("orders", config()).await;
    let queue = world.queue();
    let publish = |text: &str| queue.publish("orders".to_owned(), Message::text(text), None).into_future();
    let batch = ["2", "3"].map(Message::text).to_vec();
    let batch = queue.publish_batch("orders".to_owned(), batch, None).into_future();
    let many = ["6", "7"].map(Message::text);
    let many = queue.publish_many("orders".to_owned(), None, None, stream::iter(many));
    let many = many.prefetch(64).start().map(|receipt| receipt.expect("a receipt").offset).collect::<Vec<_>>();
    let all = async { futures::join!(publish("0"), publish("1"), batch, publish("4"), publish("5"), many) };
    let (a, b, batch, c, d, many) = timeout(SOON, all).await.expect("they are stored");
    let single = [a, b, c, d].map(|confirmed| confirmed.expect("it is stored").offset);
    assert_eq!(single, [0, 1, 4, 5].map(Some));
    assert_eq!((batch.expect("stored").offsets, many), (vec![Some(2), Some(3)], vec![Some(6), Some(7)]));
}

/// Most messages go straight from the relay to the topic; others go past that, and may be overtaken by nothing.
#[tokio::test]
async fn messages_stand_in_the_order_of_their_calls_whichever_way_each_takes() {
    const MESSAGES: u32 = 400;
    let world = World::with("orders", config()).await;
    let queue = world.queue();
    let mut random = fastrand::Rng::with_seed(7);
    let ways: Vec<u8> = (0..MESSAGES).map(|_| random.u8(..16)).collect();
    let call = |n: u32| {
        let topic = || "orders".to_owned();
        let message = Message::new(n.to_be_bytes().to_vec());
        match ways[n as usize] {
            0 => queue
                .publish(topic(), message.key("k"), None)
                .into_future()
                .map(|outcome| drop(outcome.expect("it is taken")))
                .boxed(),
            1 => queue.post(topic(), message).into_future().map(|outcome| outcome.expect("it is taken")).boxed(),
            2 => queue
                .publish_batch(topic(), vec![message], None)
                .into_future()
                .map(|outcome| drop(outcome.expect("it is taken")))
                .boxed(),
            3 => {
                let large = [&n.to_be_bytes()[..], &[0; 5_000]].concat();
                queue
                    .publish(topic(), Message::new(large), None)
                    .into_future()
                    .map(|outcome| drop(outcome.expect("it is taken")))
                    .boxed()
            }
            // The desk knows what it is, and refuses it and what is behind it.
            4 => queue
                .publish("nowhere".to_owned(), message, None)
                .into_future()
                .map(|outcome| assert!(matches!(refusal(outcome), QueueError::UnknownTopic { .. })))
                .boxed(),
            _ => queue
                .publish(topic(), message, None)
                .into_future()
                .map(|outcome| drop(outcome.expect("it is taken")))
                .boxed(),
        }
    };
    let calls = futures::future::join_all((0..MESSAGES).map(call).collect::<Vec<_>>());
    timeout(SOON, calls).await.expect("each is answered");
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let expected: Vec<_> = (0..MESSAGES).filter(|n| ways[*n as usize] != 4).collect();
    let taken = consumer.take(expected.len()).await;
    let direct = world.meter("towline_queue_direct_total");
    assert!(direct > 0.0 && direct < f64::from(MESSAGES), "both ways were taken: {direct}");
    let number = |delivery: &Delivery| u32::from_be_bytes(*delivery.body.first_chunk().expect("a number"));
    assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn messages_stand_in_the_order_of_their_calls_whatever_durability_each_asks_for() {
    let world = World::with("fast", TopicConfig { durability: Some(Durability::Os), ..config() }).await;
    let asked = [None, Some(Durability::Disk), None, Some(Durability::Os), Some(Durability::Disk), None];
    for _ in 0..20 {
        let publish =
            |durability| world.queue().publish("fast".to_owned(), Message::text("x"), durability).into_future();
        let stored = timeout(SOON, futures::future::join_all(asked.map(publish))).await.expect("each is answered");
        let stored: Vec<_> = stored.into_iter().map(|outcome| outcome.expect("it is stored")).collect();
        let first = stored[0].offset.expect("an offset");
        assert_eq!(
            stored.iter().map(|told| told.offset.expect("an offset")).collect::<Vec<_>>(),
            (first..first + asked.len() as u64).collect::<Vec<_>>()
        );
        assert!(stored.iter().zip(asked).all(|(told, asked)| told.durability >= asked.unwrap_or(Durability::Os)));
    }
}

#[tokio::test]
async fn a_group_that_is_asked_for_before_a_message_gets_it() {
    let world = World::with("orders", config()).await;
    for n in 0..20 {
        let queue = world.queue();
        let (_settles, items) = futures::channel::mpsc::channel(0);
        let latest = ConsumeOptions::default();
        let call = queue.consume("orders".to_owned(), format!("group-{n}"), Some(latest), items);
        let mut deliveries = call.prefetch(8).start();
        let published = queue.publish("orders".to_owned(), Message::new(vec![n]), None).into_future();
        let (delivery, confirmed) = futures::join!(timeout(SOON, deliveries.next()), published);
        let delivery = delivery.expect("it comes").expect("it is open").expect("a delivery");
        assert_eq!(
            (delivery.offset, &delivery.body[..]),
            (confirmed.expect("stored").offset.expect("known"), &[n][..])
        );
    }
}

#[tokio::test]
async fn a_group_that_starts_at_the_latest_gets_nothing_that_was_published_before() {
    let world = World::with("orders", config()).await;
    let before = world.queue().publish("orders".to_owned(), Message::text("before"), None).into_future();
    let (confirmed, mut consumer) = futures::join!(before, world.consume("orders", "billing", Default::default()));
    confirmed.expect("it is stored");
    world.publish("orders", "after").await;
    assert_eq!(consumer.next().await.text(), Some("after"));
}

#[tokio::test]
async fn of_messages_that_come_together_each_is_stored_or_refused_by_itself() {
    let world = World::with("orders", TopicConfig { max_message_bytes: Some(100), ..config() }).await;
    world.topics().create("other".to_owned(), None).await.expect("created");
    let queue = world.queue();
    let publish = |(topic, message): (&str, Message)| queue.publish(topic.to_owned(), message, None).into_future();
    let large = "x".repeat(200);
    let counted = |sequence| Message::text("counted").sequence("p", sequence);
    let calls = [
        ("orders", counted(1)),
        ("other", Message::text("a")),
        ("orders", Message::text(large)),
        ("orders", counted(3)),
        ("nowhere", Message::text("b")),
        ("orders", Message { text: None, ..counted(2) }),
        ("orders", counted(3)),
        ("other", Message::text("c").delay(Duration::from_secs(600))),
        ("other", Message::text("d")),
        ("orders", Message::text("e").id("x")),
        ("orders", Message::text("e").id("x")),
    ];
    let outcomes = timeout(SOON, futures::future::join_all(calls.map(publish))).await.expect("each is answered");
    let shown = outcomes.into_iter().map(|outcome| match outcome {
        Ok(confirmed) => format!("{} {:?} {}", confirmed.topic, confirmed.offset, confirmed.duplicate),
        refused => format!("{:?}", refusal(refused)).split([' ', '{']).next().unwrap_or_default().to_owned(),
    });
    let expected = [
        "orders Some(0) false",
        "other Some(0) false",
        "TooLarge",
        "SequenceGap",
        "UnknownTopic",
        "InvalidMessage",
        "orders Some(1) false",
        "other None false",
        "other Some(1) false",
        "orders Some(2) false",
        "orders Some(2) true",
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn messages_that_come_together_fill_a_topic_to_its_depth_and_no_further() {
    let world = World::with("orders", TopicConfig { max_depth_messages: Some(10), ..config() }).await;
    let publish =
        |n: usize| world.queue().publish("orders".to_owned(), Message::text(n.to_string()), None).into_future();
    let calls = futures::future::join_all((0..30).map(publish));
    let outcomes = timeout(SOON, calls).await.expect("each is answered");
    for (n, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(confirmed) => assert_eq!((confirmed.offset, n < 10), (Some(n as u64), true)),
            refused => assert!(matches!(refusal(refused), QueueError::TopicFull { limit: 10, .. }) && n >= 10),
        }
    }
}

#[tokio::test]
async fn a_pipeline_answers_each_item_in_its_order() {
    let world = World::with("orders", TopicConfig { max_message_bytes: Some(1000), ..config() }).await;
    let large = "x".repeat(2000);
    let items: Vec<Message> =
        (0..300).map(|n| if n % 100 == 7 { Message::text(&*large) } else { Message::text(n.to_string()) }).collect();
    let call = world.queue().publish_many("orders".to_owned(), None, None, stream::iter(items));
    let receipts: Vec<_> = timeout(SOON, call.prefetch(64).start().collect()).await.expect("it ends");
    assert_eq!(receipts.len(), 300);
    let mut offset = 0;
    for (n, receipt) in receipts.into_iter().enumerate() {
        let receipt = receipt.expect("a receipt");
        assert_eq!(receipt.n, n as u64);
        match receipt.error {
            Some(error) => assert_eq!((n % 100, error.code.as_str()), (7, "too-large")),
            None => {
                assert_eq!(receipt.offset, Some(offset), "in the order of the items");
                offset += 1;
            }
        }
    }
    assert_eq!(offset, 297);
}

/// `publishMany`, by somebody whose items need not be messages.
#[service(name = "towline.Queue", builtin, encoding = "json")]
trait Anything {
    fn publish_many(
        &self,
        topic: String,
        messages: Streaming<Value>,
    ) -> impl Stream<Item = Result<Receipt, QueueError>>;
}

#[tokio::test]
async fn what_came_before_an_item_that_is_no_message_has_its_receipt() {
    let world = World::with("orders", config()).await;
    let items = [json!({ "text": "a" }), json!({ "text": "b" }), json!("no message"), json!({ "text": "c" })];
    let app = world.app().await;
    let call = app.client::<AnythingClient>().publish_many("orders".to_owned(), stream::iter(items));
    let mut answers: Vec<_> = timeout(SOON, call.prefetch(64).start().collect()).await.expect("it ends");
    let error = answers.pop().expect("it ends with an error").expect_err("it is one");
    assert_eq!(error.rpc().map(|error| error.code), Some(RpcError::INVALID), "{error:?}");
    let offsets: Vec<_> = answers.into_iter().map(|receipt| receipt.expect("a receipt").offset).collect();
    assert_eq!(offsets, [Some(0), Some(1)], "what is stored is known to be");
    assert_eq!(world.topics().get("orders".to_owned()).await.expect("it is there").head, 2);
}

#[tokio::test]
async fn one_connection_publishes_in_the_order_of_its_calls() {
    let world = World::with("orders", config()).await;
    let queue = world.queue();
    for n in 0..500 {
        queue.post("orders".to_owned(), Message::text(n.to_string())).await.expect("sent");
    }
    world.publish("orders", "last").await;
    let mut consumer = world.consume("orders", "all", earliest()).await;
    for n in 0..500 {
        assert_eq!(consumer.take(1).await[0].text(), Some(&*n.to_string()));
    }
}

#[tokio::test]
async fn a_message_that_comes_twice_is_stored_once() {
    let world = World::with("orders", config()).await;
    let publish = |message: Message| world.queue().publish("orders".to_owned(), message, None);
    let first = publish(Message::text("a").id("order-7")).await.expect("stored");
    let second = publish(Message::text("a").id("order-7")).await.expect("known");
    assert_eq!((first.duplicate, second.duplicate, second.offset), (false, true, Some(0)));

    let counted = |sequence| publish(Message::text("b").sequence("till-1", sequence));
    assert!(!counted(5).await.expect("anywhere").duplicate);
    assert!(!counted(6).await.expect("the next").duplicate);
    assert!(counted(6).await.expect("known").duplicate);
    let gap = refusal(counted(9).await);
    assert_eq!(gap, QueueError::SequenceGap { producer: "till-1".to_owned(), sequence: 9, expected: 7 });
    // A message that cannot be one uses up its sequence.
    let nothing = Message { producer: Some("till-1".to_owned()), sequence: Some(7), ..Message::default() };
    assert!(matches!(refusal(publish(nothing).await), QueueError::InvalidMessage { .. }));
    assert!(!counted(8).await.expect("the next").duplicate);
}

#[tokio::test]
async fn a_full_topic_refuses_until_something_is_settled() {
    let world = World::with("orders", TopicConfig { max_depth_messages: Some(10), ..config() }).await;
    world.topics().create_group("orders".to_owned(), "billing".to_owned(), None).await.expect("made");
    for n in 0..10 {
        world.publish("orders", &n.to_string()).await;
    }
    let full = world.queue().publish("orders".to_owned(), Message::text("more"), None).await;
    assert!(matches!(refusal(full), QueueError::TopicFull { depth: 10, limit: 10, .. }));
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    consumer.take(10).await;
    let mut tries = 0;
    while world.queue().publish("orders".to_owned(), Message::text("more"), None).await.is_err() {
        tries += 1;
        assert!(tries < 1000, "it never takes messages again");
    }
}

#[tokio::test]
async fn a_pipeline_may_wait_for_a_full_topic() {
    let world = World::with("orders", TopicConfig { max_depth_messages: Some(10), ..config() }).await;
    world.topics().create_group("orders".to_owned(), "billing".to_owned(), None).await.expect("made");
    let items = stream::iter((0..50).map(|n| Message::text(n.to_string())));
    let wait = Some(towline_service_api::builtin::OnFull::Wait);
    let mut receipts = world.queue().publish_many("orders".to_owned(), None, wait, items).prefetch(64).start();
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    for n in 0..50 {
        let receipt = timeout(SOON, receipts.next()).await.expect("it comes").expect("open").expect("a receipt");
        assert_eq!((receipt.n, receipt.error), (n, None));
        assert_eq!(consumer.take(1).await[0].offset, n);
    }
}

#[tokio::test]
async fn a_topic_may_drop_its_oldest_instead() {
    let on_full = Some(towline_service_api::builtin::OnFull::DropOldest);
    let world = World::with("ticks", TopicConfig { max_depth_messages: Some(100), on_full, ..config() }).await;
    world.topics().create_group("ticks".to_owned(), "slow".to_owned(), None).await.expect("made");
    for n in 0..300 {
        world.publish("ticks", &n.to_string()).await;
    }
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let status = world.topics().get("ticks".to_owned()).await.expect("it is there");
        if status.depth <= 100 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut consumer = world.consume("ticks", "slow", earliest()).await;
    let first = consumer.next().await;
    assert!(first.offset >= 200, "{}", first.offset);
    assert!(world.meter("towline_queue_removed_unacked_total") >= 100.0);
}

#[tokio::test]
async fn a_scheduled_message_comes_when_it_is_due_or_is_taken_back() {
    let world = World::with("orders", config()).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let publish = |message: Message| world.queue().publish("orders".to_owned(), message, None);
    let far = publish(Message::text("far").delay(Duration::from_secs(3600)).id("far")).await.expect("kept");
    assert_eq!((far.offset, far.due.is_some()), (None, true));
    assert!(publish(Message::text("far").delay(Duration::from_secs(9)).id("far")).await.expect("known").duplicate);
    let soon = publish(Message::text("soon").delay(Duration::from_millis(300))).await.expect("kept");
    assert_eq!(world.topics().get("orders".to_owned()).await.expect("there").scheduled, 2);
    let delivery = consumer.next().await;
    assert_eq!(delivery.text(), Some("soon"));
    assert!(Some(delivery.timestamp) >= soon.due, "not early");
    assert!(world.queue().cancel_scheduled("orders".to_owned(), "far".to_owned()).await.expect("answered"));
    assert!(!world.queue().cancel_scheduled("orders".to_owned(), "far".to_owned()).await.expect("answered"));
    assert_eq!(world.topics().get("orders".to_owned()).await.expect("there").scheduled, 0);
}

#[tokio::test]
async fn scheduled_messages_survive_a_restart() {
    let world = World::with("orders", config()).await;
    let message = Message::text("later").delay(Duration::from_millis(1500)).id("later");
    world.queue().publish("orders".to_owned(), message, None).await.expect("kept");
    let far = Message::text("far").delay(Duration::from_secs(3600)).id("far");
    world.queue().publish("orders".to_owned(), far, None).await.expect("kept");
    let world = world.restart().await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    assert_eq!(consumer.next().await.text(), Some("later"));
    assert!(world.queue().cancel_scheduled("orders".to_owned(), "far".to_owned()).await.expect("answered"));
}

#[tokio::test]
async fn a_message_is_worth_nothing_after_its_time() {
    let world = World::with("orders", config()).await;
    let message = Message::text("old").ttl(Duration::from_millis(1));
    world.queue().publish("orders".to_owned(), message, None).await.expect("stored");
    tokio::time::sleep(Duration::from_millis(5)).await;
    world.publish("orders", "young").await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    assert_eq!(consumer.next().await.text(), Some("young"));
}

#[tokio::test]
async fn publishing_beyond_the_budget_is_refused_before_it_is_stored() {
    let world = World::with("orders", config()).await;
    let body = vec![7; 3 << 20];
    let queue = world.queue();
    let calls = (0..40).map(|_| {
        let call = queue.publish("orders".to_owned(), Message::new(body.clone()), None);
        async move { call.await }
    });
    let outcomes = futures::future::join_all(calls).await;
    for outcome in &outcomes {
        if let Err(error) = outcome {
            assert!(matches!(error, CallError::Rpc(error) if error.code == RpcError::REJECTED), "{error}");
        }
    }
    let stored = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    assert_eq!(world.topics().get("orders".to_owned()).await.expect("there").head, stored);
}

/// Publishers that do not leave are cut off while their messages wait for the disk: they know that those are in doubt.
#[tokio::test]
async fn a_drain_under_load_loses_nothing_that_was_confirmed() {
    let world = World::configured(|config| config.shutdown.grace = Duration::from_millis(300)).await;
    world.topics().create("orders".to_owned(), Some(config())).await.expect("it is created");
    let app = world.app().await;
    let publisher = |task: usize| {
        let queue: QueueClient = app.client();
        tokio::spawn(async move {
            let mut confirmed = Vec::new();
            loop {
                let text = format!("{task}/{}", confirmed.len());
                match queue.publish("orders".to_owned(), Message::new(text.clone().into_bytes()), None).await {
                    Ok(done) => confirmed.push((done.offset.expect("it has an offset"), text)),
                    Err(error) => return (confirmed, error),
                }
            }
        })
    };
    let publishers: Vec<_> = (0..64).map(publisher).collect();
    while world.topics().get("orders".to_owned()).await.expect("it is there").head < 1_000 {
        tokio::task::yield_now().await;
    }
    assert!(world.meter("towline_queue_direct_total") > 0.0, "they are on the desk");
    let (folder, broker) = (world.folder.clone(), world.broker);
    let drained = tokio::spawn(broker.drain());
    let mut confirmed = Vec::new();
    for publisher in publishers {
        let (its, error) = timeout(SOON, publisher).await.expect("it ends").expect("it does not panic");
        assert!(matches!(error, CallError::Rpc(_)), "{error:?}");
        confirmed.extend(its);
    }
    app.close().await;
    drained.await.expect("it drains");
    assert!(confirmed.len() >= 900, "{} confirmed", confirmed.len());

    let world = World::on(folder).await;
    let head = world.topics().get("orders".to_owned()).await.expect("it is there").head;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let taken = consumer.take(head as usize).await;
    assert_eq!(taken.iter().map(|it| it.offset).collect::<Vec<_>>(), (0..head).collect::<Vec<_>>());
    for (offset, text) in confirmed {
        assert_eq!(taken[offset as usize].body, text.as_bytes(), "offset {offset}");
    }
}
