//! Groups: who gets what, how often, and when it is settled.

use crate::world::{Consumer, SOON, World, earliest};
use futures::StreamExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;
use towline_service_api::CallError;
use towline_service_api::builtin::{
    ConsumeOptions, GroupMode, Message, QueueError, Settle, Start, SubscribeAck, TopicConfig,
};

async fn filled(count: usize) -> World {
    let world = World::with("orders", TopicConfig::default()).await;
    let messages: Vec<Message> = (0..count).map(|n| Message::text(n.to_string())).collect();
    for part in messages.chunks(1000) {
        world.queue().publish_batch("orders".to_owned(), part.to_vec(), None).await.expect("stored");
    }
    world
}

async fn status(world: &World, group: &str) -> towline_service_api::builtin::GroupStatus {
    world.topics().group("orders".to_owned(), group.to_owned()).await.expect("it is there")
}

/// Waits until the group has settled all there is.
async fn settled(world: &World, group: &str) {
    unsettled(world, group, 0).await;
}

/// Waits until the group has not settled so many.
async fn unsettled(world: &World, group: &str, count: u64) {
    let deadline = tokio::time::Instant::now() + SOON;
    while status(world, group).await.depth != count {
        // Each look is a call of its own.
        assert!(tokio::time::Instant::now() < deadline, "{:?}", status(world, group).await);
    }
}

#[tokio::test]
async fn a_group_starts_where_it_says() {
    let world = filled(10).await;
    let starts = [(Start::Earliest, 0), (Start::Offset(4), 4), (Start::Latest, 10)];
    for (n, (start, first)) in starts.into_iter().enumerate() {
        let options = ConsumeOptions { start: Some(start), ..ConsumeOptions::default() };
        let mut consumer = world.consume("orders", &format!("g{n}"), options).await;
        if first == 10 {
            assert_eq!(world.publish("orders", "new").await, 10);
        }
        assert_eq!(consumer.next().await.offset, first);
    }
}

#[tokio::test]
async fn a_member_gets_exactly_what_it_has_credit_for() {
    let world = filled(100).await;
    let mut consumer = Consumer::new(&world.queue(), "orders", "billing", earliest(), 7).await;
    let first = consumer.next().await;
    assert_eq!(first.offset, 0);
    let deadline = tokio::time::Instant::now() + SOON;
    // One was taken: the window of 7 is not topped up before half of it is used.
    while status(&world, "billing").await.in_flight < 7 {
        assert!(tokio::time::Instant::now() < deadline);
    }
    // Others get all there is meanwhile.
    world.consume("orders", "audit", earliest()).await.take(100).await;
    assert_eq!(status(&world, "billing").await.in_flight, 7);
}

#[tokio::test]
async fn no_more_than_max_in_flight_is_unsettled() {
    let world = filled(50).await;
    let options = ConsumeOptions { max_in_flight: Some(3), ..earliest() };
    let mut consumer = world.consume("orders", "billing", options).await;
    for n in 0..3 {
        assert_eq!(consumer.next().await.offset, n);
    }
    // Others get all there is meanwhile.
    world.consume("orders", "audit", earliest()).await.take(50).await;
    assert!(consumer.has_nothing(), "a fourth came");
    consumer.settle(Settle::ack_to(1)).await;
    assert_eq!((consumer.next().await.offset, consumer.next().await.offset), (3, 4));
}

