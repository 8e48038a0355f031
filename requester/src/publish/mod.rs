//! Publishing to durable topics.
//!
//! ```text
//!  Topic -- publish, publish_batch --> one call each, confirmed or not
//!    | publisher
//!  Publisher -- send --> Flight: waiting ... sent ...  --> publishMany, as the broker grants credit
//!                          ^                   |
//!                          +---- Outcome <-----+---------- one receipt for each, in their order
//! ```
//! The one invariant: a message gets exactly one outcome, and is sent a second time only if it was not sent before or says
//! itself what it is (by an id, or a producer's sequence), so that the broker keeps it once.

mod error;
mod flight;
mod publisher;
#[cfg(test)]
mod tests;
mod topic;

pub use error::PublishError;
pub use publisher::{Outcome, Publisher};
pub use topic::Topic;
