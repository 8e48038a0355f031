//! Scripted peers over real sockets, and brokers to connect them to.
//!
//! ```text
//!  broker   the broker inside this process        process   the program, killed on drop
//!  peer     one connection, frame by frame        carrier   TCP, TLS, Unix socket or WebSocket under it
//!  serve    calls, and responders that run alone     wire      frames and metadata, in few words
//! ```
//! Nothing here sleeps. What must come is awaited for half a minute; what must not come is disproved by a fence: an answer
//! that the broker can only have queued behind it.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses its part")]

mod broker;
mod carrier;
mod peer;
mod process;
mod serve;
mod wire;

pub(crate) use broker::{Broker, sum};
pub(crate) use carrier::{Carrier, over, over_all, over_streams};
pub(crate) use peer::Peer;
pub(crate) use process::{Process, descriptors, signal};
pub(crate) use serve::{echo, expect_alive, outcome, produce, refusal, serves};
pub(crate) use wire::*;

use std::time::Duration;

/// For what must happen soon, on a busy machine too.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// The most a REQUEST_N may ask for.
pub(crate) const MAX_N: u32 = 0x7FFF_FFFF;
