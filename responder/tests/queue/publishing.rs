use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use towline_responder::builtin::{Blob, Durability, Json, Message, QueueError, Receipt, ReceiptError};
use towline_responder::{App, Outcome, PublishError, RpcError};

use crate::broker::{Broker, confirmation, soon};

fn text(text: &str) -> Message {
    Message::text(text)
}

/// A message the broker knows again.
fn known(name: &str) -> Message {
    Message::text(name).id(name)
}

async fn offset(outcome: Outcome) -> Option<u64> {
    soon(outcome).await.unwrap().offset
}

async fn error(outcome: Outcome) -> PublishError {
    soon(outcome).await.unwrap_err()
}

async fn set() -> (Broker, App) {
    let broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    (broker, app)
}

fn unknown() -> QueueError {
    QueueError::UnknownTopic { topic: "orders".to_owned() }
}

#[tokio::test]
async fn a_publish_that_was_refused_for_the_moment_is_sent_again_when_it_may_be() {
    let (mut broker, app) = set().await;
    let began = Instant::now();
    let publishing = tokio::spawn(async move { app.topic("orders").publish(text("a")).await });
    let pause = Duration::from_millis(150);
    let busy = QueueError::Rpc(RpcError::rejected("over its budget", Some(pause)));
    broker.publish().await.answer.send(Err(busy)).unwrap();
    broker.publish().await.answer.send(Ok(confirmation(7))).unwrap();
    assert_eq!(soon(publishing).await.unwrap(), Ok(confirmation(7)));
    assert!(began.elapsed() >= pause, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_publish_whose_answer_is_lost_is_sent_again_only_if_the_broker_knows_it_again() {
    let (mut broker, app) = set().await;
    let topic = app.topic("orders");
    let publishing = tokio::spawn(async move { (topic.publish(text("a")).await, topic.publish(known("b")).await) });
    let _unanswered = broker.publish().await;
    broker.cut().await;
    let first = broker.publish().await;
    broker.cut().await;
    let second = broker.publish().await;
    assert_eq!(second.message, first.message);
    second.answer.send(Ok(confirmation(7))).unwrap();
    let (unknown, known) = soon(publishing).await.unwrap();
    assert!(unknown.unwrap_err().is_in_doubt());
    assert_eq!(known, Ok(confirmation(7)));
}

#[tokio::test]
async fn json_travels_as_the_bytes_it_is_stored_as() {
    let (mut broker, app) = set().await;
    let publishing = tokio::spawn(async move {
        let message = Message { json: Some(Json(r#"{"id": 7.10}"#.into())), ..Message::default() };
        app.topic("orders").publish(message).await
    });
    let publish = broker.publish().await;
    assert_eq!(publish.message.body, Some(Blob(r#"{"id": 7.10}"#.into())));
    assert_eq!((publish.message.json, publish.message.content_type.as_deref()), (None, Some("application/json")));
    publish.answer.send(Ok(confirmation(0))).unwrap();
    soon(publishing).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_message_without_a_body_or_with_two_is_refused_here_and_harms_no_other() {
    let (mut broker, app) = set().await;
    let publisher = app.topic("orders").publisher();
    let two = publisher.send(Message { text: Some("a".to_owned()), ..Message::new("b") }).await;
    let none = publisher.send(Message::default()).await;
    let one = publisher.send(text("c")).await;
    assert_eq!(error(two).await.code(), Some("invalid-message"));
    assert_eq!(error(none).await.code(), Some("invalid-message"));
    let mut channel = broker.publish_many().await;
    assert_eq!(channel.item().await, text("c"));
    channel.stored(0, 5).await;
    assert_eq!(offset(one).await, Some(5));
}

#[tokio::test]
async fn a_batch_is_one_call() {
    let (_broker, app) = set().await;
    let offsets = soon(app.topic("orders").publish_batch(["a", "b", "c"].map(text))).await;
    assert_eq!(offsets, Ok(vec![Some(0), Some(1), Some(2)]));
}

#[tokio::test]
async fn each_message_has_the_outcome_its_receipt_says() {
    let (mut broker, app) = set().await;
    let publisher = app.topic("orders").durability(Durability::Disk).wait_when_full().publisher();
    let outcomes = [publisher.send(text("a")).await, publisher.send(text("b")).await, publisher.send(text("c")).await];
    let mut channel = broker.publish_many().await;
    assert_eq!(channel.head, "orders Some(Disk) Some(Wait)");
    for text in ["a", "b", "c"] {
        assert_eq!(channel.item().await.text.as_deref(), Some(text));
    }
    let refused =
        ReceiptError { code: "too-large".to_owned(), message: "too large".to_owned(), next: Some("send less".into()) };
    channel.stored(0, 5).await;
    channel.answer(Receipt::refused(1, refused)).await;
    channel.answer(Receipt { duplicate: Some(true), ..Receipt::stored(2, &confirmation(6)) }).await;
    let [first, second, third] = outcomes;
    assert_eq!(soon(first).await, Ok(confirmation(5)));
    let second = error(second).await;
    assert_eq!((second.code(), second.is_in_doubt()), (Some("too-large"), false));
    assert_eq!(second.to_string(), "not stored: too large (too-large); send less");
    assert!(soon(third).await.unwrap().duplicate);
}

#[tokio::test]
async fn no_more_messages_are_taken_than_may_be_in_flight() {
    let (mut broker, app) = set().await;
    let publisher = app.topic("orders").max_in_flight(2).publisher();
    let first = publisher.send(text("a")).await;
    let second = publisher.send(text("b")).await;
    let mut third = Box::pin(publisher.send(text("c")));
    assert!((&mut third).now_or_never().is_none());
    let mut channel = broker.publish_many().await;
    channel.item().await;
    channel.stored(0, 0).await;
    assert_eq!(offset(first).await, Some(0));
    let third = soon(third).await;
    assert!(publisher.send(text("d")).now_or_never().is_none());
    channel.item().await;
    channel.item().await;
    channel.stored(1, 1).await;
    channel.stored(2, 2).await;
    assert_eq!((offset(second).await, offset(third).await), (Some(1), Some(2)));
    soon(publisher.flush()).await;
}

#[tokio::test]
async fn after_a_lost_connection_what_is_known_comes_first_again_and_what_is_not_is_in_doubt() {
    let mut broker = Broker::granting(4).await;
    let app = broker.app().start().await.unwrap();
    let publisher = app.topic("orders").publisher();
    let messages = [text("a"), known("b"), text("c"), Message::text("d").sequence("p", 1), text("e"), known("f")];
    let mut outcomes = Vec::new();
    for message in messages {
        outcomes.push(publisher.send(message).await);
    }
    let mut first = broker.publish_many().await;
    for text in ["a", "b"] {
        assert_eq!(first.item().await.text.as_deref(), Some(text));
    }
    first.stored(0, 0).await;
    let mut outcomes = outcomes.into_iter();
    assert_eq!(offset(outcomes.next().unwrap()).await, Some(0));
    broker.cut().await;
    // `c` may have been sent or not: of four granted, two were read. `e` was not, whatever was topped up meanwhile.
    let mut second = broker.publish_many().await;
    let mut again = Vec::new();
    while again.last().is_none_or(|last| last != "f") {
        again.push(second.item().await.text.unwrap());
        second.stored(again.len() as u64 - 1, 10 + again.len() as u64).await;
    }
    assert!(again.starts_with(&["b".to_owned()]), "{again:?}");
    assert!(again.contains(&"d".to_owned()), "{again:?}");
    assert!(again.is_sorted(), "in their order: {again:?}");
    for (text, outcome) in ["b", "c", "d", "e", "f"].into_iter().zip(outcomes) {
        match soon(outcome).await {
            Ok(_) => assert!(again.iter().any(|sent| sent == text), "{text}"),
            Err(error) => {
                assert!(error.is_in_doubt() && ["c", "e"].contains(&text), "{text}: {error}");
                assert!(again.iter().all(|sent| sent != text), "{text} is in doubt, and was sent again");
            }
        }
    }
}

#[tokio::test]
async fn what_no_broker_took_waits_for_the_next_one() {
    let (mut broker, app) = set().await;
    broker.cut().await;
    let mut state = app.state();
    soon(state.wait_for(|state| state.connected == 0)).await.unwrap();
    let publisher = app.topic("orders").publisher();
    let outcome = publisher.send(text("a")).await;
    let mut channel = broker.publish_many().await;
    assert_eq!(channel.item().await, text("a"));
    channel.stored(0, 0).await;
    assert_eq!(offset(outcome).await, Some(0));
}

#[tokio::test]
async fn an_error_of_the_topic_is_the_outcome_of_what_is_here_and_of_nothing_after_it() {
    let (mut broker, app) = set().await;
    let publisher = app.topic("orders").publisher();
    let outcome = publisher.send(text("a")).await;
    broker.publish_many().await.fail(unknown()).await;
    assert_eq!(error(outcome).await.code(), Some("unknown-topic"));

    let outcome = publisher.send(known("b")).await;
    let mut channel = broker.publish_many().await;
    channel.item().await;
    channel.fail(QueueError::StoreFailed { why: "it broke".to_owned() }).await;
    assert!(error(outcome).await.is_in_doubt());

    let outcome = publisher.send(text("c")).await;
    let mut channel = broker.publish_many().await;
    assert_eq!(channel.item().await, text("c"));
    channel.stored(0, 3).await;
    assert_eq!(offset(outcome).await, Some(3));
}

#[tokio::test]
async fn a_channel_that_is_refused_for_the_moment_is_opened_again() {
    let (mut broker, app) = set().await;
    let publisher = app.topic("orders").publisher();
    let outcome = publisher.send(text("a")).await;
    let busy = RpcError::rejected("closing", Some(Duration::from_millis(1)));
    for _ in 0..3 {
        broker.publish_many().await.fail(QueueError::Rpc(busy.clone())).await;
    }
    let mut channel = broker.publish_many().await;
    channel.item().await;
    channel.stored(0, 3).await;
    assert_eq!(offset(outcome).await, Some(3));
}

#[tokio::test]
async fn receipts_out_of_order_are_no_receipts() {
    let (mut broker, app) = set().await;
    let publisher = app.topic("orders").publisher();
    let outcome = publisher.send(text("a")).await;
    let mut channel = broker.publish_many().await;
    channel.item().await;
    channel.stored(1, 0).await;
    let error = error(outcome).await;
    assert!(error.is_in_doubt(), "{error}");
    assert!(error.to_string().contains("a receipt of item 1 came where that of item 0 was expected"), "{error}");
}

#[tokio::test]
async fn a_closed_or_dropped_publisher_sends_what_it_was_given_and_ends_its_channel() {
    let (mut broker, app) = set().await;
    for is_closed in [true, false] {
        let publisher = app.topic("orders").publisher();
        let outcome = publisher.send(text("a")).await;
        let closing = if is_closed {
            tokio::spawn(publisher.close())
        } else {
            drop(publisher);
            tokio::spawn(async {})
        };
        let mut channel = broker.publish_many().await;
        channel.item().await;
        assert!(soon(channel.items.next()).await.is_none());
        channel.stored(0, 0).await;
        drop(channel);
        assert_eq!(offset(outcome).await, Some(0));
        soon(closing).await.unwrap();
    }
}

#[tokio::test]
async fn a_closing_app_confirms_what_it_has_and_takes_no_more() {
    let (mut broker, app) = set().await;
    let publisher = app.topic("orders").publisher();
    let outcome = publisher.send(text("a")).await;
    let mut channel = broker.publish_many().await;
    channel.item().await;
    let closing = tokio::spawn({
        let app = app.clone();
        async move { app.close().await }
    });
    assert!(soon(channel.items.next()).await.is_none());
    assert!(matches!(error(publisher.send(text("b")).await).await, PublishError::NotSent(_)));
    channel.stored(0, 0).await;
    drop(channel);
    assert_eq!(offset(outcome).await, Some(0));
    soon(closing).await.unwrap();
}
