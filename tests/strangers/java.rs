//! The released Java starter over TCP, plain (without Spring), as the program in `tests/strangers/java` uses it.

use super::jvm::program;
use super::matrix::everybody_calls;
use super::program::{COMPLETE_ALONE, Missing, Stranger};

const CLIENT: &str = "alibaba-rsocket 1.1.6";

/// It, with what it is called.
pub(crate) fn all() -> Vec<(&'static str, Result<Stranger, Missing>)> {
    vec![(CLIENT, starter())]
}

fn starter() -> Result<Stranger, Missing> {
    let command = program("java/java.jar")?;
    let as_responder = &[
        ("chat", "before the items of a channel it reads its first argument as a bare value, not in an array"),
        (COMPLETE_ALONE, "an empty Mono is nothing else"),
    ];
    Ok(Stranger { client: CLIENT, scheme: "tcp", command, lacks: &[], as_responder, trips_over: &[] })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_starter_serves_everybody() {
    everybody_calls(CLIENT, "tcp").await;
}
