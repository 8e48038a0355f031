//! RSocket 1.0 as scripted peers see it, over everything that carries frames: docs/conformance.md says which requirement
//! which test is about.

mod harness;

#[path = "conformance/broker.rs"]
mod broker;
#[path = "conformance/channels.rs"]
mod channels;
#[path = "conformance/errors.rs"]
mod errors;
#[path = "conformance/flow.rs"]
mod flow;
#[path = "conformance/fragments.rs"]
mod fragments;
#[path = "conformance/frames.rs"]
mod frames;
#[path = "conformance/interactions.rs"]
mod interactions;
#[path = "conformance/keepalive.rs"]
mod keepalive;
#[path = "conformance/lease.rs"]
mod lease;
#[path = "conformance/metadata.rs"]
mod metadata;
#[path = "conformance/resume.rs"]
mod resume;
#[path = "conformance/setup.rs"]
mod setup;
#[path = "conformance/streams.rs"]
mod streams;
#[path = "conformance/table.rs"]
mod table;
#[path = "conformance/transport.rs"]
mod transport;
#[path = "conformance/unexpected.rs"]
mod unexpected;
#[path = "conformance/websocket.rs"]
mod websocket;
