use super::desk::{call, serve, soon};
use super::harness::Broker;
use futures::StreamExt;
use std::collections::HashMap;
use std::time::Duration;
use tokio::task::JoinSet;

const TASKS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_calls() {
    let broker = Broker::start().await;
    let (_one, _) = serve(&broker.address, "one").await;
    let (_two, _) = serve(&broker.address, "two").await;
    let (_requester, desk) = call(&broker.address).await;
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let desk = desk.clone();
        callers.spawn(async move {
            let mut names = Vec::new();
            for _ in 0..50 {
                names.push(desk.who().await.expect("both are there"));
            }
            names
        });
    }
    let mut shares = HashMap::<_, usize>::new();
    for name in soon(callers.join_all()).await.into_iter().flatten() {
        *shares.entry(name).or_default() += 1;
    }
    assert_eq!(shares.len(), 2, "{shares:?}");
    assert!(shares.values().all(|share| *share >= 100), "of 400: {shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_calls_at_fifty_a_time_are_answered() {
    let broker = Broker::start().await;
    let (_responder, _) = serve(&broker.address, "one").await;
    let (_requester, desk) = call(&broker.address).await;
    let mut callers = JoinSet::new();
    for task in 0..TASKS as u64 {
        let desk = desk.clone();
        callers.spawn(async move {
            for call in 0..200 {
                let number = (task + call) % 100;
                assert_eq!(desk.double(number).await, Ok(2 * number));
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_that_are_stuck_cost_others_no_call() {
    let broker = Broker::start().await;
    let (_responder, clerk) = serve(&broker.address, "one").await;
    let (_stuck, stuck) = call(&broker.address).await;
    let (_requester, desk) = call(&broker.address).await;
    // Calls nobody answers, and streams nobody reads after their first item.
    let mut hanging = JoinSet::new();
    let mut unread = Vec::new();
    for _ in 0..100 {
        hanging.spawn(stuck.wait().timeout(Duration::from_secs(600)).into_future());
        let mut stream = stuck.count(None).prefetch(1_000).start();
        assert_eq!(soon(stream.next()).await, Some(Ok(1)));
        unread.push(stream);
    }
    clerk.runs(200).await;
    for call in 0..1_000 {
        let number = call % 100;
        assert_eq!(soon(desk.double(number).into_future()).await, Ok(2 * number), "call {call}");
        // The connection of those who are stuck is as good.
        if call % 10 == 0 {
            assert_eq!(soon(stuck.double(number).into_future()).await, Ok(2 * number), "call {call}");
        }
    }
    clerk.runs(200).await;
    // They are late, not lost.
    clerk.may.add_permits(100);
    assert_eq!(soon(hanging.join_all()).await, vec![Ok("one".to_owned()); 100]);
}
