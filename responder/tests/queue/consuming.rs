use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{Notify, mpsc};
use towline_responder::builtin::{Delivery, QueueError, Settle};
use towline_responder::{App, CallError, Consume, Consumer, ConsumerBuilder, Nack, RpcError};

use crate::broker::{Broker, soon};

async fn set() -> (Broker, App) {
    let broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    (broker, app)
}

fn billing(app: &App) -> ConsumerBuilder {
    app.consume("orders", "billing").ack_deadline(Duration::from_secs(30))
}

/// A consumer whose handlers tell that they began, and end well when they are let.
fn gated(builder: ConsumerBuilder) -> (Consumer, mpsc::Receiver<u64>, Arc<Notify>) {
    let (began, begins) = mpsc::channel(64);
    let gate = Arc::new(Notify::new());
    let wait = Arc::clone(&gate);
    let consumer = builder.each(move |delivery: Delivery| {
        let (began, wait) = (began.clone(), Arc::clone(&wait));
        async move {
            began.send(delivery.offset).await.unwrap();
            wait.notified().await;
            Ok::<_, String>(())
        }
    });
    (consumer, begins, gate)
}

#[tokio::test]
async fn how_a_handler_ends_is_how_its_delivery_is_settled() {
    let (mut broker, app) = set().await;
    let consumer = billing(&app).each(async |delivery: Delivery| match delivery.offset {
        0 => Ok(()),
        1 => Err(Nack::from("no such card")),
        2 => Err(Nack::new("the bank is away").after(Duration::from_secs(5))),
        3 => Err(Nack::new("no order at all").dead()),
        4 => panic!("it is {}", "broken"),
        _ => {
            let number: u32 = delivery.text().unwrap_or_default().parse()?;
            assert_eq!(number, 0);
            Ok(())
        }
    });
    let mut channel = broker.consume().await;
    for (offset, settle) in [
        (0, Settle::ack(0)),
        (1, Settle::nack(1).because("no such card")),
        (2, Settle::nack(2).because("the bank is away").after(Duration::from_secs(5))),
        (3, Settle::dead(3).because("no order at all")),
        (4, Settle::nack(4).because("the handler panicked: it is broken")),
        (5, Settle::nack(5).because("invalid digit found in string")),
    ] {
        channel.hand(offset).await;
        assert_eq!(channel.item().await, settle);
    }
    soon(consumer.close()).await.unwrap();
}

#[tokio::test]
async fn it_has_joined_when_the_broker_asks_for_its_settles() {
    let (mut broker, app) = set().await;
    let consumer = billing(&app).each(async |_| Ok::<_, String>(()));
    let mut channel = broker.consume().await;
    let mut joined = Box::pin(consumer.joined());
    assert!(futures::poll!(&mut joined).is_pending());
    // Reading what is not there yet grants credit.
    assert!(futures::poll!(channel.items.next()).is_pending());
    soon(joined).await.unwrap();
}

