use super::scene::{Scene, Who};
use tokio::task::JoinSet;
use tokio::time::Instant;

const ORDERS: [[Who; 3]; 6] = {
    use Who::{Broker as B, Requester as Q, Responder as R};
    [[B, R, Q], [B, Q, R], [R, B, Q], [R, Q, B], [Q, B, R], [Q, R, B]]
};

/// Restarts one after the other; when the last was ready.
async fn one_by_one(scene: &mut Scene, order: [Who; 3]) -> Instant {
    let mut last = Instant::now();
    for who in order {
        scene.kill(who).await;
        scene.start(who).await;
        last = scene.ready(who).await;
    }
    last
}

/// Kills all, then starts all; when the last was ready.
async fn together(scene: &mut Scene, order: [Who; 3]) -> Instant {
    for who in order {
        scene.kill(who).await;
    }
    all_ready(scene, order).await
}

async fn all_ready(scene: &mut Scene, order: [Who; 3]) -> Instant {
    for who in order {
        scene.start(who).await;
    }
    let mut last = Instant::now();
    for who in order {
        last = last.max(scene.ready(who).await);
    }
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_succeed_again_whoever_is_killed_in_whatever_order() {
    let mut scenes = JoinSet::new();
    for order in ORDERS {
        scenes.spawn(async move {
            let mut scene = Scene::set(format!("{order:?}")).await;
            let last = one_by_one(&mut scene, order).await;
            scene.healed(last).await;
            let last = together(&mut scene, order).await;
            scene.healed(last).await;
        });
    }
    scenes.join_all().await;
}

/// Long enough that the apps try but rarely, and that calls have nothing left to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn while_one_is_away_calls_fail_as_they_may_and_then_succeed_again() {
    let mut scenes = JoinSet::new();
    for who in [Who::Responder, Who::Broker] {
        scenes.spawn(async move {
            let mut scene = Scene::set(format!("{who:?} away")).await;
            scene.kill(who).await;
            scene.failed(4).await;
            scene.start(who).await;
            let ready = scene.ready(who).await;
            scene.healed(ready).await;
        });
    }
    scenes.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_twice_in_a_row_is_found_again() {
    let mut scene = Scene::set("the broker twice").await;
    let mut last = Instant::now();
    for _ in 0..2 {
        scene.kill(Who::Broker).await;
        scene.start(Who::Broker).await;
        last = scene.ready(Who::Broker).await;
    }
    scene.healed(last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_last_of_all_is_found() {
    let mut scene = Scene::empty("the broker last").await;
    let last = all_ready(&mut scene, [Who::Requester, Who::Responder, Who::Broker]).await;
    scene.healed(last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_responder_replaces_a_killed_one() {
    let mut scene = Scene::set("a responder replaced").await;
    for _ in 0..3 {
        let mut next = scene.another_responder();
        next.expect("ready").await;
        scene.replace_responder(next).kill().await;
        scene.all_ok(2).await;
    }
}
