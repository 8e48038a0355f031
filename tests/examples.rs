//! The examples for stock clients, as their headers say how to run them: each with itself, and with a Rust app on the
//! other side. One whose runtime or packages are missing is skipped with a line that says what is missing;
//! `tests/strangers/install` brings them all.

mod harness;

#[path = "../examples/greeter/api.rs"]
#[allow(dead_code, reason = "the half of the other side")]
mod api;
#[path = "greeter/program.rs"]
#[allow(dead_code, reason = "the half for brokers that are killed")]
mod program;
#[path = "strangers/program.rs"]
#[allow(dead_code, reason = "what the tests with strangers need")]
mod stranger;

#[path = "examples/browser.rs"]
mod browser;
#[path = "examples/java.rs"]
mod java;
#[path = "examples/node.rs"]
mod node;
#[path = "examples/orders.rs"]
mod orders;
#[path = "examples/python.rs"]
mod python;
#[path = "examples/rsocket_rust.rs"]
mod rsocket_rust;

use harness::SOON;
