//! Every stranger as responder, under every other and a Rust app as requester: one broker for each responder.

use super::conformant::expect_conformant;
use super::harness::Broker;
use super::java;
use super::js;
use super::probe;
use super::program::{Missing, Stranger, file};
use super::python;
use super::rsocket_rust;
use super::script::{self, CHECKS};

/// Every stranger there could be, each with what it is called.
fn all() -> Vec<(&'static str, Result<Stranger, Missing>)> {
    [java::all(), js::all(), python::all(), vec![rsocket_rust::over_tcp()]].concat()
}

/// Those that are on this machine; the others are told of.
fn present() -> Vec<Stranger> {
    let told = |(name, stranger): (&str, Result<_, _>)| {
        stranger.inspect_err(|missing| println!("skipped: {name}: {missing}")).ok()
    };
    all().into_iter().filter_map(told).collect()
}

fn url(broker: &Broker, scheme: &str) -> String {
    format!("{scheme}://{}", broker.address)
}

/// Runs every caller against what serves `test.Probe` there.
async fn called_by_all(broker: &Broker, responder: &str, exempt: &[(&str, &str)]) {
    expect_conformant(broker, exempt).await;
    let mut failures = Vec::new();
    let is_exempt = |check: &str| exempt.iter().any(|(name, _)| *name == check);
    for (check, result) in script::run(&url(broker, "tcp")).await {
        match result {
            Err(why) if !is_exempt(check) => failures.push(format!("towline: {check}: {why}")),
            _ => {}
        }
    }
    for stranger in present() {
        let stopped = stranger.trips_over.iter().filter(|(habit, _)| is_exempt(habit));
        let without: Vec<_> = stopped.flat_map(|(_, checks)| checks.iter().copied()).collect();
        let printed = stranger.call(&url(broker, stranger.scheme), &without).await;
        for check in CHECKS.into_iter().filter(|check| !without.contains(check)) {
            let ok = format!("ok {check}");
            let lacks = format!("lacks {check}: ");
            let line = printed.iter().find(|line| {
                **line == ok || line.starts_with(&lacks) || line.starts_with(&format!("failed {check}: "))
            });
            let is_well = match line {
                Some(line) if line.starts_with("lacks") => stranger.lacks.contains(&check),
                Some(line) => (*line == ok && !stranger.lacks.contains(&check)) || is_exempt(check),
                None => false,
            };
            if !is_well {
                let line = line.map_or("nothing printed", String::as_str);
                failures.push(format!("{} over {}: {check}: {line}", stranger.client, stranger.scheme));
            }
        }
    }
    assert!(failures.is_empty(), "callers of {responder}:\n{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_calls_a_rust_service() {
    let broker = Broker::start().await;
    let app = probe::serve(&url(&broker, "tcp")).await;
    called_by_all(&broker, "a Rust app", &[]).await;
    app.close().await;
}

/// A stranger as the responder.
pub(crate) async fn everybody_calls(client: &str, scheme: &str) {
    let found = present().into_iter().find(|stranger| stranger.client == client && stranger.scheme == scheme);
    let Some(stranger) = found else { return };
    let broker = Broker::start().await;
    let serving = stranger.serve(&url(&broker, scheme)).await;
    called_by_all(&broker, &format!("{client} over {scheme}"), stranger.as_responder).await;
    serving.kill().await;
}

#[test]
fn every_stranger_has_its_row_in_the_table_of_clients() {
    let text = std::fs::read_to_string(file("docs/clients.md")).expect("the table");
    for Stranger { client, scheme, .. } in present() {
        let rows = text.lines().filter(|line| line.starts_with(&format!("| {client}")));
        let over: Vec<_> = rows.filter_map(|row| row.split('|').nth(2)).flat_map(|cell| cell.split(',')).collect();
        assert!(over.iter().any(|is| is.trim() == scheme), "{client} over {scheme}: {over:?}");
    }
}
