use super::*;
use std::future::pending;
use std::time::Duration;
use tokio::sync::oneshot;

#[tokio::test]
async fn phases_only_move_forward() {
    let lifecycle = Lifecycle::default();
    let mut watch = lifecycle.watch();
    assert_eq!(watch.phase(), Phase::Starting);
    lifecycle.enter(Phase::Draining);
    lifecycle.enter(Phase::Running);
    assert_eq!(watch.phase(), Phase::Draining);
    watch.reached(Phase::Running).await;
    drop(lifecycle);
    watch.reached(Phase::Stopped).await;
    assert_eq!(watch.phase(), Phase::Stopped);
}

#[tokio::test]
async fn finish_waits_for_tasks_and_for_those_they_spawn() {
    let tasks = Tasks::default();
    let (send, receive) = oneshot::channel();
    let (inner, done) = oneshot::channel();
    let more = tasks.clone();
    tasks.spawn(async move {
        let _ = receive.await;
        more.spawn(async move { inner.send(()).expect("the test waits") });
    });
    assert_eq!(tasks.len(), 1);
    send.send(()).expect("the task waits");
    assert_eq!(tasks.finish(Instant::now() + Duration::from_secs(10)).await, 0);
    done.await.expect("the inner task ran");
}

#[tokio::test]
async fn finish_ends_what_is_left_at_the_deadline_and_takes_no_more() {
    let tasks = Tasks::default();
    tasks.spawn(pending());
    tasks.spawn(pending());
    assert_eq!(tasks.finish(Instant::now()).await, 2);
    tasks.spawn(pending());
    assert!(tasks.is_empty());
}

#[tokio::test]
async fn ended_tasks_are_let_go_and_a_panic_harms_nobody() {
    let tasks = Tasks::default();
    for _ in 0..100 {
        let (send, receive) = oneshot::channel();
        tasks.spawn(async move { send.send(()).expect("the test waits") });
        receive.await.expect("the task ran");
    }
    assert!(tasks.len() <= 1, "{} are held", tasks.len());
    tasks.spawn(async { panic!("on purpose") });
    tasks.idle().await;
    assert!(tasks.is_empty());
}
