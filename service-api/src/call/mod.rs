//! The calls a generated client starts: builders that are awaited, or started as a stream.
//!
//! Nothing is encoded or sent before that. Invariant: dropping a call, its future or its stream drops what the
//! [`Caller`](crate::Caller) gave for it, which cancels it.

mod draft;
mod one_way;
mod outbound;
mod stream;
mod unary;

pub use draft::Draft;
pub use one_way::OneWayCall;
pub use stream::{AnswerStream, StreamCall};
pub use unary::{UnaryCall, UnaryFuture};
