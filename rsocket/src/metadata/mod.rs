//! Metadata of the RSocket extensions: composite entries, MIME ids, routing tags, authentication.
//!
//! Reading borrows from the frame and stops at the first malformed entry: what came before it counts.

pub mod auth;
mod composite;
pub mod mime;
pub mod routing;
#[cfg(test)]
mod tests;

pub use composite::{Composite, CompositeBuilder, Entry, Malformed};
pub use mime::Mime;
