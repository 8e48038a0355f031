//! How many connections fit into the descriptors this process may open.

use crate::metrics::{max_files, open_files};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors that connections leave alone: 32 for the broker's own files, 64 for the management port.
const RESERVE: u64 = 32 + 64;

/// Room for connections, taken as they are accepted; clones are one room.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// The room of one connection, given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// What this process may open beyond the reserve and what it has open now; without a limit that can be read, no end
    /// of it. There is room for one connection at least.
    pub(crate) fn of_this_process() -> Self {
        let places = max_files().map_or(u64::MAX, |max| places(max, open_files().unwrap_or(0)));
        Self(Arc::new(Semaphore::new(usize::try_from(places).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS))))
    }

    /// None if nothing is left.
    pub(crate) fn try_take(&self) -> Option<Place> {
        self.0.clone().try_acquire_owned().ok().map(|permit| Place { _permit: permit })
    }

    /// Waits until something is left.
    pub(crate) async fn take(&self) -> Place {
        Place { _permit: self.0.clone().acquire_owned().await.expect("nobody closes the semaphore") }
    }
}

fn places(max: u64, open: u64) -> u64 {
    max.saturating_sub(open + RESERVE).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_reserve_alone() {
        assert_eq!((places(1024, 28), places(RESERVE, 0), places(10, 20)), (900, 1, 1));
    }
}