#[tokio::test]
async fn two_groups_of_three_get_every_message_once_each() {
    const COUNT: usize = 10_000;
    let world = filled(COUNT).await;
    let mut apps = Vec::new();
    let mut tasks = Vec::new();
    for group in ["billing", "mail"] {
        for _ in 0..3 {
            let app = world.app().await;
            let mut consumer = Consumer::new(&app.client(), "orders", group, earliest(), 64).await;
            apps.push(app);
            tasks.push(tokio::spawn(async move {
                let mut got = Vec::new();
                while let Ok(delivery) = timeout(Duration::from_secs(2), consumer.next_or_end()).await {
                    let Some(delivery) = delivery else { break };
                    consumer.ack(&delivery).await;
                    got.push(delivery.offset);
                }
                (group, got)
            }));
        }
    }
    let mut all: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for task in tasks {
        let (group, got) = task.await.expect("it ends");
        assert!(got.len() > COUNT / 30, "{group}: a member got {} of {COUNT}", got.len());
        assert!(got.is_sorted(), "each member gets them in order");
        all.entry(group).or_default().extend(got);
    }
    for (group, mut got) in all {
        got.sort_unstable();
        assert_eq!(got, (0..COUNT as u64).collect::<Vec<_>>(), "{group}");
        settled(&world, group).await;
    }
}

#[tokio::test]
async fn members_come_and_go_and_nothing_is_lost_or_comes_again_once_settled() {
    const COUNT: u64 = 3_000;
    let world = filled(COUNT as usize).await;
    let settled_by = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let mut members = Vec::new();
    for round in [1usize, 5, 2] {
        while members.len() > round {
            let (app, stop, task): (
                towline_requester::App,
                tokio::sync::oneshot::Sender<()>,
                tokio::task::JoinHandle<()>,
            ) = members.pop().expect("there is one");
            drop(stop);
            task.await.expect("it ends");
            app.close().await;
        }
        while members.len() < round {
            let app = world.app().await;
            let mut consumer = Consumer::new(&app.client(), "orders", "billing", earliest(), 16).await;
            let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
            let settled_by = settled_by.clone();
            let task = tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        delivery = consumer.next_or_end() => {
                            let Some(delivery) = delivery else { return };
                            consumer.ack(&delivery).await;
                            let is_new = settled_by.lock().expect("unpoisoned").insert(delivery.offset);
                            assert!(is_new || delivery.redelivered, "{} came twice", delivery.offset);
                        }
                    }
                }
            });
            members.push((app, stop, task));
        }
        let target = settled_by.lock().expect("unpoisoned").len() + COUNT as usize / 4;
        let deadline = tokio::time::Instant::now() + SOON;
        while settled_by.lock().expect("unpoisoned").len() < target.min(COUNT as usize) {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    settled(&world, "billing").await;
    assert_eq!(settled_by.lock().expect("unpoisoned").len(), COUNT as usize);
}

#[tokio::test]
async fn a_nack_brings_a_message_again_when_it_says() {
    let world = filled(2).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let first = consumer.next().await;
    consumer.settle(Settle::nack(first.offset).after(Duration::from_millis(200)).because("busy")).await;
    assert_eq!(consumer.next().await.offset, 1, "the next message does not wait");
    let again = consumer.next().await;
    assert_eq!((again.offset, again.attempt, again.redelivered), (0, 2, true));
    consumer.settle(Settle::ack_to(1)).await;
    settled(&world, "billing").await;
}

#[tokio::test]
async fn one_message_that_waits_for_hours_stops_nothing() {
    let world = filled(2_000).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    let first = consumer.next().await;
    consumer.settle(Settle::nack(first.offset).after(Duration::from_secs(3 * 3600))).await;
    for n in 1..2_000 {
        let delivery = consumer.next().await;
        assert_eq!(delivery.offset, n);
        if n % 100 == 99 {
            consumer.settle(Settle::ack_to(n)).await;
        }
    }
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let status = status(&world, "billing").await;
        if (status.depth, status.waiting, status.in_flight) == (1, 1, 0) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status:?}");
    }
}

