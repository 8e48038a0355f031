//! The examples in other languages, as their headers say how to run them, with each other and with apps in Rust.

mod harness;

#[path = "examples/java.rs"]
mod java;
#[allow(dead_code, reason = "what the tests with strangers need")]
#[path = "strangers/program.rs"]
mod program;
#[path = "examples/python.rs"]
mod python;
