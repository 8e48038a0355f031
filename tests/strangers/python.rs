//! rsocket-py over TCP and over aiohttp's WebSocket, as `tests/strangers/python/probe.py` uses it.

use super::matrix::everybody_calls;
use super::program::{COMPLETE_ALONE, Missing, Stranger, file, need};
use std::path::PathBuf;

const CLIENT: &str = "rsocket-py 0.4.20";

/// Both, each with what it is called.
pub(crate) fn all() -> Vec<(&'static str, Result<Stranger, Missing>)> {
    [("rsocket-py over tcp", "tcp"), ("rsocket-py over ws", "ws")].map(|(name, scheme)| (name, over(scheme))).into()
}

fn over(scheme: &'static str) -> Result<Stranger, Missing> {
    let python = python()?;
    let command = vec![python.into(), file("tests/strangers/python/probe.py").into()];
    // As a caller it has means for everything.
    let as_responder = &[
        ("end", "it looks for the end of a generator only once it has credit for another item"),
        (COMPLETE_ALONE, "it sends no payload that is empty"),
    ];
    Ok(Stranger { client: CLIENT, scheme, command, lacks: &[], as_responder, trips_over: &[] })
}

/// The interpreter that has it.
pub(crate) fn python() -> Result<PathBuf, Missing> {
    // Written last, once everything is there.
    need(CLIENT, &file("target/strangers/python/requirements.txt"))?;
    Ok(file("target/strangers/python/bin/python"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_py_over_tcp_serves_everybody() {
    everybody_calls(CLIENT, "tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_py_over_ws_serves_everybody() {
    everybody_calls(CLIENT, "ws").await;
}
