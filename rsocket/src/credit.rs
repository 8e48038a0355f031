//! Credit: how many items may still be sent (Protocol.md, "REQUEST_N", Reactive Streams semantics).

/// A sum of REQUEST_N, spent one item at a time. It saturates at 2^63-1; no value means "unbounded".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit(u64);

impl Credit {
    /// The most a sum can be.
    pub const MAX: u64 = i64::MAX as u64;

    /// Credit for `n` items.
    pub const fn new(n: u64) -> Self {
        Self(if n > Self::MAX { Self::MAX } else { n })
    }

    /// Adds what one REQUEST_N grants.
    pub fn grant(&mut self, n: u64) {
        self.0 = self.0.saturating_add(n).min(Self::MAX);
    }

    /// Spends one item's credit; false if there is none.
    #[must_use]
    pub fn spend(&mut self) -> bool {
        let had = self.0 > 0;
        self.0 -= u64::from(had);
        had
    }

    /// Items that may be sent now.
    pub const fn left(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_saturate_and_live_past_the_magic_values() {
        let mut credit = Credit::default();
        assert!(!credit.spend());
        for _ in 0..3 {
            credit.grant(0x7FFF_FFFF);
        }
        assert_eq!(credit.left(), 3 * 0x7FFF_FFFF);
        credit.grant(u64::MAX);
        assert_eq!(credit.left(), Credit::MAX);
        assert!(credit.spend());
        assert_eq!(credit.left(), Credit::MAX - 1);
    }
}
