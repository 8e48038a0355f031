//! What all topics and groups use.

use super::Queues;
use super::clock::Clock;
use super::queues::Limits;
use crate::metrics::QueueMeters;
use crate::store::{Offset, Store, TopicId};
use hashbrown::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use towline_service_api::RpcError;
use towline_service_api::builtin::QueueError;

/// When a publisher that was refused for it may try again.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Bytes one group reads ahead, at least and at most.
pub(crate) const AHEAD: (usize, usize) = (16 << 10, 256 << 10);
/// What a message costs beside its bytes.
pub(crate) const COST: usize = 256;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) meters: Arc<QueueMeters>,
    /// Groups that read ahead now, and how many bytes all of them may.
    pub(crate) readers: AtomicUsize,
    ahead_max: usize,
    /// Bytes received and not yet confirmed, of all publishers together, and how many there may be.
    intake: AtomicUsize,
    intake_max: usize,
    /// Heads of topics when the broker was started after an unclean stop: what is below may have been handed over.
    suspects: HashMap<TopicId, Offset>,
    queues: OnceLock<Weak<Queues>>,
    /// A topic that drops its oldest messages is full.
    pub(crate) is_crowded: Notify,
}

/// Bytes of the intake that are taken; given back when dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        meters: Arc<QueueMeters>,
        suspects: HashMap<TopicId, Offset>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock: Clock::start(),
            meters,
            readers: AtomicUsize::new(0),
            ahead_max: limits.ahead,
            intake: AtomicUsize::new(0),
            intake_max: limits.intake,
            suspects,
            queues: OnceLock::new(),
            is_crowded: Notify::new(),
        })
    }

    pub(super) fn belongs_to(&self, queues: Weak<Queues>) {
        let _ = self.queues.set(queues);
    }

    pub(crate) fn queues(&self) -> Option<Arc<Queues>> {
        self.queues.get()?.upgrade()
    }

    /// Bytes that one group may read ahead: its share, within bounds.
    pub(crate) fn ahead(&self) -> usize {
        share(self.ahead_max, self.readers.load(Ordering::Relaxed))
    }

    /// What of a topic is below it, may have been handed over before the last stop.
    pub(crate) fn suspect(&self, topic: TopicId) -> Offset {
        self.suspects.get(&topic).copied().unwrap_or_default()
    }

    /// Takes room for messages on their way.
    ///
    /// # Errors
    /// REJECTED: publishers have more on their way than the broker holds.
    pub(crate) fn hold(self: &Arc<Self>, messages: usize, bytes: usize) -> Result<Hold, QueueError> {
        let mut hold = Hold::none(self);
        hold.take(bytes + COST * messages)?;
        Ok(hold)
    }
}

fn share(all: usize, readers: usize) -> usize {
    (all / readers.max(1)).clamp(AHEAD.0, AHEAD.1)
}

impl Hold {
    pub(crate) fn none(shared: &Arc<Shared>) -> Self {
        Self { shared: shared.clone(), bytes: 0 }
    }

    /// Takes room for one more message.
    ///
    /// # Errors
    /// As of [`Shared::hold`].
    pub(crate) fn more(&mut self, bytes: usize) -> Result<(), QueueError> {
        self.take(bytes + COST)
    }

    /// The room of one message, apart.
    pub(crate) fn part(&mut self, bytes: usize) -> Self {
        let bytes = (bytes + COST).min(self.bytes);
        self.bytes -= bytes;
        Self { shared: self.shared.clone(), bytes }
    }

    pub(crate) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    fn take(&mut self, bytes: usize) -> Result<(), QueueError> {
        let shared = &self.shared;
        let held = shared.intake.fetch_add(bytes, Ordering::Relaxed);
        if held + bytes > shared.intake_max && held > 0 {
            shared.intake.fetch_sub(bytes, Ordering::Relaxed);
            shared.meters.over_budget.increment(1);
            let text = "more was published than the broker holds before it is confirmed";
            return Err(QueueError::Rpc(RpcError::rejected(text, Some(RETRY_AFTER))));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.intake.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn groups_share_what_may_be_read_ahead() {
        assert_eq!(
            [0, 1, 256, 257, 1_024].map(|readers| share(64 << 20, readers)),
            [256 << 10, 256 << 10, 256 << 10, (64 << 20) / 257, 64 << 10]
        );
        assert_eq!(
            [1, 16, 32, 1_000].map(|readers| share(4 << 20, readers)),
            [256 << 10, 256 << 10, 128 << 10, 16 << 10]
        );
    }
}
