//! Publishing to topics and consuming from them, with a test in the place of the broker: it sees every call and item, and
//! answers by hand.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "queue/broker.rs"]
mod broker;
#[path = "queue/consuming.rs"]
mod consuming;
#[path = "queue/deliveries.rs"]
mod deliveries;
#[path = "queue/publishing.rs"]
mod publishing;
