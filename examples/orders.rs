//! A durable topic, two groups that consume from it, retries, a dead letter and its way back:
//! `cargo run --example orders`, with a broker running (`cargo run`).

#[path = "greeter/common.rs"]
#[allow(dead_code, reason = "it ends by itself")]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use towline_responder::builtin::{Delivery, Message, Start, TopicsClient};
use towline_responder::{App, Consume, Nack};

/// A topic that nobody else uses: it is removed at the end.
const TOPIC: &str = "example-orders";

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u32,
    /// Whom to charge.
    card: Option<String>,
}

/// The first try fails as a bank that is away does, and without a card every one does, until somebody looks after it.
fn charge(delivery: &Delivery, is_card_on_file: bool) -> Result<(), Nack> {
    // Whatever can be shown becomes the reason of a nack.
    let order: Order = delivery.json()?;
    if order.card.is_none() && !is_card_on_file {
        return Err(Nack::new("there is no card on file").after(Duration::from_millis(50)));
    }
    if order.id == 3 && delivery.attempt == 1 {
        return Err(Nack::new("the bank is away").after(Duration::from_millis(50)));
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let app = App::connect(common::broker()).name("orders").start().await?;
    let topics = app.client::<TopicsClient>();
    topics.create(TOPIC.to_owned(), None).await?;

    // Each group gets every order, and each of its members a share of them. A handler's `Ok` acks, its error nacks.
    let is_card_on_file = Arc::new(AtomicBool::new(false));
    let looked_up = Arc::clone(&is_card_on_file);
    let billing = app.consume(TOPIC, "billing").start(Start::Earliest).max_attempts(3).concurrency(4);
    let billing = billing.each(move |delivery: Delivery| {
        let charged = charge(&delivery, looked_up.load(Ordering::Relaxed));
        async move { charged }
    });
    let shipping = app.consume(TOPIC, "shipping").start(Start::Earliest).each(async |delivery: Delivery| {
        let order: Order = delivery.json()?;
        tracing::info!(order.id, "shipped");
        Ok::<_, Nack>(())
    });
    billing.joined().await?;
    shipping.joined().await?;

    // One message, and its confirmation: it is on the disk. With an id it is stored once, however often it is sent.
    let orders = app.topic(TOPIC);
    let first = Message::json(&Order { id: 0, card: Some("4711".to_owned()) })?.id("order-0");
    let confirmation = orders.publish(first.clone()).await?;
    println!("stored at offset {:?}", confirmation.offset);
    println!("sent again: duplicate {}", orders.publish(first).await?.duplicate);

    // Many messages over one channel, as many on their way as the broker takes. Each has its own outcome.
    let publisher = orders.publisher();
    let mut outcomes = Vec::new();
    for id in 1..10 {
        let card = (id != 5).then(|| "4711".to_owned());
        outcomes.push(publisher.send(Message::json(&Order { id, card })?).await);
    }
    let stored = join_all(outcomes).await.into_iter().filter(Result::is_ok).count();
    publisher.close().await;
    println!("stored {stored} more");

    // Order 3 needs a second try; order 5 gets three, and is a dead letter then.
    settled(&topics, "billing").await?;
    settled(&topics, "shipping").await?;
    for dead in topics.dead_letters(TOPIC.to_owned(), "billing".to_owned(), None, None).await? {
        let why = |name: &str| dead.headers.get(name).map(String::as_str).unwrap_or_default();
        let (attempts, error) = (why("towline-dead-attempts"), why("towline-dead-error"));
        println!("dead letter: order {} after {attempts} attempts: {error}", dead.json::<Order>()?.id);
    }

    // Somebody looks after it, and sends it back to where it came from.
    is_card_on_file.store(true, Ordering::Relaxed);
    let redriven = topics.redrive(TOPIC.to_owned(), "billing".to_owned(), None, None).await?;
    settled(&topics, "billing").await?;
    let dead = topics.dead_letters(TOPIC.to_owned(), "billing".to_owned(), None, None).await?;
    println!("sent back {}, dead letters left: {}", redriven.moved, dead.len());

    // What handlers are at work on is finished and settled first.
    billing.close().await?;
    shipping.close().await?;
    topics.delete(TOPIC.to_owned(), TOPIC.to_owned()).await?;
    app.close().await;
    println!("done");
    Ok(())
}

/// Waits until a group has nothing left to do.
async fn settled(topics: &TopicsClient, group: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    loop {
        looks.tick().await;
        if topics.group(TOPIC.to_owned(), group.to_owned()).await?.depth == 0 {
            return Ok(());
        }
    }
}
