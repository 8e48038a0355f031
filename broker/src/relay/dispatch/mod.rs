//! The first frame of a stream: where to, and in what form.
//!
//! ```text
//!  open       route, pick an endpoint, take the stream's place on both links
//!  route      what the metadata says            failure    what is said if it goes nowhere
//!  known      routes read before
//!  reframe    metadata that the responder reads  caller     who calls, for the broker's own services
//!  gathering  requests whose metadata spans fragments
//! ```
//! Invariant: a request is changed in its metadata alone, and only by what [`reframe`] adds.

mod caller;
mod failure;
mod gathering;
mod known;
mod open;
mod reframe;
mod route;

pub(crate) use gathering::{Gathering, is_incomplete};
pub(crate) use known::Ahead;
pub(crate) use open::{Dispatch, Growth, Plan};
pub(crate) use reframe::{Framing, cut};
pub(crate) use route::{CALLER_MIME, DEADLINE, Route};
