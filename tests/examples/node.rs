//! `examples/node` and `examples/greeter`: each requester under each responder.

use super::SOON;
use super::harness::Broker;
use super::program::Program;
use super::stranger::{Missing, file, need};
use std::path::{Path, PathBuf};

/// What it runs with, if that is here; else it is told of.
fn node() -> Option<PathBuf> {
    let found = || -> Result<_, Missing> {
        need("rsocket-js", &file("examples/node/node_modules/.installed"))?;
        need("node", Path::new("node"))
    };
    found().inspect_err(|missing| println!("skipped: examples/node: {missing}")).ok()
}

fn in_node(node: &Path, program: &str, broker: &Broker) -> Program {
    let path = file(&format!("examples/node/{program}.mjs"));
    let path = path.to_str().expect("the path of the project is text");
    Program::start(program, node, &[path, &format!("rsocket://{}", broker.address)])
}

/// What a requester prints, if who answers is called so.
async fn prints_all(mut requester: Program, by: &str, name_missing: &str) {
    let start = format!("greet: Hello Ada! (by {by} ");
    requester.expect(&start).await;
    let expected = [
        &format!("greet nobody: {name_missing}"),
        "wave: sent",
        "count_down: [1000, 999, 998]",
        "greet_all: Hello Ada, Grace!",
        "chat: [lobby] hi",
        "chat: [lobby] bye",
    ];
    let lines: Vec<_> = requester.ended(SOON).await.into_iter().map(|line| line.text).collect();
    assert_eq!(lines, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_in_node_serves_requesters_in_rust_and_in_node() {
    let Some(node) = node() else { return };
    let broker = Broker::start().await;
    let mut responder = in_node(&node, "responder", &broker);
    responder.expect("ready").await;
    let mut requester = Program::example("greeter-requester", &broker.address, &["--json"]);
    requester.expect("ready").await;
    prints_all(requester, "node", "NameMissing").await;
    responder.expect("waving at Ada").await;
    prints_all(in_node(&node, "requester", &broker), "node", "name-missing").await;
    responder.expect("waving at Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_in_node_calls_a_responder_in_rust() {
    let Some(node) = node() else { return };
    let broker = Broker::start().await;
    let mut responder = Program::example("greeter-responder", &broker.address, &[]);
    responder.expect("ready").await;
    prints_all(in_node(&node, "requester", &broker), "greeter", "name-missing").await;
    responder.expect("waving at Ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_in_node_says_that_it_reads_json_alone() {
    let Some(node) = node() else { return };
    let broker = Broker::start().await;
    let mut responder = in_node(&node, "responder", &broker);
    responder.expect("ready").await;
    let mut requester = Program::example("greeter-requester", &broker.address, &["--loop"]);
    requester.expect("ready").await;
    requester.expect("error 0x204 RST-700501: demo.Greeter here reads application/json, not ").await;
}
