//! From a listening socket to a link.
//!
//! ```text
//!  listen -> room (descriptors left) -> layers (TLS, WebSocket, told by the first bytes)
//!         -> setup (read, checked) -> connection: Link, registry, driver
//! ```
//! Invariant: until SETUP is accepted a connection costs no more than one task, its SETUP and its time limit.

mod connection;
mod layers;
mod listen;
mod room;
mod setup;

pub(crate) use connection::{LARGE_SETUPS, accept, attach};
pub(crate) use layers::Layers;
pub(crate) use listen::Listener;
pub(crate) use room::Room;
pub(crate) use setup::{LocatorJson, read};
