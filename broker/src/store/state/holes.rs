//! The offsets of a group that were handed over and are not settled, as runs: a million handed over at once are one run.
//!
//! Invariant: runs do not overlap, none is empty, and two that touch differ in attempt or due time.

use crate::store::wire::{Put, Take};
use crate::store::{Hand, Offset, Run};
use std::collections::BTreeMap;

/// Holes of one group, each with its attempt and its due time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holes {
    runs: BTreeMap<Offset, Alike>,
    len: u64,
}

/// What the offsets of a run have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alike {
    count: u64,
    attempt: u32,
    due: u64,
}

impl Alike {
    fn joins(&self, other: &Self) -> bool {
        self.attempt == other.attempt && self.due == other.due
    }
}

impl Holes {
    /// Offsets that are holes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[cfg(test)]
    /// Runs they take: what memory is counted by.
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
    }

    pub(crate) fn contains(&self, offset: Offset) -> bool {
        self.runs.range(..=offset).next_back().is_some_and(|(first, alike)| offset - first < alike.count)
    }

    /// True if one of them is from `first` to `last`.
    pub(crate) fn intersects(&self, first: Offset, last: Offset) -> bool {
        self.contains(first) || self.runs.range(first..=last).next().is_some()
    }

    /// In the order of their offsets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Hand> {
        self.runs.iter().map(|(&first, alike)| Hand {
            run: Run { first, count: alike.count },
            attempt: alike.attempt,
            due: alike.due,
        })
    }

    /// Makes all of `run` holes of this attempt and due time, whatever they were.
    pub(crate) fn insert_run(&mut self, run: Run, attempt: u32, due: u64) {
        let Some((mut first, mut end)) = ends(run) else { return };
        self.remove_run(run);
        self.len += end - first;
        let mut alike = Alike { count: 0, attempt, due };
        if let Some((&at, before)) = self.runs.range(..first).next_back()
            && at + before.count == first
            && before.joins(&alike)
        {
            first = at;
        }
        if let Some(after) = self.runs.get(&end).filter(|after| after.joins(&alike)).copied() {
            self.runs.remove(&end);
            end += after.count;
        }
        alike.count = end - first;
        self.runs.insert(first, alike);
    }

    /// None of `run` is a hole any more.
    pub(crate) fn remove_run(&mut self, run: Run) {
        let Some((first, end)) = ends(run) else { return };
        if let Some((&at, before)) = self.runs.range_mut(..first).next_back()
            && at + before.count > first
        {
            let whole = *before;
            before.count = first - at;
            self.cut(first, Alike { count: whole.count - (first - at), ..whole }, end);
        }
        while let Some((&at, &inside)) = self.runs.range(first..end).next() {
            self.runs.remove(&at);
            self.cut(at, inside, end);
        }
    }

    /// Takes a run that is out of the map already, and begins before `end`, and puts back what is behind `end`.
    fn cut(&mut self, at: Offset, alike: Alike, end: Offset) {
        let stop = at + alike.count;
        self.len -= stop.min(end) - at;
        if stop > end {
            self.runs.insert(end, Alike { count: stop - end, ..alike });
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.varint(self.runs.len() as u64);
        let mut before = 0;
        for (&first, alike) in &self.runs {
            out.varint(first - before);
            out.varint(alike.count);
            out.varint(u64::from(alike.attempt));
            out.varint(alike.due);
            before = first;
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let mut holes = Self::default();
        let mut first = 0u64;
        for _ in 0..take.varint()? {
            first = first.checked_add(take.varint()?)?;
            let run = Run { first, count: take.varint()? };
            holes.insert_run(run, u32::try_from(take.varint()?).ok()?, take.varint()?);
        }
        Some(holes)
    }
}

/// First and end (exclusive) of a run that is not empty.
fn ends(run: Run) -> Option<(Offset, Offset)> {
    let end = run.first.saturating_add(run.count);
    (run.first < end).then_some((run.first, end))
}
