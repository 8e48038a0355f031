//! Consuming from durable topics.
//!
//! ```text
//!  ConsumerBuilder -- each(handler) --> Consumer: so many handlers at a time, each settled by how it ends
//!    | join                                 |
//!    +------------------------------> Deliveries --> Unsettled: ack, nack, extend, dead
//!                                           |             |
//!                                        Member        Settles      one consume channel, and another one after it
//! ```
//! The one invariant: a delivery is settled only by who had it. One that is not, because its consumer is gone or lost its
//! connection, is delivered again.

mod builder;
mod consumer;
mod deliveries;
mod member;
mod nack;
mod settles;
#[cfg(test)]
mod tests;

pub use builder::{Consume, ConsumerBuilder};
pub use consumer::Consumer;
pub use deliveries::{Deliveries, Unsettled};
pub use nack::Nack;
