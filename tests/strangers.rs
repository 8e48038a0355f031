//! Strangers: stock RSocket clients of other people, unmodified, with each other and with `#[service]` apps.
//!
//! ```text
//!  probe     the service every stranger serves and calls, and the Rust app that does so
//!  script    what a caller of it checks, by name: the same in every language
//!  program   a stranger's program: `serve <url>` and `call <url>`
//!  conformant what a requester may see of a responder, frame by frame
//!  matrix    every stranger as responder, under every other as requester
//!  topics    durable topics, published to and consumed by programs of their own
//! ```
//! A stranger whose runtime or packages are missing is skipped with a line that says what is missing;
//! `tests/strangers/install` brings them all.

mod harness;

#[path = "strangers/conformant.rs"]
mod conformant;
#[path = "strangers/java.rs"]
mod java;
#[path = "strangers/js.rs"]
mod js;
#[path = "starter/jvm.rs"]
mod jvm;
#[path = "strangers/matrix.rs"]
mod matrix;
#[path = "strangers/probe.rs"]
mod probe;
#[path = "strangers/program.rs"]
mod program;
#[path = "strangers/python.rs"]
mod python;
#[path = "strangers/rsocket_rust.rs"]
mod rsocket_rust;
#[path = "strangers/script.rs"]
mod script;
#[path = "strangers/topics.rs"]
mod topics;
