//! Stock rsocket_rust: an example of this project, so that plain `cargo test` builds it.

use super::matrix::everybody_calls;
use super::program::{COMPLETE_ALONE, Missing, Stranger};
use std::path::Path;

const CLIENT: &str = "rsocket_rust 0.7.5";

/// It never sends a REQUEST_N.
const LACKS: &[&str] = &["count", "credit"];
const AS_RESPONDER: &[(&str, &str)] = &[
    (COMPLETE_ALONE, "no answer is one"),
    ("unknown-method", "its responder sends every error as APPLICATION_ERROR (transport/socket.rs)"),
    (
        "credit obeyed",
        "it drains its streams, whatever is asked for: the broker holds some items back, then ends the stream",
    ),
];

pub(crate) fn over_tcp() -> (&'static str, Result<Stranger, Missing>) {
    let program = Path::new(env!("CARGO_BIN_EXE_towline")).with_file_name("examples").join("strange-rsocket-rust");
    let missing = || format!("{} is not here: run plain cargo test, which builds it", program.display());
    let command = program.exists().then(|| vec![program.clone().into_os_string()]).ok_or_else(missing);
    let stranger = |command| Stranger {
        client: CLIENT,
        scheme: "tcp",
        command,
        lacks: LACKS,
        as_responder: AS_RESPONDER,
        trips_over: &[],
    };
    (CLIENT, command.map(stranger))
}

#[tokio::test(flavor = "multi_thread")]
async fn rsocket_rust_over_tcp_serves_everybody() {
    everybody_calls(CLIENT, "tcp").await;
}
