//! Wall-clock milliseconds that do not jump: the wall clock as it was at the start, moved on by the monotonic one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), wall: millis(wall) }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.wall + millis(self.started.elapsed())
    }

    /// When the monotonic clock says so.
    pub(crate) fn instant(&self, time: u64) -> Instant {
        // Far enough for what is never due.
        const FAR: u64 = 1000 * 60 * 60 * 24;
        self.started + Duration::from_millis(time.saturating_sub(self.wall).min(millis(self.started.elapsed()) + FAR))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
