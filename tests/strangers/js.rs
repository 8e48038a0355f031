//! rsocket-js of both its generations, over TCP and over WebSocket, as `tests/strangers/js` uses it.

use super::matrix::everybody_calls;
use super::program::{COMPLETE_ALONE, Missing, Stranger, file, need};
use std::path::Path;

const V1: &str = "rsocket-js 1.0.0-alpha.3";
const V0: &str = "rsocket-js 0.0.27";

/// All four, each with what it is called.
pub(crate) fn all() -> Vec<(&'static str, Result<Stranger, Missing>)> {
    let v0: &[_] = &[("unknown-method", "every error it sends is APPLICATION_ERROR")];
    [
        ("rsocket-js 1 over tcp", over(V1, "v1", "tcp", &[])),
        ("rsocket-js 1 over ws", over(V1, "v1", "ws", &[])),
        ("rsocket-js 0 over tcp", over(V0, "v0", "tcp", v0)),
        ("rsocket-js 0 over ws", over(V0, "v0", "ws", v0)),
    ]
    .into()
}

fn over(
    client: &'static str,
    folder: &str,
    scheme: &'static str,
    as_responder: &'static [(&'static str, &'static str)],
) -> Result<Stranger, Missing> {
    let node = need("node", Path::new("node"))?;
    let folder = format!("tests/strangers/js/{folder}");
    // Written last, once everything is there.
    need(client, &file(&format!("{folder}/node_modules/.installed")))?;
    let command = vec![node.into(), file(&format!("{folder}/probe.mjs")).into()];
    // The first generation knows an answer by its payload: one of COMPLETE alone leaves its caller waiting.
    let trips_over: &[(_, &[_])] = if client == V0 { &[(COMPLETE_ALONE, &["ping", "find"])] } else { &[] };
    Ok(Stranger { client, scheme, command, lacks: &[], as_responder, trips_over })
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_js_1_over_tcp_serves_everybody() {
    everybody_calls(V1, "tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_js_1_over_ws_serves_everybody() {
    everybody_calls(V1, "ws").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_js_0_over_tcp_serves_everybody() {
    everybody_calls(V0, "tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_js_0_over_ws_serves_everybody() {
    everybody_calls(V0, "ws").await;
}
