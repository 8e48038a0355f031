//! The place of a commit group, as a number that grows.

use std::fmt;

/// Groups begin at multiples of this.
pub(crate) const GRAIN: u64 = 64;
/// A segment is at most this long: then a position in it fits the low bits.
pub(crate) const MAX_SEGMENT: u64 = GRAIN << BITS;
const BITS: u32 = 20;

/// Segment id and position of a group; the greater one was written later. Zero: before all.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sequence(pub u64);

impl Sequence {
    /// The group at `position` of `segment`.
    pub(crate) fn at(segment: u64, position: u64) -> Self {
        debug_assert!(position.is_multiple_of(GRAIN) && position < MAX_SEGMENT);
        Self((segment << BITS) | (position / GRAIN))
    }

    pub(crate) fn segment(self) -> u64 {
        self.0 >> BITS
    }

    pub(crate) fn position(self) -> u64 {
        (self.0 & ((1 << BITS) - 1)) * GRAIN
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.position())
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.position())
    }
}