#[tokio::test]
async fn no_more_handlers_run_than_may_and_no_more_deliveries_come_than_were_asked_for() {
    let (mut broker, app) = set().await;
    let (consumer, mut begins, gate) = gated(billing(&app).concurrency(3).prefetch(2));
    let mut channel = broker.consume().await;
    for offset in 0..10 {
        channel.hand(offset).await;
    }
    for _ in 0..3 {
        soon(begins.recv()).await.unwrap();
    }
    // Three at work and two that wait to be read; the rest was not asked for.
    soon(async {
        while channel.unasked() > 5 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!((channel.unasked(), begins.try_recv().is_err()), (5, true));
    gate.notify_one();
    channel.item().await;
    assert_eq!(soon(begins.recv()).await, Some(3));
    assert!(begins.try_recv().is_err());
    gate.notify_waiters();
    drop(consumer);
}

#[tokio::test]
async fn a_handler_that_takes_long_keeps_its_delivery() {
    let (mut broker, app) = set().await;
    let deadline = Duration::from_millis(100);
    let (consumer, mut begins, gate) = gated(app.consume("orders", "billing").ack_deadline(deadline));
    let mut channel = broker.consume().await;
    channel.hand(7).await;
    soon(begins.recv()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(channel.item().await, Settle::extend(7));
    }
    gate.notify_one();
    loop {
        match channel.item().await {
            settle if settle == Settle::extend(7) => {}
            settle => break assert_eq!(settle, Settle::ack(7)),
        }
    }
    soon(consumer.close()).await.unwrap();
}

#[tokio::test]
async fn a_delivery_that_waited_behind_a_long_handler_is_kept_as_soon_as_it_is_read() {
    let (mut broker, app) = set().await;
    let deadline = Duration::from_millis(200);
    let (consumer, mut begins, gate) = gated(app.consume("orders", "billing").ack_deadline(deadline));
    let mut channel = broker.consume().await;
    channel.hand(7).await;
    channel.hand(8).await;
    soon(begins.recv()).await.unwrap();
    assert_eq!(channel.item().await, Settle::extend(7));
    gate.notify_one();
    let mut seen = Vec::new();
    while seen.last() != Some(&Settle::extend(8)) {
        seen.push(channel.item().await);
    }
    assert_eq!(seen.iter().filter(|settle| **settle == Settle::ack(7)).count(), 1, "{seen:?}");
    drop(consumer);
}

#[tokio::test]
async fn a_lost_connection_is_joined_again_and_what_ended_meanwhile_is_still_acked() {
    let (mut broker, app) = set().await;
    let (consumer, mut begins, gate) = gated(billing(&app).concurrency(3));
    let first = broker.consume().await;
    first.hand(0).await;
    first.hand(1).await;
    assert_eq!((soon(begins.recv()).await, soon(begins.recv()).await), (Some(0), Some(1)));
    broker.cut().await;
    let mut second = broker.consume().await;
    assert_eq!(second.head, first.head);
    // Handed over again while its handler runs: it is not run twice, and what comes of it counts.
    second.hand(1).await;
    second.hand(2).await;
    gate.notify_one();
    assert_eq!(second.item().await, Settle::ack(0));
    assert_eq!(soon(begins.recv()).await, Some(2));
    gate.notify_one();
    assert_eq!(second.item().await, Settle::ack(1));
    gate.notify_one();
    assert_eq!(second.item().await, Settle::ack(2));
    assert!(begins.try_recv().is_err());
    soon(consumer.close()).await.unwrap();
}

#[tokio::test]
async fn closing_takes_no_more_lets_handlers_end_and_settles_what_they_did() {
    let (mut broker, app) = set().await;
    let (consumer, mut begins, gate) = gated(billing(&app).concurrency(2));
    let mut channel = broker.consume().await;
    channel.hand(0).await;
    channel.hand(1).await;
    assert_eq!((soon(begins.recv()).await, soon(begins.recv()).await), (Some(0), Some(1)));
    let mut closing = Box::pin(consumer.close());
    assert!(futures::poll!(&mut closing).is_pending());
    channel.hand(2).await;
    gate.notify_one();
    assert_eq!(channel.item().await, Settle::ack(0));
    assert!(futures::poll!(&mut closing).is_pending());
    gate.notify_one();
    assert_eq!(channel.item().await, Settle::ack(1));
    assert!(futures::poll!(channel.items.next()).is_pending());
    soon(closing).await.unwrap();
    channel.cancelled().await;
    assert!(begins.try_recv().is_err());
}

#[tokio::test]
async fn a_closing_app_ends_its_consumers_as_they_end_themselves() {
    let (mut broker, app) = set().await;
    let (consumer, mut begins, gate) = gated(billing(&app));
    let mut channel = broker.consume().await;
    channel.hand(0).await;
    soon(begins.recv()).await.unwrap();
    let closing = tokio::spawn(async move { app.close().await });
    gate.notify_one();
    assert_eq!(channel.item().await, Settle::ack(0));
    assert!(futures::poll!(channel.items.next()).is_pending());
    soon(closing).await.unwrap();
    channel.cancelled().await;
    soon(consumer.closed()).await.unwrap();
}

#[tokio::test]
async fn handlers_may_call_through_an_app_that_closes() {
    let (mut broker, app) = set().await;
    let (began, mut begins) = mpsc::channel(1);
    let gate = Arc::new(Notify::new());
    let (wait, again) = (Arc::clone(&gate), app.topic("again"));
    let _consumer = billing(&app).each(move |_| {
        let (began, wait, again) = (began.clone(), Arc::clone(&wait), again.clone());
        async move {
            began.send(()).await.unwrap();
            wait.notified().await;
            again.publish(towline_responder::builtin::Message::text("again")).await.map(drop)
        }
    });
    let mut channel = broker.consume().await;
    channel.hand(0).await;
    soon(begins.recv()).await.unwrap();
    let mut state = app.state();
    let closing = tokio::spawn(async move { app.close().await });
    soon(state.wait_for(|state| state.phase != towline_responder::Phase::Running)).await.unwrap();
    gate.notify_one();
    broker.publish().await.answer.send(Ok(crate::broker::confirmation(0))).unwrap();
    assert_eq!(channel.item().await, Settle::ack(0));
    drop(channel);
    soon(closing).await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_is_refused_for_good_ends_and_says_why() {
    let (mut broker, app) = set().await;
    let unknown = QueueError::UnknownTopic { topic: "orders".to_owned() };
    let consumer = billing(&app).each(async |_| Ok::<_, String>(()));
    broker.consume().await.fail(unknown.clone()).await;
    assert_eq!(soon(consumer.joined()).await, Err(CallError::App(unknown.clone())));
    assert_eq!(soon(consumer.closed()).await, Err(CallError::App(unknown.clone())));
    // Also one that had joined.
    let consumer = billing(&app).each(async |_| Ok::<_, String>(()));
    let mut channel = broker.consume().await;
    assert!(futures::poll!(channel.items.next()).is_pending());
    soon(consumer.joined()).await.unwrap();
    channel.fail(unknown.clone()).await;
    assert_eq!(soon(consumer.closed()).await, Err(CallError::App(unknown)));
}

#[tokio::test]
async fn a_consumer_that_is_refused_for_the_moment_joins_again() {
    let (mut broker, app) = set().await;
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let consumer = billing(&app).each(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, String>(()) }
    });
    for error in [
        QueueError::Rpc(RpcError::rejected("closing", Some(Duration::from_millis(1)))),
        QueueError::Rpc(RpcError::canceled("moved")),
        QueueError::StoreFailed { why: "it broke".to_owned() },
    ] {
        broker.consume().await.fail(error).await;
    }
    let mut channel = broker.consume().await;
    channel.hand(0).await;
    assert_eq!(channel.item().await, Settle::ack(0));
    assert_eq!(handled.load(Ordering::Relaxed), 1);
    drop(consumer);
    channel.cancelled().await;
}
