//! How much of what was not synced a power cut leaves.

use fastrand::Rng;

/// Drawn once for each power cut, so that some lose nearly nothing, some nearly everything, and most something of both: one
/// lost page among a hundred that arrived is not found by tossing a coin a hundred times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Luck {
    all: u8,
    none: u8,
}

impl Luck {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let percents = [(0, 0), (0, 0), (0, 0), (30, 30), (90, 0), (0, 90), (98, 0), (100, 0), (0, 100)];
        let (all, none) = percents[rng.usize(..percents.len())];
        Self { all, none }
    }

    /// How many of `count` changes to one thing, in their order, arrived.
    pub(super) fn count(self, count: usize, rng: &mut Rng) -> usize {
        match rng.u8(..100) {
            percent if percent < self.all => count,
            percent if percent < self.all + self.none => 0,
            _ => rng.usize(..=count),
        }
    }

    /// Whether one change that stands alone arrived.
    pub(super) fn arrives(self, rng: &mut Rng) -> bool {
        self.count(1, rng) == 1
    }
}