#[tokio::test]
async fn a_storm_of_publishing_delays_no_ack_and_no_probe() {
    let world = World::configured(|config| config.data.publish_budget = 2 << 20).await;
    world.topics().create("orders".to_owned(), None).await.expect("created");
    world.topics().create("storm".to_owned(), None).await.expect("created");
    let options = ConsumeOptions { ack_deadline_ms: Some(5_000), ..earliest() };
    let mut consumer = world.consume("orders", "billing", options).await;
    for n in 0..50 {
        world.publish("orders", &n.to_string()).await;
    }
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let app = world.app().await;
        let queue = app.client::<towline_service_api::builtin::QueueClient>();
        storm.spawn(async move {
            let _app = app;
            let calls = || queue.publish("storm".to_owned(), Message::new(vec![7; 256 * 1024]), None);
            // More than the budget is on its way at any time: what is refused comes again at once.
            loop {
                futures::future::join_all((0..64).map(|_| async { calls().await })).await;
            }
        });
    }
    let over_budget = || world.meter("towline_queue_refused_over_budget_total");
    let deadline = tokio::time::Instant::now() + SOON;
    while over_budget() == 0.0 {
        assert!(tokio::time::Instant::now() < deadline, "the storm is none");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (health, before) = (world.health(), over_budget());
    for n in 0..50 {
        let delivery = consumer.next().await;
        assert_eq!((delivery.offset, delivery.attempt), (n, 1), "an ack was late");
        consumer.ack(&delivery).await;
        health.check(None).await.expect("a probe is answered within its two seconds");
    }
    settled(&world, "billing").await;
    assert!(over_budget() > before, "the storm is over");
    storm.shutdown().await;
}

