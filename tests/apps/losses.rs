use super::desk::{Apart, Clerk, DeskClient, DeskServer, app, call, serve, soon};
use super::harness::{Broker, SOON};
use futures::StreamExt;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use towline_responder::{App, CallError, RpcError, Serve, service};

const STREAMS: usize = 1_000;
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_responder_ends_each_of_a_thousand_streams_with_an_error() {
    let broker = Broker::start().await;
    let apart = Apart::new();
    let address = broker.address.clone();
    let (_app, clerk) = apart.run(async move { serve(&address, "one").await }).await;
    let (_requester, desk) = call(&broker.address).await;
    let opening = (0..STREAMS).map(|_| async {
        let mut stream = desk.count(None).prefetch(8).start();
        assert_eq!(stream.next().await, Some(Ok(1)));
        stream
    });
    let streams = soon(join_all(opening)).await;
    clerk.runs(STREAMS).await;
    apart.kill();
    let endings = streams.into_iter().map(|stream| async {
        let rest: Vec<_> = stream.collect().await;
        let (last, items) = rest.split_last().expect("an end without an error is none");
        assert!(items.iter().all(Result::is_ok), "one error each");
        last.as_ref().expect_err("the stream had no end").rpc().expect("the method did not fail").clone()
    });
    let errors = soon(join_all(endings)).await;
    assert_eq!(errors.len(), STREAMS);
    for error in errors {
        // The broker ended it; or, as the runtime came to an end, the app did in its last moment.
        let is_handler = error.message == "the handler of this stream failed";
        assert!(is_handler || error.code == RpcError::CANCELED, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handlers_of_a_requester_that_is_gone_are_dropped() {
    let broker = Broker::start().await;
    let (_responder, clerk) = serve(&broker.address, "one").await;
    let apart = Apart::new();
    let address = broker.address.clone();
    let (_app, _kept) = apart.run(async move { open_some(&address).await }).await;
    clerk.runs(200).await;
    apart.kill();
    clerk.runs(0).await;

    // The same of one that only drops what it waits for, and goes on.
    let (_app, kept) = open_some(&broker.address).await;
    clerk.runs(200).await;
    drop(kept);
    clerk.runs(0).await;
}

/// A hundred calls and a hundred streams, which live as long as the set.
async fn open_some(address: &str) -> (App, JoinSet<()>) {
    let (app, desk) = call(address).await;
    let mut kept = JoinSet::new();
    for _ in 0..100 {
        let waiting = desk.wait().timeout(NEVER).into_future();
        kept.spawn(async move { drop(waiting.await) });
        let mut stream = desk.count(None).prefetch(8).start();
        kept.spawn(async move {
            assert_eq!(stream.next().await, Some(Ok(1)));
            std::future::pending::<()>().await;
        });
    }
    (app, kept)
}

#[service(name = "test.Front")]
trait Front {
    /// Waits at the desk.
    async fn wait(&self) -> Result<String, RpcError>;
}

struct Passing(DeskClient);

impl Front for Passing {
    async fn wait(&self) -> Result<String, RpcError> {
        self.0.wait().timeout(NEVER).await.map_err(|error| match error {
            CallError::App(error) | CallError::Rpc(error) => error,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_handler_inherit_its_deadline_and_its_end() {
    let broker = Broker::start().await;
    let (clerk, _notes) = Clerk::new("desk");
    let _desk = app(&broker.address).serve(DeskServer::new(Arc::clone(&clerk))).start().await.expect("it is there");
    let (_behind, desk) = call(&broker.address).await;
    let _front = app(&broker.address).serve(FrontServer::new(Passing(desk))).start().await.expect("it is there");
    let (requester, _) = call(&broker.address).await;

    let began = Instant::now();
    let timeout = Duration::from_millis(300);
    let call = tokio::spawn(requester.client::<FrontClient>().wait().timeout(timeout).into_future());
    clerk.runs(1).await;
    let deadline = clerk.deadline.borrow().expect("it was handed down");
    // Durations travel, not times: what the way took comes on top.
    assert!(deadline <= Instant::now() + timeout, "{:?} after the call", deadline - began);
    let error = soon(call).await.expect("no panic").expect_err("nobody answers");
    assert_eq!(error.rpc().map(|error| error.code), Some(RpcError::CANCELED));
    assert!(began.elapsed() >= timeout && began.elapsed() < SOON);
    clerk.runs(0).await;

    // A caller that goes away takes the calls made for it along, long before any deadline.
    let call = tokio::spawn(requester.client::<FrontClient>().wait().timeout(NEVER).into_future());
    clerk.runs(1).await;
    call.abort();
    clerk.runs(0).await;
}
