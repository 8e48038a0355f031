//! The released Java starters, unmodified, through this broker: with each other and with Rust apps, and what they lose
//! and find again. What they have in common with other strangers is in strangers.rs.

mod harness;

#[path = "starter/encodings.rs"]
mod encodings;
#[path = "starter/java.rs"]
mod java;
#[path = "starter/jvm.rs"]
mod jvm;
#[path = "starter/links.rs"]
mod links;
#[path = "strangers/probe.rs"]
mod probe;
#[allow(dead_code, reason = "what the tests with all strangers need")]
#[path = "strangers/program.rs"]
mod program;
#[path = "starter/routing.rs"]
mod routing;
#[path = "starter/spring.rs"]
mod spring;
