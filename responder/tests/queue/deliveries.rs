use futures::StreamExt;
use std::time::Duration;
use towline_responder::builtin::{QueueError, Settle};
use towline_responder::{App, CallError, Consume, Deliveries, Nack};

use crate::broker::{Broker, Channel, soon};
use towline_responder::builtin::Delivery;

/// A member, and the broker's side of it.
async fn joined(broker: &mut Broker, app: &App) -> (Deliveries, Channel<Settle, Delivery>) {
    let joining = tokio::spawn(app.consume("orders", "billing").prefetch(4).join());
    let mut channel = broker.consume().await;
    assert!(futures::poll!(channel.items.next()).is_pending());
    (soon(joining).await.unwrap().unwrap(), channel)
}

#[tokio::test]
async fn each_delivery_is_settled_as_it_is_said() {
    let mut broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    let (mut deliveries, mut channel) = joined(&mut broker, &app).await;
    for offset in 0..8 {
        channel.hand(offset).await;
    }
    let mut next = async || soon(deliveries.next()).await.unwrap().unwrap();
    let first = next().await;
    assert_eq!((first.offset, first.text()), (0, Some("order 0")));
    first.ack();
    assert_eq!(channel.item().await, Settle::ack(0));
    next().await.nack("no");
    assert_eq!(channel.item().await, Settle::nack(1).because("no"));
    next().await.nack(Nack::new("later").after(Duration::from_secs(1)));
    assert_eq!(channel.item().await, Settle::nack(2).because("later").after(Duration::from_secs(1)));
    next().await.dead("never");
    assert_eq!(channel.item().await, Settle::dead(3).because("never"));
    // One that is dropped is settled by nobody.
    drop(next().await);
    let long = next().await;
    long.extend();
    assert_eq!(channel.item().await, Settle::extend(5));
    long.extend_by(Duration::from_secs(60));
    assert_eq!(channel.item().await, Settle { by_ms: Some(60_000), ..Settle::extend(5) });
    next().await.ack_to();
    assert_eq!(channel.item().await, Settle::ack_to(6));
    assert_eq!(next().await.into_delivery().offset, 7);
    assert!(futures::poll!(channel.items.next()).is_pending());
}

#[tokio::test]
async fn acks_for_which_there_is_no_credit_become_one_item() {
    let mut broker = Broker::granting(1).await;
    let app = broker.app().start().await.unwrap();
    let (mut deliveries, mut channel) = joined(&mut broker, &app).await;
    let mut held = Vec::new();
    for offset in 0..6 {
        channel.hand(offset).await;
        held.push(soon(deliveries.next()).await.unwrap().unwrap());
    }
    // One goes with the credit there is; the rest waits until it is read.
    held.into_iter().for_each(towline_responder::Unsettled::ack);
    let mut items = vec![channel.item().await];
    while items.iter().map(|item| item.ack.len()).sum::<usize>() < 6 {
        items.push(channel.item().await);
    }
    let acked: Vec<_> = items.iter().flat_map(|item| item.ack.clone()).collect();
    assert_eq!(acked, [0, 1, 2, 3, 4, 5]);
    assert!(items.len() <= 3, "{items:?}");
}

#[tokio::test]
async fn after_a_lost_connection_only_what_counts_from_anybody_is_said() {
    let mut broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    let (mut deliveries, channel) = joined(&mut broker, &app).await;
    let mut held = Vec::new();
    for offset in 0..5 {
        channel.hand(offset).await;
        held.push(soon(deliveries.next()).await.unwrap().unwrap());
    }
    broker.cut().await;
    // Reading joins again.
    let reading = tokio::spawn(async move { deliveries.next().await });
    let mut channel = broker.consume().await;
    assert!(futures::poll!(channel.items.next()).is_pending());
    let mut held = held.into_iter();
    let mut next = || held.next().unwrap();
    next().nack("no");
    next().extend();
    next().ack_to();
    next().ack();
    next().dead("never");
    assert_eq!(channel.item().await, Settle::ack(3));
    assert_eq!(channel.item().await, Settle::dead(4).because("never"));
    channel.hand(9).await;
    assert_eq!(soon(reading).await.unwrap().unwrap().unwrap().offset, 9);
}

#[tokio::test]
async fn closing_says_what_was_settled_and_then_leaves() {
    let mut broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    let (mut deliveries, mut channel) = joined(&mut broker, &app).await;
    channel.hand(0).await;
    soon(deliveries.next()).await.unwrap().unwrap().ack();
    let closing = tokio::spawn(deliveries.close());
    assert_eq!(channel.item().await, Settle::ack(0));
    soon(closing).await.unwrap();
    channel.cancelled().await;
}

#[tokio::test]
async fn what_cannot_be_joined_is_an_error_and_what_ends_for_good_ends() {
    let mut broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    let unknown = QueueError::UnknownTopic { topic: "orders".to_owned() };
    let joining = tokio::spawn(app.consume("orders", "billing").join());
    broker.consume().await.fail(unknown.clone()).await;
    assert_eq!(soon(joining).await.unwrap().unwrap_err(), CallError::App(unknown.clone()));
    let (mut deliveries, channel) = joined(&mut broker, &app).await;
    channel.fail(unknown.clone()).await;
    assert_eq!(soon(deliveries.next()).await.unwrap().unwrap_err(), CallError::App(unknown));
    assert!(soon(deliveries.next()).await.is_none());
}

#[tokio::test]
async fn a_closing_app_ends_the_stream_and_what_was_read_can_still_be_settled() {
    let mut broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    let (mut deliveries, mut channel) = joined(&mut broker, &app).await;
    channel.hand(0).await;
    let held = soon(deliveries.next()).await.unwrap().unwrap();
    let closing = tokio::spawn(async move { app.close().await });
    assert!(soon(deliveries.next()).await.is_none());
    held.ack();
    assert_eq!(channel.item().await, Settle::ack(0));
    soon(deliveries.close()).await;
    soon(closing).await.unwrap();
}

#[tokio::test]
async fn without_prefetch_nothing_comes_that_nobody_waits_for() {
    let mut broker = Broker::start().await;
    let app = broker.app().start().await.unwrap();
    let joining = tokio::spawn(app.consume("orders", "billing").prefetch(0).join());
    let mut channel = broker.consume().await;
    assert!(futures::poll!(channel.items.next()).is_pending());
    let mut deliveries = soon(joining).await.unwrap().unwrap();
    for offset in 0..4 {
        channel.hand(offset).await;
    }
    for (offset, left) in [(0, 3), (1, 2)] {
        let unsettled = soon(deliveries.next()).await.unwrap().unwrap();
        assert_eq!(unsettled.offset, offset);
        // What is answered after it would have come behind it.
        unsettled.ack();
        assert_eq!(channel.item().await, Settle::ack(offset));
        assert_eq!(channel.unasked(), left);
    }
}
