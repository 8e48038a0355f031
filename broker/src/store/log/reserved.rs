//! Offsets of a topic weaker than `disk` that may be used before the messages at them are synced (rule 8).

use crate::store::Offset;

/// The least offsets that are reserved at once.
pub(crate) const RESERVE: u64 = 65_536;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reserved {
    /// Below it they may.
    pub certain: Offset,
    /// So far has been asked for.
    asked: Offset,
    /// The head when it was, and the time.
    since: (Offset, u64),
}

impl Reserved {
    /// As a log that was opened says.
    pub(crate) fn new(certain: Offset) -> Self {
        Self { certain, asked: certain, since: (certain, 0) }
    }

    /// Half of the last block is used once this offset is.
    pub(crate) fn is_due(&self, offset: Offset) -> bool {
        let block = self.asked.saturating_sub(self.since.0).max(RESERVE);
        offset + block / 2 >= self.asked
    }

    /// Asks for the next block: what two seconds take, at the rate since the last one. Returns its end.
    pub(crate) fn ask(&mut self, offset: Offset, now: u64) -> Offset {
        let (head, since) = self.since;
        let elapsed = now.saturating_sub(since).max(1);
        let rate = (offset.saturating_sub(head)).saturating_mul(1000) / elapsed;
        let asked = offset + (2 * rate).clamp(RESERVE, 1 << 40);
        (self.asked, self.since) = (asked.max(self.asked), (offset, now));
        self.asked
    }
}
