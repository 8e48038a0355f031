//! The app side of one connection: calls to the peer, answers to the peer's calls, one task that reads.
//!
//! Symmetric: the same code runs the client and the server side, over any [`Transport`](crate::transport::Transport).
//! The one invariant: what one peer or one slow consumer can make this side hold is bounded by [`Config`].
//!
//! ```text
//!  ResponseFuture, ResponseStream               Responder (user code)
//!     | take: REQUEST_N, drop: CANCEL              ^ called and polled once inline, in arrival order
//!     v                                            |
//!   Inlet <----- frames ----- dispatch <--- driver (reads; one task per connection)
//!                                |
//!   Pump, Answer (spawned only if not done at the first poll; credit and stop come through their Job)
//!   Later (answered from anywhere, without a task)
//!     |
//!     v  frames copied into
//!   Outgoing ---- written by whoever holds the claim: driver, caller, or a write task while the socket is full
//! ```
//! One mutex per connection (streams, outgoing queue, claim), one per stream (Inlet, Job). The connection's is never
//! held while user code runs, a waker is dropped, or the socket is written.

mod accept;
mod answer;
mod call;
mod config;
mod connection;
mod dispatch;
mod driver;
mod ending;
mod failure;
mod ids;
mod inbound;
mod inlet;
mod job;
mod lease;
mod message;
mod outgoing;
mod payload;
mod pump;
mod replier;
mod responder;
mod response;
mod room;
mod serve;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

pub use accept::{AcceptedSetup, accept};
pub use call::{FireFuture, ResponseFuture};
pub use config::{ClientSetup, Config, Window};
pub use connection::{Connection, connect};
pub use failure::CallFailure;
pub use inbound::Inbound;
pub use lease::Lease;
pub use payload::{Item, Payload};
pub use replier::{Later, Replier};
pub use responder::Responder;
pub use response::ResponseStream;
