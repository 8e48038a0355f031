//! Who serves what: an immutable table, read without a lock by every request, replaced by the registry alone.
//!
//! Invariant: only [`Registry`] writes; a reader sees one whole table.

mod balance;
mod hash;
mod key;
mod registry;
mod table;

pub(crate) use balance::{Asked, pick};
pub(crate) use hash::hash;
pub(crate) use key::RouteKey;
pub(crate) use registry::{App, Caps, Ports, Present, Registration, Registry};
pub(crate) use table::{Endpoint, Endpoints, Place, Table};

use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;

/// The table in force.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: ArcSwap<Table>,
}

impl Routes {
    /// The table as it is now.
    pub(crate) fn load(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }
}

#[cfg(test)]
mod tests;
