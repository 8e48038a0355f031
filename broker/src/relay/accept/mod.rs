//! From a listening socket to a link.
//!
//! ```text
//!  listen -> connection: layers (TLS, WebSocket, by the first bytes) -> setup (read, checked) -> Link, registry, driver
//! ```
//! Invariant: until SETUP is accepted a connection costs no more than one task, its SETUP and its time limit.

mod connection;
mod layers;
mod listen;
mod setup;

pub(crate) use connection::{accept, attach};
pub(crate) use layers::Layers;
pub(crate) use listen::Listener;
pub(crate) use setup::LocatorJson;
