//! What generated code names; no part of the public API.

pub use std::sync::Arc;

pub use futures::Stream;

pub use crate::arguments::{ArgumentWriter, Arguments};
pub use crate::call::Draft;
pub use crate::encoding::written;
pub use crate::incoming::{Incoming, Later};
pub use crate::outlet::Outlet;