#[tokio::test]
async fn a_message_that_fails_too_often_is_a_dead_letter_and_can_be_sent_back() {
    let world = filled(3).await;
    let options = ConsumeOptions { max_attempts: Some(3), ..earliest() };
    let mut consumer = world.consume("orders", "billing", options).await;
    let mut rounds = 0;
    while rounds < 5 {
        let delivery = consumer.next().await;
        rounds += 1;
        if delivery.offset == 1 {
            consumer.settle(Settle::nack(1).after(Duration::ZERO).because("cannot parse")).await;
        } else {
            consumer.ack(&delivery).await;
        }
    }
    settled(&world, "billing").await;
    let dead = || world.topics().dead_letters("orders".to_owned(), "billing".to_owned(), None, None);
    let letters = dead().await.expect("answered");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.text(), letter.topic.as_str()), (Some("1"), "orders.billing.dlq"));
    for (name, value) in [
        ("towline-dead-topic", "orders"),
        ("towline-dead-offset", "1"),
        ("towline-dead-group", "billing"),
        ("towline-dead-attempts", "3"),
        ("towline-dead-reason", "max-attempts"),
        ("towline-dead-error", "cannot parse"),
    ] {
        assert_eq!(letter.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    let redriven = world.topics().redrive("orders".to_owned(), "billing".to_owned(), None, None).await;
    assert_eq!(redriven.expect("answered").moved, 1);
    let again = consumer.next().await;
    assert_eq!((again.text(), again.headers["towline-redriven"].as_str()), (Some("1"), "1"));
    assert_eq!(again.headers.len(), 1, "{:?}", again.headers);
    assert_eq!(dead().await.expect("answered"), [], "it is no dead letter any more");
    let none = world.topics().redrive("orders".to_owned(), "billing".to_owned(), Some(vec![7]), None).await;
    assert!(matches!(none, Err(CallError::App(QueueError::InvalidOffset { offset: 7, .. }))), "{none:?}");
}

#[tokio::test]
async fn dead_letters_are_sent_back_one_by_one_too() {
    let world = filled(4).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    for n in 0..4 {
        assert_eq!(consumer.next().await.offset, n);
    }
    consumer.settle(Settle { dead: vec![0, 1, 2, 3], ..Settle::default() }.because("no")).await;
    settled(&world, "billing").await;
    let redrive = |offsets: &[u64]| {
        world.topics().redrive("orders".to_owned(), "billing".to_owned(), Some(offsets.to_vec()), Some(1000))
    };
    assert_eq!(redrive(&[2]).await.expect("answered").moved, 1);
    assert_eq!(consumer.take(1).await[0].text(), Some("2"));
    let left = world.topics().dead_letters("orders".to_owned(), "billing".to_owned(), None, None).await;
    let left: Vec<u64> = left.expect("answered").iter().map(|letter| letter.offset).collect();
    assert_eq!(left, [0, 1, 3]);
    assert_eq!(redrive(&[0, 3]).await.expect("answered").moved, 2);
    let texts: Vec<String> = consumer.take(2).await.iter().filter_map(|it| it.text().map(str::to_owned)).collect();
    assert_eq!(texts, ["0", "3"]);
}

#[tokio::test]
async fn what_a_lost_member_had_goes_to_another_at_once() {
    let world = filled(5).await;
    let app = world.app().await;
    let mut lost = Consumer::new(&app.client(), "orders", "billing", earliest(), 64).await;
    for n in 0..5 {
        assert_eq!(lost.next().await.offset, n);
    }
    lost.settle(Settle::ack(2)).await;
    // It is on its way: what is dropped now may take it along.
    unsettled(&world, "billing", 4).await;
    drop(lost);
    app.close().await;
    let mut other = world.consume("orders", "billing", earliest()).await;
    let again = other.take(4).await;
    assert_eq!(again.iter().map(|it| it.offset).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert!(again.iter().all(|it| it.redelivered && it.attempt == 2), "{again:?}");
}

#[tokio::test]
async fn a_message_that_kills_its_consumers_dies_alone() {
    const COUNT: usize = 300;
    let world = filled(COUNT).await;
    let options = || ConsumeOptions { max_attempts: Some(6), ..earliest() };
    let mut good = BTreeSet::new();
    let deadline = tokio::time::Instant::now() + SOON;
    // Each time it comes, the connection is lost with all that the consumer has.
    while status_or_none(&world).await.is_none_or(|status| status.dead == 0) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", status_or_none(&world).await);
        let app = world.app().await;
        let mut consumer = Consumer::new(&app.client(), "orders", "billing", options(), 256).await;
        while let Ok(Some(delivery)) = timeout(Duration::from_millis(300), consumer.next_or_end()).await {
            if delivery.offset == 100 {
                break;
            }
            consumer.ack(&delivery).await;
            good.insert(delivery.offset);
        }
        drop(consumer);
        app.close().await;
    }
    let mut consumer = world.consume("orders", "billing", options()).await;
    while good.len() < COUNT - 1 {
        let delivery = consumer.next().await;
        assert_ne!(delivery.offset, 100);
        consumer.ack(&delivery).await;
        good.insert(delivery.offset);
    }
    settled(&world, "billing").await;
    let letters = world.topics().dead_letters("orders".to_owned(), "billing".to_owned(), None, None).await;
    let letters = letters.expect("answered");
    assert_eq!(letters.len(), 1, "nothing else died");
    assert_eq!(
        (letters[0].text(), letters[0].headers["towline-dead-reason"].as_str()),
        (Some("100"), "lost-consumers")
    );
}

async fn status_or_none(world: &World) -> Option<towline_service_api::builtin::GroupStatus> {
    world.topics().group("orders".to_owned(), "billing".to_owned()).await.ok()
}

#[tokio::test]
async fn a_missed_deadline_gives_a_message_to_another_and_a_late_ack_is_stale() {
    let world = filled(1).await;
    let options = || ConsumeOptions { ack_deadline_ms: Some(150), ..earliest() };
    let mut slow = world.consume("orders", "billing", options()).await;
    let first = slow.next().await;
    let app = world.app().await;
    let mut other = Consumer::new(&app.client(), "orders", "billing", options(), 8).await;
    // Whoever waits gets it; the slow one has no turn before the other.
    let again = tokio::select! {
        again = other.next() => again,
        again = slow.next() => again,
    };
    assert_eq!((again.offset, again.attempt, again.redelivered), (first.offset, 2, true));
    let lease = world.queue().settle("orders".to_owned(), "billing".to_owned(), None, vec![Settle::ack(0)]).await;
    let lease = lease.expect("answered");
    assert_eq!((lease.settled, lease.refused[0].code.as_str()), (0, "stale-delivery"), "another holds it");
}

#[tokio::test]
async fn an_extended_delivery_stays_with_its_member() {
    let world = filled(1).await;
    let options = ConsumeOptions { ack_deadline_ms: Some(300), ..earliest() };
    let mut consumer = world.consume("orders", "billing", options).await;
    let delivery = consumer.next().await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        consumer.settle(Settle::extend(delivery.offset)).await;
    }
    assert!(consumer.has_nothing(), "it came again");
    consumer.ack(&delivery).await;
    settled(&world, "billing").await;
}

