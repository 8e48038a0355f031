//! Brokers that end, well or not, under apps at work.

use super::desk::{Clerk, DeskClient, DeskServer, call, serve, soon};
use super::harness::{Broker, Process, SOON};
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use towline_responder::{App, RpcError, Serve};

/// Retries are at most a fifth of the calls and ten: more calls than that at one time are more than an app may repeat.
const TASKS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_drains_lets_calls_in_flight_finish() {
    let broker = Broker::start().await;
    let (_responder, clerk) = serve(&broker.address, "one").await;
    let (requester, desk) = call(&broker.address).await;
    let calls: JoinSet<_> = (0..100).map(|_| desk.wait().timeout(2 * SOON).into_future()).collect();
    let mut numbers = desk.count(Some(1_000)).prefetch(8).start();
    assert_eq!(soon(numbers.next()).await, Some(Ok(1)));
    clerk.runs(101).await;
    let drain = tokio::spawn(broker.drain());
    let mut state = requester.state();
    soon(state.wait_for(|state| state.connected == 0)).await.expect("the app lives");
    let rest: Vec<_> = soon(numbers.collect()).await;
    assert_eq!(rest, (2..=1_000).map(Ok).collect::<Vec<_>>());
    assert!(!drain.is_finished());
    clerk.may.add_permits(100);
    assert_eq!(soon(calls.join_all()).await, vec![Ok("one".to_owned()); 100]);
    soon(drain).await.expect("no panic");
}

/// A service and its callers, with two brokers between them.
struct TwoWays {
    requester: App,
    _responder: App,
    callers: JoinSet<()>,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    /// Of both kinds, with an answer.
    answered: watch::Sender<usize>,
    /// The app knows that a broker is gone.
    is_over: AtomicBool,
    is_enough: AtomicBool,
}

impl TwoWays {
    /// `may_lose`: a call that may not be repeated may be lost with its connection.
    async fn begin(addresses: [&str; 2], may_lose: bool) -> Self {
        let addresses = addresses.map(|address| format!("tcp://{address}"));
        let (clerk, _) = Clerk::new("one");
        let responder = App::connect(addresses.join(",")).serve(DeskServer::new(clerk)).start().await;
        let responder = responder.expect("both are there");
        let requester = App::connect(addresses.join(",")).start().await.expect("both are there");
        for app in [&responder, &requester] {
            soon(app.state().wait_for(|state| state.connected == 2)).await.expect("the app lives");
        }
        let calls = Arc::<Calls>::default();
        let mut callers = JoinSet::new();
        for nth in 0..TASKS {
            let (desk, calls) = (requester.client(), calls.clone());
            if nth % 2 == 0 {
                callers.spawn(repeatable(desk, calls));
            } else {
                callers.spawn(once_only(desk, calls, may_lose));
            }
        }
        let this = Self { requester, _responder: responder, callers, calls };
        this.calls.answered(200).await;
        this
    }

    /// Waits until the requester has left a broker, and then for more answers; stops.
    async fn fail_over(self) {
        soon(self.requester.state().wait_for(|state| state.connected == 1)).await.expect("the app lives");
        self.calls.is_over.store(true, Ordering::SeqCst);
        self.calls.answered(500).await;
        self.calls.stop(self.callers).await;
    }
}

impl Calls {
    /// Waits for these many more answers.
    async fn answered(&self, more: usize) {
        let mut answered = self.answered.subscribe();
        let goal = *answered.borrow() + more;
        soon(answered.wait_for(|answered| *answered >= goal)).await.expect("the callers go on");
    }

    /// Ends the callers, who have seen nothing they should not.
    async fn stop(&self, mut callers: JoinSet<()>) {
        self.is_enough.store(true, Ordering::SeqCst);
        while let Some(ended) = soon(callers.join_next()).await {
            ended.expect("no call failed");
        }
    }
}

/// Idempotent calls: none fails.
async fn repeatable(desk: DeskClient, calls: Arc<Calls>) {
    while !calls.is_enough.load(Ordering::SeqCst) {
        assert_eq!(desk.who().await, Ok("one".to_owned()));
        calls.answered.send_modify(|answered| *answered += 1);
    }
}

/// Calls that may not be repeated: each task may lose the one that was on its way.
async fn once_only(desk: DeskClient, calls: Arc<Calls>, may_lose: bool) {
    let mut lost = 0;
    while !calls.is_enough.load(Ordering::SeqCst) {
        let is_over = calls.is_over.load(Ordering::SeqCst);
        match desk.double(21).timeout(Duration::from_secs(5)).await {
            Ok(number) => assert_eq!(number, 42),
            Err(error) => {
                assert!(may_lose && !is_over, "{error}");
                let code = error.rpc().expect("the method did not fail").code;
                assert!([RpcError::CONNECTION_CLOSED, RpcError::CANCELED].contains(&code), "{error}");
                lost += 1;
                assert_eq!(lost, 1, "{error}");
            }
        }
        calls.answered.send_modify(|answered| *answered += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_when_one_of_two_brokers_drains() {
    let (one, two) = (Broker::start().await, Broker::start().await);
    let scene = TwoWays::begin([&one.address, &two.address], false).await;
    let drain = tokio::spawn(one.drain());
    scene.fail_over().await;
    soon(drain).await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_idempotent_call_fails_when_one_of_two_brokers_is_killed() {
    let (one, two) = (Process::start(&[]), Process::start(&[]));
    let scene = TwoWays::begin([&one.address, &two.address], true).await;
    drop(one);
    scene.fail_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_when_one_of_two_instances_closes() {
    let broker = Broker::start().await;
    let (_staying, _) = serve(&broker.address, "one").await;
    let (_requester, desk) = call(&broker.address).await;
    let calls = Arc::<Calls>::default();
    let mut callers = JoinSet::new();
    for nth in 0..TASKS {
        if nth % 2 == 0 {
            callers.spawn(repeatable(desk.clone(), calls.clone()));
        } else {
            callers.spawn(once_only(desk.clone(), calls.clone(), false));
        }
    }
    for _ in 0..5 {
        let (leaving, _) = serve(&broker.address, "one").await;
        calls.answered(100).await;
        soon(leaving.close()).await;
        calls.answered(100).await;
    }
    calls.stop(callers).await;
}
