use super::harness::*;
use super::row::Row;
use std::path::Path;
use tokio::process::Command;
use tokio::time::timeout;

/// The lines that `tests/strangers/python/mistakes.py` prints; none where rsocket-py is not installed.
async fn printed(broker: &Broker) -> Option<Vec<String>> {
    let file = |path: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if !file("target/strangers/python/requirements.txt").exists() {
        println!("skipped: rsocket-py is not here: run tests/strangers/install");
        return None;
    }
    let mut command = Command::new(file("target/strangers/python/bin/python"));
    command.arg(file("tests/strangers/python/mistakes.py")).arg(format!("tcp://{}", broker.address));
    let output = timeout(2 * SOON, command.kill_on_drop(true).output()).await.expect("it ends").expect("it starts");
    let text = String::from_utf8(output.stdout).expect("text");
    Some(text.lines().map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_py_shows_what_it_is_told_and_of_a_refused_setup_nothing_unless_asked() {
    let row = Row::of("rsocket_py_shows_what_it_is_told_and_of_a_refused_setup_nothing_unless_asked");
    let broker = Broker::start().await;
    let Some(lines) = printed(&broker).await else { return };
    assert_eq!(lines.len(), 3, "{lines:#?}");
    lines.iter().for_each(|line| row.shows(line));
}
