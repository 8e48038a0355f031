//! What becomes of all that when the broker is killed, or stops.

use super::program::Program;
use super::world::{Folder, SOON};
use super::{soon, until};
use futures::future::join_all;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use towline_requester::App;
use towline_requester::builtin::{Delivery, Message, Start, TopicsClient};
use towline_responder::Consume;

const MESSAGES: usize = 4_000;

/// A broker at an address, on a data folder. One that finds its port in use tries again.
async fn broker(address: &str, data: &Path) -> (Program, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_towline"));
    let (listen, data) = (format!("tcp://{address}"), data.to_str().expect("text"));
    let deadline = Instant::now() + SOON;
    loop {
        let args = ["serve", "--listen", &listen, "--management", "off", "--log", "info", "--data", data];
        let mut broker = Program::start("towline", program, &args);
        if let Some(ready) = broker.line(SOON).await {
            return (broker, ready.text.trim_start_matches("towline ready tcp://").to_owned());
        }
        assert!(Instant::now() < deadline, "{address} stays in use");
    }
}

async fn app(address: &str, name: &str) -> App {
    let app = App::connect(format!("tcp://{address}")).name(name).start().await;
    app.expect("the broker is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_loses_nothing_that_was_confirmed_and_both_sides_go_on() {
    let folder = Folder::new();
    let (mut running, address) = broker("127.0.0.1:0", &folder.0).await;
    let (sender, receiver) = (app(&address, "sender").await, app(&address, "receiver").await);
    let topics = receiver.client::<TopicsClient>();
    topics.create("orders".to_owned(), None).await.expect("it is created");

    let handled = Arc::<Mutex<BTreeSet<usize>>>::default();
    let seen = Arc::clone(&handled);
    let consumer = receiver.consume("orders", "billing").start(Start::Earliest).concurrency(8).prefetch(64);
    let consumer = consumer.each(move |delivery: Delivery| {
        let number = delivery.text().and_then(|text| text.parse().ok());
        let is_new = number.is_some_and(|number| seen.lock().expect("no thread panics with it").insert(number));
        async move { if number.is_some() || is_new { Ok(()) } else { Err("no number") } }
    });

    let publishing = tokio::spawn(async move {
        let publisher = sender.topic("orders").publisher();
        let mut outcomes = Vec::new();
        for n in 0..MESSAGES {
            // Every other one can be told apart from itself.
            let message = Message::text(n.to_string());
            let message = if n % 2 == 0 { message.id(n.to_string()) } else { message };
            outcomes.push(publisher.send(message).await);
        }
        let outcomes = join_all(outcomes).await;
        publisher.close().await;
        outcomes
    });
    for kill in 1..=2 {
        let enough = kill * MESSAGES / 5;
        soon(async {
            let mut looks = tokio::time::interval(Duration::from_millis(1));
            while handled.lock().expect("no thread panics with it").len() < enough {
                looks.tick().await;
            }
        })
        .await;
        running.kill().await;
        running = broker(&address, &folder.0).await.0;
    }
    let outcomes = soon(publishing).await.expect("no panic");

    let mut confirmed = BTreeSet::new();
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(confirmation) => assert!(confirmed.insert((confirmation.offset, n)) || confirmation.duplicate),
            Err(error) => assert!(n % 2 == 1 && error.is_in_doubt(), "{n}: {error}"),
        }
    }
    assert!(confirmed.len() >= MESSAGES / 2, "{} of {MESSAGES} were confirmed", confirmed.len());
    until(&topics, "billing", |group| group.depth == 0).await;
    let handled = handled.lock().expect("no thread panics with it").clone();
    for (_, n) in &confirmed {
        assert!(handled.contains(n), "{n} was confirmed and never came");
    }
    // Each that could be told apart is stored once.
    let mut stored = Vec::new();
    let mut from = Some(0);
    while let Some(offset) = from {
        let page = topics.peek("orders".to_owned(), Some(offset), Some(1000)).await.expect("it is there");
        from = page.last().map(|last| last.offset + 1);
        stored.extend(page.into_iter().filter_map(|message| message.id));
    }
    let unique: BTreeSet<_> = stored.iter().cloned().collect();
    assert_eq!((unique.len(), stored.len()), (MESSAGES / 2, MESSAGES / 2));
    soon(consumer.close()).await.expect("it ends well");
    soon(receiver.close()).await;
    running.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_well_is_not_held_up_and_what_was_acked_does_not_come_again() {
    let folder = Folder::new();
    let (running, address) = broker("127.0.0.1:0", &folder.0).await;
    let app = app(&address, "both").await;
    let topics = app.client::<TopicsClient>();
    topics.create("orders".to_owned(), None).await.expect("it is created");
    let (told, mut tells) = tokio::sync::mpsc::channel(100);
    let consumer = app.consume("orders", "billing").start(Start::Earliest).each(move |delivery: Delivery| {
        let told = told.clone();
        async move { told.send(delivery.offset).await.map_err(|_| "nobody listens") }
    });
    let publisher = app.topic("orders").publisher();
    for offset in 0..10 {
        let outcome = publisher.send(Message::text("before")).await;
        assert_eq!(soon(outcome).await.expect("it is stored").offset, Some(offset));
        assert_eq!(soon(tells.recv()).await, Some(offset));
    }
    until(&topics, "billing", |group| group.depth == 0).await;
    running.terminate();
    running.ended(SOON).await;
    let (running, _) = broker(&address, &folder.0).await;
    let outcome = soon(publisher.send(Message::text("after"))).await;
    assert_eq!(soon(outcome).await.expect("it is stored").offset, Some(10));
    assert_eq!(soon(tells.recv()).await, Some(10));
    soon(consumer.close()).await.expect("it ends well");
    soon(app.close()).await;
    running.kill().await;
}
