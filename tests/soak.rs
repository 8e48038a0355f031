//! A mixed load over every carrier while connections come and go; then everything is as it was before.
//!
//! Plain `cargo test` runs it for twenty seconds. `TOWLINE_SOAK=600s cargo test --test soak -- --nocapture` runs it long
//! enough to say whether memory grows.

mod harness;
#[path = "soak/mix.rs"]
mod mix;

use harness::*;
use mix::{Caller, Ends, serve};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use towline::config::parse_duration;

const MIB: f64 = (1 << 20) as f64;
const SHORT: Duration = Duration::from_secs(20);
/// Memory may still grow before this: pools fill, the allocator spreads over its threads.
const WARM: Duration = Duration::from_secs(120);
/// MiB a minute, after that.
const SLOPE: f64 = 0.5;
/// MiB resident at any time beyond those at first.
const MOST: f64 = 48.0;

/// Connections that stay, of each kind and over each carrier.
const LASTING: u64 = 1;
/// Time between two of a requester's interactions.
const PACE: Duration = Duration::from_millis(10);
/// A connection comes this often, and leaves after so many interactions.
const CHURN: Duration = Duration::from_millis(200);
const VISIT: u32 = 30;

/// What must be as before once nobody is connected.
async fn counts(broker: &Process) -> BTreeMap<&'static str, u64> {
    let names = [
        "towline_links_open",
        "towline_streams_open",
        "towline_budget_used_bytes",
        "towline_outbox_bytes",
        "towline_parked_bytes",
        "towline_instances",
        "towline_services_registered",
    ];
    // First, for the scrape is a connection, too.
    let mut counts =
        BTreeMap::from([("descriptors", broker.descriptors() as u64), ("threads", broker.threads() as u64)]);
    let text = broker.scrape().await;
    counts.extend(names.map(|name| (name, sum(&text, name) as u64)));
    counts
}

/// Asks without end.
async fn resident(address: String, seed: u64) {
    let mut caller = Caller::join(&address, seed).await;
    let mut pace = interval(PACE);
    loop {
        pace.tick().await;
        caller.interact().await;
    }
}

/// Comes, asks, and leaves: in good order, with streams open that it did not read, or as a responder in the middle of its
/// answers.
async fn visit(address: String, seed: u64) -> Ends {
    let mut pace = interval(PACE);
    if seed.is_multiple_of(5) {
        let serving = serve(&address);
        let over = async {
            for _ in 0..VISIT * 10 {
                pace.tick().await;
            }
        };
        tokio::select! {
            () = serving => panic!("the broker closed a responder"),
            () = over => return Ends::default(),
        }
    }
    let mut caller = Caller::join(&address, seed).await;
    for _ in 0..VISIT {
        pace.tick().await;
        caller.interact().await;
    }
    let ends = caller.ends;
    if seed.is_multiple_of(3) {
        caller.abandon(&mut pace, VISIT).await;
    }
    ends
}

/// The slope of a line through these points that leaves the least squares, per unit of the first coordinate.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (xy, xx) = points.iter().fold((0.0, 0.0), |(xy, xx), point| {
        let (dx, dy) = (point.0 - x, point.1 - y);
        (xy + dx * dy, xx + dx * dx)
    });
    xy / xx
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_leaves_nothing_behind() {
    let length = std::env::var("TOWLINE_SOAK")
        .map_or(SHORT, |text| parse_duration(&text).expect("TOWLINE_SOAK is a duration such as 600s"));
    let socket = std::env::temp_dir().join(format!("towline-soak-{}.sock", std::process::id()));
    let unix = format!("unix://{}", socket.display());
    let broker = Process::on(&["tcp://127.0.0.1:0", "ws://127.0.0.1:0", "tls://127.0.0.1:0", &unix], &[]);
    let address = |nth: u64| broker.addresses[nth as usize % broker.addresses.len()].clone();

    let before = counts(&broker).await;
    let base = broker.resident() as f64 / MIB;

    let (mut lasting, mut visits) = (JoinSet::new(), JoinSet::new());
    for nth in 0..LASTING * broker.addresses.len() as u64 {
        let at = address(nth);
        lasting.spawn(async move { serve(&at).await });
        lasting.spawn(resident(address(nth), nth));
    }
    let begun = Instant::now();
    let mut churn = interval(CHURN);
    let (mut visitors, mut ends) = (0, Ends::default());
    let mut samples = Vec::new();
    while begun.elapsed() < length {
        tokio::select! {
            _ = churn.tick() => {
                visitors += 1;
                visits.spawn(visit(address(visitors), visitors));
                if visitors % 5 == 0 {
                    samples.push((begun.elapsed().as_secs_f64() / 60.0, broker.resident() as f64 / MIB));
                }
            }
            Some(visit) = visits.join_next() => {
                let visit = visit.expect("every request ends");
                (ends.good, ends.errors) = (ends.good + visit.good, ends.errors + visit.errors);
            }
            Some(lost) = lasting.join_next() => panic!("a connection that should last has ended: {lost:?}"),
        }
    }
    let requests = broker.meter("towline_requests_total").await;
    lasting.shutdown().await;
    visits.shutdown().await;
    let deadline = Instant::now() + SOON;
    let mut looks = interval(Duration::from_millis(100));
    let mut after = counts(&broker).await;
    while after != before && Instant::now() < deadline {
        looks.tick().await;
        after = counts(&broker).await;
    }
    let most = samples.iter().map(|sample| sample.1).fold(0.0, f64::max);
    let warm: Vec<_> = samples.into_iter().filter(|sample| sample.0 * 60.0 >= WARM.as_secs_f64()).collect();
    println!(
        "{length:?}, {visitors} connections came and went, {requests} requests; of the visitors' {} ended well and {} with an error\n\
         resident {base:.1} MiB at first, {most:.1} at most, {:.1} at the end",
        ends.good,
        ends.errors,
        broker.resident() as f64 / MIB,
    );
    assert_eq!(after, before);
    let text = broker.scrape().await;
    let [all, by_peer] =
        ["", "{reason=\"peer\"}"].map(|label| sum(&text, &format!("towline_links_closed_total{label}")));
    assert_eq!(all, by_peer, "the broker closed none of them");
    assert!(ends.good > 0 && most - base < MOST, "{most} MiB were resident");
    // A line through fewer points says nothing.
    if warm.len() >= 60 {
        let slope = slope(&warm);
        println!(
            "resident memory grows by {slope:.3} MiB a minute after the first {WARM:?}, over {} samples",
            warm.len()
        );
        assert!(slope < SLOPE, "memory grows by {slope} MiB a minute");
    }
}

#[test]
fn the_slope_is_that_of_a_line_through_points() {
    let points: Vec<_> = (0..10).map(|x| (f64::from(x), 3.0 + 0.5 * f64::from(x))).collect();
    assert!((slope(&points) - 0.5).abs() < 1e-9);
}
