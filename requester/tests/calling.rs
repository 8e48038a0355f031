//! What becomes of calls: deadlines, and which failures are tried again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use support::{Act, Broker, DeskClient, Seen, soon};
use tokio::time::Instant;
use towline_requester::rsocket::metadata::{Mime, mime};
use towline_requester::{App, CallError, Encoding, Handling, RpcError};

const REJECTED: u32 = RpcError::REJECTED;

/// An app over one connection in memory, so that time can be paused.
async fn in_memory(script: impl Fn(&Seen) -> Act + Send + Sync + 'static) -> (Broker, App, DeskClient) {
    let (broker, near) = Broker::in_memory(script);
    let app = App::over(Arc::new(near)).start().await.unwrap();
    let desk = app.client::<DeskClient>();
    (broker, app, desk)
}

/// Plays these acts in turn, the last one for ever.
fn in_turn<const N: usize>(acts: [Act; N]) -> impl Fn(&Seen) -> Act + Send + Sync + 'static {
    let at = AtomicUsize::new(0);
    move |_| acts[at.fetch_add(1, Ordering::Relaxed).min(N - 1)].clone()
}

fn rpc<T: std::fmt::Debug>(answer: Result<T, CallError<RpcError>>) -> RpcError {
    match answer.unwrap_err() {
        CallError::App(error) | CallError::Rpc(error) => error,
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_its_timeout_along_and_cancels_when_it_is_over() {
    let (mut broker, _app, desk) = in_memory(|_| Act::Hang).await;
    let start = Instant::now();
    let error = rpc(desk.ask("x".to_owned()).timeout(Duration::from_millis(300)).await);
    assert_eq!(start.elapsed(), Duration::from_millis(300));
    assert_eq!((error.code, &*error.message), (RpcError::CANCELED, "deadline exceeded"));
    assert!(!error.is_retryable());
    let seen = broker.request().await;
    assert_eq!((&*seen.route, seen.deadline), ("test.Desk.ask", Some(300)));
    assert_eq!(seen.data, "[\"x\"]");
    soon(broker.cancelled.recv()).await.unwrap();
}

#[tokio::test]
async fn an_answer_is_read_in_the_type_it_says_it_is() {
    let acts = [
        Act::AnswerAs(mime::TEXT, b"hi"),
        Act::AnswerAs(mime::OCTET_STREAM, b"hi"),
        Act::AnswerAs(mime::CBOR, b"\x7f\x61h\x61i\xff"),
        Act::AnswerAs(mime::JSON, b"\"hi\""),
        Act::AnswerAs(Mime::Name(b"application/x-msgpack"), b"\xa2hi"),
        Act::Answer("hi"),
    ];
    let (_broker, _app, desk) = in_memory(in_turn(acts)).await;
    for _ in 0..6 {
        assert_eq!(desk.ask("x".to_owned()).await.unwrap(), "hi");
    }
    // Without a type of its own it is in the request's.
    let (mut broker, _app, desk) = in_memory(|_| Act::Answer("hi")).await;
    assert_eq!(desk.ask("x".to_owned()).encoding(Encoding::Text).await.unwrap(), "\"hi\"");
    assert_eq!(broker.request().await.data, "x");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_timeout_has_the_apps() {
    let (mut broker, near) = Broker::in_memory(|_| Act::Hang);
    let app = App::over(Arc::new(near)).timeout(Duration::from_secs(7)).start().await.unwrap();
    rpc(app.client::<DeskClient>().ask("x".to_owned()).await);
    assert_eq!(broker.request().await.deadline, Some(7_000));
}

#[tokio::test(start_paused = true)]
async fn a_nested_call_inherits_the_deadline_of_its_handler() {
    let (mut broker, _app, desk) = in_memory(|_| Act::Hang).await;
    let handler = async { Ok(rpc(desk.ask("x".to_owned()).await)) };
    let deadline = Instant::now() + Duration::from_millis(200);
    let error = Handling::new(Some(deadline)).run(handler).await.unwrap();
    assert_eq!((Instant::now(), &*error.message), (deadline, "deadline exceeded"));
    assert_eq!(broker.request().await.deadline, Some(200));
    // A one-way call outlives its handler; a stream ends with it.
    let handler = async {
        desk.tell("x".to_owned()).await?;
        Ok(rpc(desk.follow("x".to_owned()).start().next().await.unwrap()))
    };
    let deadline = Instant::now() + Duration::from_millis(100);
    Handling::new(Some(deadline)).run(handler).await.unwrap();
    assert_eq!(Instant::now(), deadline);
    assert_eq!([broker.request().await.deadline, broker.request().await.deadline], [None, Some(100)]);
    // A deadline that is over sends nothing.
    let handler = async { Ok(rpc(desk.ask("x".to_owned()).await)) };
    let error = Handling::new(Some(deadline)).run(handler).await.unwrap();
    assert_eq!(error.message, "deadline exceeded");
    assert!(broker.seen.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stream_waits_between_items_for_its_timeout() {
    let (mut broker, _app, desk) = in_memory(|_| Act::Answer("0")).await;
    let mut following = desk.follow("x".to_owned()).timeout(Duration::from_secs(3)).start();
    following.next().await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    let start = Instant::now();
    let error = rpc(following.next().await.unwrap());
    assert_eq!(error.message, "deadline exceeded");
    assert!(start.elapsed() <= Duration::from_secs(3));
    assert!(following.next().await.is_none());
    assert_eq!(broker.request().await.deadline, None);
}

#[tokio::test(start_paused = true)]
async fn items_on_their_way_out_keep_a_channel_alive() {
    let (_broker, _app, desk) = in_memory(|_| Act::Answer("all")).await;
    let slow = stream::iter(0..10).then(|n| async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        n.to_string()
    });
    assert_eq!(desk.gather(slow).timeout(Duration::from_secs(3)).await.unwrap(), "all");
    let silent = desk.gather(stream::pending()).timeout(Duration::from_secs(3)).await;
    assert_eq!(rpc(silent).message, "deadline exceeded");
}

#[tokio::test]
async fn a_request_that_was_written_is_not_repeated() {
    let (mut a, mut b) = (Broker::start(|_| Act::Hangup).await, Broker::start(|_| Act::Hangup).await);
    let app = App::connect([&a.address, &b.address]).start().await.unwrap();
    let mut state = app.state();
    soon(state.wait_for(|state| state.connected == 2)).await.unwrap();
    let error = rpc(app.client::<DeskClient>().ask("x".to_owned()).await);
    assert_eq!((error.code, error.is_retryable()), (RpcError::CONNECTION_CLOSED, false));
    let seen = [a.seen.try_recv().is_ok(), b.seen.try_recv().is_ok()];
    assert_eq!(seen.into_iter().filter(|seen| *seen).count(), 1);
}

#[tokio::test]
async fn an_idempotent_request_that_was_lost_is_repeated() {
    let first = Arc::new(AtomicUsize::new(0));
    let script = |first: &Arc<AtomicUsize>| {
        let first = Arc::clone(first);
        move |_: &Seen| if first.fetch_add(1, Ordering::Relaxed) == 0 { Act::Hangup } else { Act::Answer("there") }
    };
    let (mut a, mut b) = (Broker::start(script(&first)).await, Broker::start(script(&first)).await);
    let app = App::connect(vec![&a.address, &b.address]).start().await.unwrap();
    let mut state = app.state();
    soon(state.wait_for(|state| state.connected == 2)).await.unwrap();
    assert_eq!(app.client::<DeskClient>().look("x".to_owned()).await.unwrap(), "there");
    let requests = [&mut a, &mut b].map(|broker| std::iter::from_fn(|| broker.seen.try_recv().ok()).count());
    assert_eq!(requests.iter().sum::<usize>(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_request_is_repeated_as_often_as_it_says() {
    let (mut broker, _app, desk) = in_memory(|_| Act::Fail(RpcError::CANCELED, "lost")).await;
    assert_eq!(rpc(desk.look("x".to_owned()).await).message, "lost");
    assert_eq!(rpc(desk.ask("x".to_owned()).await).message, "lost");
    let mut methods = Vec::new();
    while let Ok(seen) = broker.seen.try_recv() {
        methods.push(seen.route.rsplit_once('.').unwrap().1.to_owned());
    }
    assert_eq!(methods, ["look", "look", "look", "ask"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_waits_as_long_as_it_was_asked_to() {
    let busy = Act::Fail(REJECTED, "busy retry-after-ms=500");
    let (_broker, _app, desk) = in_memory(in_turn([busy.clone(), Act::Answer("yes"), busy])).await;
    let start = Instant::now();
    assert_eq!(desk.ask("x".to_owned()).await.unwrap(), "yes");
    let waited = start.elapsed();
    assert!((500..=750).contains(&waited.as_millis()), "{waited:?}");
    // Its deadline is before that: there is nothing to wait for.
    let start = Instant::now();
    let error = rpc(desk.ask("x".to_owned()).timeout(Duration::from_millis(400)).await);
    assert_eq!((error.code, error.retry_after), (REJECTED, Some(Duration::from_millis(500))));
    assert_eq!(start.elapsed(), Duration::ZERO);
    // For ever is not tried.
    let error = rpc(desk.ask("x".to_owned()).await);
    assert_eq!(error.code, REJECTED);
    assert!(start.elapsed() < Duration::from_millis(3 * 750 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_missing_service_is_told_within_300_ms() {
    let missing = Act::Fail(RpcError::INVALID, "RST-900404: Service not found test.Desk");
    let (mut broker, _app, desk) = in_memory(in_turn([missing.clone(), Act::Answer("back"), missing])).await;
    assert_eq!(desk.ask("x".to_owned()).await.unwrap(), "back");
    let start = Instant::now();
    let error = rpc(desk.ask("x".to_owned()).await);
    assert!(error.message.starts_with("RST-900404"));
    assert!(start.elapsed() <= Duration::from_millis(310), "{:?}", start.elapsed());
    while broker.seen.try_recv().is_ok() {}
    let mut following = desk.follow("x".to_owned()).start();
    assert!(rpc(following.next().await.unwrap()).message.starts_with("RST-900404"));
    assert!(std::iter::from_fn(|| broker.seen.try_recv().ok()).count() > 1, "a stream is tried again too");
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_budget() {
    let (mut broker, _app, desk) = in_memory(|_| Act::Fail(REJECTED, "busy")).await;
    for _ in 0..20 {
        rpc(desk.ask("x".to_owned()).await);
    }
    let tries = std::iter::from_fn(|| broker.seen.try_recv().ok()).count();
    assert!((20 + 10..=20 + 10 + 4).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_passes_a_refusal_on_does_not_claim_it_was_not_called() {
    let (_broker, _app, desk) = in_memory(|_| Act::Fail(REJECTED, "busy")).await;
    let handler = async { Err::<(), _>(rpc(desk.ask("x".to_owned()).await)) };
    let error = Handling::new(None).run(handler).await.unwrap_err();
    assert_eq!((error.code, error.is_retryable()), (RpcError::APPLICATION_ERROR, false));
    assert_eq!(error.message, "RST-900500: Service invoked failed: busy");
    let mut items = Handling::new(None).stream(desk.follow("x".to_owned()).start().map(|item| Err::<(), _>(rpc(item))));
    assert_eq!(items.next().await.unwrap().unwrap_err().code, RpcError::APPLICATION_ERROR);
    // Its own refusal stays one.
    let handler = async { Err::<(), _>(RpcError::rejected("I am busy", None)) };
    assert!(Handling::new(None).run(handler).await.unwrap_err().is_retryable());
}
