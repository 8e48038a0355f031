use super::desk::{DeskClient, call, serve, soon};
use super::harness::Broker;
use futures::{StreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use towline_responder::rsocket::engine::Config;

const PREFETCH: u64 = 8;

/// Calls that take the same way: what was on it before them has arrived, and had its time to be acted upon.
async fn fence(desk: &DeskClient) {
    for _ in 0..20 {
        soon(desk.who().into_future()).await.expect("nothing is in its way");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_stream_makes_no_more_than_its_reader_asked_for() {
    let broker = Broker::start().await;
    let (_responder, clerk) = serve(&broker.address, "one").await;
    let (_requester, desk) = call(&broker.address).await;
    let mut numbers = desk.count(None).prefetch(PREFETCH as u32).start();
    let mut made = clerk.made.subscribe();
    for read in 1..=100 {
        assert_eq!(soon(numbers.next()).await, Some(Ok(read)));
        // It goes on making until at most half of what may be on its way is left.
        let least = read + PREFETCH / 2;
        soon(made.wait_for(|made| *made >= least)).await.expect("the clerk is there");
        if read % 10 == 1 {
            fence(&desk).await;
        }
        let made = *clerk.made.borrow();
        assert!(made <= read + PREFETCH, "{made} were made when {read} were read");
    }
    drop(numbers);
    clerk.runs(0).await;
}

/// Numbers from one, and how many were taken.
fn counted() -> (Arc<AtomicU64>, impl futures::Stream<Item = u64> + Send + 'static) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = taken.clone();
    let numbers = stream::iter(1..=10_000).inspect(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    (taken, numbers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_read_holds_its_caller_back() {
    let broker = Broker::start().await;
    let (_responder, clerk) = serve(&broker.address, "one").await;
    let (_requester, desk) = call(&broker.address).await;
    let (taken, numbers) = counted();
    let call = tokio::spawn(desk.sum_late(numbers).into_future());
    clerk.runs(1).await;
    fence(&desk).await;
    let window = u64::from(Config::default().prefetch);
    let held = taken.load(Ordering::SeqCst);
    assert!(held <= window + 1, "{held} items were taken, {window} may wait");
    fence(&desk).await;
    assert_eq!(taken.load(Ordering::SeqCst), held, "it goes on though nobody reads");
    clerk.may.add_permits(1);
    assert_eq!(soon(call).await.expect("no panic"), Ok(50_005_000));
    assert_eq!(taken.load(Ordering::SeqCst), 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_a_channels_answers_is_asked_for_no_more_items() {
    let broker = Broker::start().await;
    let (_responder, _clerk) = serve(&broker.address, "one").await;
    let (_requester, desk) = call(&broker.address).await;
    let (taken, numbers) = counted();
    let mut heard =
        desk.echo("n".to_owned(), numbers.map(|number| number.to_string())).prefetch(PREFETCH as u32).start();
    assert_eq!(soon(heard.next()).await, Some(Ok("n: 1".to_owned())));
    fence(&desk).await;
    let most = PREFETCH + u64::from(Config::default().prefetch) + 1;
    let held = taken.load(Ordering::SeqCst);
    assert!(held <= most, "{held} items were taken, {most} may wait");
    let rest: Vec<_> = soon(heard.collect()).await;
    assert_eq!(rest, (2..=10_000).map(|number| Ok(format!("n: {number}"))).collect::<Vec<_>>());
}