#[tokio::test]
async fn an_exclusive_group_has_one_member_at_a_time() {
    let world = filled(3).await;
    let options = |wait| ConsumeOptions { mode: Some(GroupMode::Exclusive), wait, ..earliest() };
    let app = world.app().await;
    let mut first = Consumer::new(&app.client(), "orders", "billing", options(None), 1).await;
    assert_eq!(first.next().await.offset, 0);
    let mut refused = world.consume("orders", "billing", options(Some(false))).await;
    let end = refused.end().await;
    assert!(matches!(end, Some(CallError::App(QueueError::MemberExists { .. }))), "{end:?}");
    let mut second = world.consume("orders", "billing", options(Some(true))).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(second.has_nothing(), "it waits");
    first.settle(Settle::ack(0)).await;
    drop(first);
    app.close().await;
    assert_eq!(second.next().await.offset, 1);
    let fetched = world.queue().fetch("orders".to_owned(), "billing".to_owned(), None, None, None, None).await;
    assert!(matches!(fetched, Err(CallError::App(QueueError::ModeDiffers { .. }))), "{fetched:?}");
}

#[tokio::test]
async fn no_more_acks_means_no_more_deliveries() {
    let world = filled(2).await;
    let mut consumer = Consumer::new(&world.queue(), "orders", "billing", earliest(), 1).await;
    assert_eq!(consumer.next().await.offset, 0);
    consumer.close_settles();
    // One that was under way may still come.
    while let Some(item) = timeout(SOON, consumer.next_or_end()).await.expect("it ends") {
        assert_eq!(item.offset, 1);
    }
}

