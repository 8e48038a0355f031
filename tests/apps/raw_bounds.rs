//! The raw API: what is dropped is cancelled, and no more is made than is asked for.

use super::desk::soon;
use super::raw::{Items, data, payload, scene};
use futures::{StreamExt, stream};
use rsocket_rust::error::RSocketError;
use rsocket_rust::prelude::{Payload, RSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use towline_responder::rsocket::engine::Config;
use towline_responder::{App, CallOptions};

/// Calls that take the same way: what was on it before them has arrived, and had its time to be acted upon.
async fn fence(app: &App) {
    for _ in 0..20 {
        let echo = app.raw_to("test.Legacy.echo");
        soon(echo.request_response(Payload::from("x"))).await.expect("nothing is in its way");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_until_dropped_or_late_is_cancelled_at_the_other_side() {
    let (_broker, legacy, _told, [app, _serving]) = scene().await;
    let hang = app.raw_to("test.Legacy.hang");
    let waiting = tokio::spawn({
        let hang = hang.clone();
        async move { hang.request_response(Payload::from("x")).await }
    });
    legacy.runs(1).await;
    waiting.abort();
    legacy.runs(0).await;
    let options = CallOptions { timeout: Some(Duration::from_millis(200)), ..CallOptions::default() };
    let late = soon(hang.with_options(options).request_response(Payload::from("x"))).await.expect_err("it hangs");
    let Ok(RSocketError::RequestCancelled(text)) = late.downcast() else { panic!("CANCELED") };
    assert_eq!(text, "deadline exceeded");
    legacy.runs(0).await;
    let mut numbers = app.raw_to("test.Legacy.count").request_stream(Payload::from("1000000000"));
    assert_eq!(data(&soon(numbers.next()).await.expect("an item").expect("no error")), "1");
    legacy.runs(1).await;
    drop(numbers);
    legacy.runs(0).await;
    let (taken, items) = endless("test.Legacy.echo");
    let mut echoed = app.raw().request_channel(items);
    assert_eq!(data(&soon(echoed.next()).await.expect("an item").expect("no error")), "0");
    legacy.runs(1).await;
    drop(echoed);
    legacy.runs(0).await;
    soon(taken.until_dropped()).await;
}

/// How many items were taken, and whether more may be.
struct Taken {
    count: Arc<AtomicU64>,
    dropped: oneshot::Receiver<()>,
}

impl Taken {
    fn so_far(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    async fn until_dropped(self) {
        self.dropped.await.expect_err("nothing is ever sent");
    }
}

/// A request with this route and data 0, and numbers from 1.
fn endless(route: &str) -> (Taken, Items) {
    let (count, (alive, dropped)) = (Arc::new(AtomicU64::new(0)), oneshot::channel::<()>());
    let (counting, first) = (count.clone(), payload(route, "0"));
    let items = stream::iter(1_u64..).map(move |number| {
        let _ = &alive;
        counting.fetch_add(1, Ordering::SeqCst);
        Ok(Payload::builder().set_data_utf8(&number.to_string()).build())
    });
    (Taken { count, dropped }, Box::pin(stream::iter([Ok(first)]).chain(items)))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_answers_are_made_than_were_asked_for() {
    const PREFETCH: u64 = 8;
    let (_broker, legacy, _told, [app, _serving]) = scene().await;
    let options = CallOptions { prefetch: Some(PREFETCH as u32), ..CallOptions::default() };
    let mut numbers = app.raw_to("test.Legacy.count").with_options(options).request_stream(Payload::from("1000000000"));
    let mut made = legacy.made.subscribe();
    for read in 1..=40 {
        assert_eq!(data(&soon(numbers.next()).await.expect("an item").expect("no error")), read.to_string());
        let least = read + PREFETCH / 2;
        soon(made.wait_for(|made| *made >= least)).await.expect("it is there");
        if read % 10 == 1 {
            fence(&app).await;
        }
        let made = *legacy.made.borrow();
        assert!(made <= read + PREFETCH, "{made} were made when {read} were read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_items_of_a_channel_are_taken_than_its_handler_reads() {
    let (_broker, legacy, _told, [app, _serving]) = scene().await;
    let (taken, items) = endless("test.Legacy.late");
    let mut heard = app.raw().request_channel(items);
    let window = u64::from(Config::default().prefetch);
    let mut next = Box::pin(heard.next());
    assert!(futures::poll!(&mut next).is_pending());
    legacy.runs(1).await;
    fence(&app).await;
    assert!(taken.so_far() <= window, "{} were taken before any was asked for", taken.so_far());
    legacy.may.add_permits(1);
    assert_eq!(data(&soon(next).await.expect("an item").expect("no error")), "1");
    fence(&app).await;
    // Answers wait for their reader, and so do the items they are made of.
    assert!(taken.so_far() <= 2 * window + 2, "{} were taken when one answer was read", taken.so_far());
    drop(heard);
    soon(taken.until_dropped()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_drops_its_items_stops_those_and_goes_on_answering() {
    let (_broker, legacy, _told, [app, _serving]) = scene().await;
    let (taken, items) = endless("test.Legacy.deaf");
    let mut heard = app.raw().request_channel(items);
    assert_eq!(data(&soon(heard.next()).await.expect("an item").expect("no error")), "deaf");
    soon(taken.until_dropped()).await;
    legacy.runs(1).await;
    assert!(futures::poll!(heard.next()).is_pending());
}