#[tokio::test]
async fn a_fetch_leases_messages_and_settle_settles_them() {
    let world = filled(5).await;
    let queue = world.queue();
    let fetch = |max, wait| {
        let call = queue.fetch(
            "orders".to_owned(),
            "cron".to_owned(),
            Some(max),
            Some(wait),
            Some("job-1".to_owned()),
            Some(earliest()),
        );
        async move { call.await.expect("answered") }
    };
    let leased = fetch(3, 1000).await;
    assert_eq!(leased.iter().map(|it| it.offset).collect::<Vec<_>>(), [0, 1, 2]);
    let settle = |items| {
        let call = queue.settle("orders".to_owned(), "cron".to_owned(), Some("job-1".to_owned()), items);
        async move { call.await.expect("answered") }
    };
    let outcome = settle(vec![Settle::ack(0), Settle::nack(1).after(Duration::ZERO), Settle::ack(77)]).await;
    assert_eq!((outcome.settled, outcome.refused.len(), outcome.refused[0].code.as_str()), (2, 1, "invalid-offset"));
    let again = settle(vec![Settle::nack(0)]).await;
    assert_eq!((again.settled, again.refused[0].code.as_str()), (0, "stale-delivery"));
    let more = fetch(10, 1000).await;
    assert_eq!(more.iter().map(|it| it.offset).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(more[0].attempt, 2);
    assert_eq!(fetch(1, 20).await, [], "nothing comes, and that is the answer");
}

#[tokio::test]
async fn a_subscription_settles_what_it_hands_over() {
    let world = filled(3).await;
    let mut stream = world.queue().subscribe("orders".to_owned(), "live".to_owned(), Some(earliest())).start();
    for n in 0..3 {
        let delivery = timeout(SOON, stream.next()).await.expect("it comes").expect("open").expect("a delivery");
        assert_eq!(delivery.offset, n);
    }
    settled(&world, "live").await;
    let manual = ConsumeOptions { ack: Some(SubscribeAck::Manual), ..earliest() };
    let mut stream = world.queue().subscribe("orders".to_owned(), "leased".to_owned(), Some(manual)).start();
    let delivery = timeout(SOON, stream.next()).await.expect("it comes").expect("open").expect("a delivery");
    let outcome =
        world.queue().settle("orders".to_owned(), "leased".to_owned(), None, vec![Settle::ack(delivery.offset)]);
    assert_eq!(outcome.await.expect("answered").settled, 1);
}

#[tokio::test]
async fn a_filter_settles_what_it_does_not_want() {
    let world = World::with("orders", TopicConfig::default()).await;
    let mut consumer = world
        .consume("orders", "paid", ConsumeOptions { filter: Some("orders.paid.*".to_owned()), ..earliest() })
        .await;
    for tag in ["orders.paid.eu", "orders.new", "orders.paid.us"] {
        world.queue().publish("orders".to_owned(), Message::text(tag).tag(tag), None).await.expect("stored");
    }
    assert_eq!(consumer.take(2).await.iter().map(|it| it.offset).collect::<Vec<_>>(), [0, 2]);
    settled(&world, "paid").await;
}

#[tokio::test]
async fn a_seek_goes_back_and_forth() {
    let world = filled(10).await;
    let mut consumer = world.consume("orders", "billing", earliest()).await;
    consumer.take(10).await;
    settled(&world, "billing").await;
    let seek = |to| world.topics().seek("orders".to_owned(), "billing".to_owned(), to);
    assert_eq!(seek(Start::Offset(7)).await.expect("answered").depth, 3);
    assert_eq!(consumer.take(3).await.iter().map(|it| it.offset).collect::<Vec<_>>(), [7, 8, 9]);
    let beyond = seek(Start::Offset(99)).await;
    assert!(matches!(beyond, Err(CallError::App(QueueError::InvalidOffset { .. }))), "{beyond:?}");
}

#[tokio::test]
async fn a_drain_ends_consumers_well_and_takes_their_last_acks() {
    let world = filled(3).await;
    let app = world.app().await;
    let mut consumer = Consumer::new(&app.client(), "orders", "billing", earliest(), 8).await;
    for n in 0..3 {
        assert_eq!(consumer.next().await.offset, n);
    }
    let (folder, broker) = (world.folder.clone(), world.broker);
    let drained = tokio::spawn(broker.drain());
    assert!(consumer.end().await.is_none(), "it ends well");
    consumer.settle(Settle::ack_to(1)).await;
    consumer.close_settles();
    app.close().await;
    drained.await.expect("it drains");
    let world = World::on(folder).await;
    let status = status(&world, "billing").await;
    assert_eq!(status.depth, 1, "what was settled last is settled: {status:?}");
    let mut consumer = world.consume("orders", "billing", ConsumeOptions::default()).await;
    assert_eq!(consumer.next().await.offset, 2);
}

#[tokio::test]
async fn a_clean_restart_knows_exactly_what_was_handed_over() {
    let world = filled(20).await;
    let mut consumer = Consumer::new(&world.queue(), "orders", "billing", earliest(), 4).await;
    let taken: Vec<_> = [consumer.next().await, consumer.next().await].into_iter().map(|it| it.offset).collect();
    assert_eq!(taken, [0, 1]);
    consumer.settle(Settle::ack(0)).await;
    consumer.settle(Settle::nack(1).after(Duration::ZERO)).await;
    drop(consumer);
    let world = world.restart().await;
    let mut consumer = world.consume("orders", "billing", ConsumeOptions::default()).await;
    let rest = consumer.take(19).await;
    assert_eq!(rest.iter().map(|it| it.offset).collect::<Vec<_>>(), (1..20).collect::<Vec<_>>());
    assert!(rest[0].redelivered && rest[0].attempt >= 2, "{:?}", rest[0]);
    assert!(!rest[18].redelivered && rest[18].attempt == 1, "{:?}", rest[18]);
}
