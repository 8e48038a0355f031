//! Which of the groups that a folder holds count: rules 1 and 3, pure.
//!
//! ```text
//!  group <-previous- group <-previous- group ...     each group names the one before it, so a missing one is noticed
//!        at or below the highest `synced` any group states:  it had been certain, so a missing one is damage
//!        above it:                                           the first missing one ends the log, what follows is cut
//!  a recovery (kept, first, last) that a group calls synced: what lies between kept and first counts no more
//!  a recovery that no group calls synced:                    its own groups do not count, but what they call synced does
//! ```

use super::group::{CLEAN, Header, Recovery};
use super::sequence::{GRAIN, Sequence};
use crate::store::log::mutant::{self, Mutant};
use std::collections::BTreeSet;

#[cfg(test)]
mod tests;

/// A group as a scan found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub header: Header,
    /// Bytes with the zeros behind it.
    pub len: u64,
    /// False if a record of it is not as it was written.
    pub is_whole: bool,
}

impl Seen {
    /// Where the next group of the same segment begins.
    fn end(&self) -> u64 {
        self.header.sequence.position() + self.len
    }
}

/// What counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    /// The groups that count, in order.
    pub kept: Vec<Seen>,
    /// The highest sequence that is known to be certain: kept groups above it have to be written again.
    pub synced: Sequence,
    /// What had been certain and is not there, from (inclusive) to (exclusive).
    pub damage: Vec<(Sequence, Sequence)>,
    /// Bytes of groups that do not count because one before them is missing, and of that one if it is in the same segment.
    pub cut: u64,
    /// The last group says that the store was closed behind it.
    pub is_clean: bool,
}

impl Chain {
    /// `seen` in the order of their sequences; `certain` is what is known to be synced from elsewhere (a snapshot);
    /// `is_replaced` says whether a segment's groups are in a sealed file that counts.
    pub(crate) fn of(seen: &[Seen], certain: Sequence, is_replaced: impl Fn(u64) -> bool) -> Self {
        let synced = seen.iter().map(|group| group.header.synced).fold(certain, Sequence::max);
        let recoveries: BTreeSet<Recovery> = seen.iter().map(|group| group.header.recovery).collect();
        let is_dead = |sequence: Sequence| {
            let confirmed = recoveries.iter().filter(|recovery| recovery.last <= synced);
            let mut dead = confirmed.filter(|recovery| recovery.kept < sequence && sequence < recovery.first);
            dead.next().is_some()
        };
        let is_trusted = |group: &Seen| group.header.recovery.last <= synced || mutant::is_on(Mutant::CopiesTrusted);
        let counts = |group: &&Seen| is_trusted(group) && !is_dead(group.header.sequence);
        let mut chain = Self { synced, ..Self::default() };
        let mut candidates = seen.iter().filter(counts);
        let mut before = None::<Seen>;
        for group in candidates.by_ref() {
            let Header { sequence, previous, .. } = group.header;
            let is_joined = match before {
                Some(before) => before.header.sequence == previous,
                None => previous == Sequence::default(),
            };
            if !is_joined && !is_replaced(previous.segment()) && !mutant::is_on(Mutant::PreviousNotChecked) {
                if previous > synced {
                    chain.cut += group.len + gap(before, sequence);
                    break;
                }
                chain.damage.push((after(before), sequence));
            }
            if !group.is_whole {
                if sequence > synced {
                    chain.cut += group.len;
                    break;
                }
                chain.damage.push((sequence, after(Some(*group))));
            } else {
                chain.kept.push(*group);
            }
            before = Some(*group);
        }
        chain.cut += candidates.map(|group| group.len).sum::<u64>();
        let last = before.map_or(Sequence::default(), |group| group.header.sequence);
        let is_told = chain.damage.last().is_some_and(|(_, to)| *to > synced);
        if last < synced && !is_replaced(synced.segment()) && !is_told {
            chain.damage.push((after(before), Sequence(synced.0 + 1)));
        }
        chain.is_clean = chain.cut == 0 && before.is_some_and(|group| group.header.flags & CLEAN != 0);
        chain
    }
}

/// Bytes between a group and one of the same segment.
fn gap(before: Option<Seen>, sequence: Sequence) -> u64 {
    let same = before.filter(|before| before.header.sequence.segment() == sequence.segment());
    same.map_or(0, |before| sequence.position().saturating_sub(before.end()))
}

/// The place behind a group.
fn after(group: Option<Seen>) -> Sequence {
    group.map_or(Sequence::default(), |group| {
        // A full segment's end would be the next segment's beginning, which is as good a name for the place.
        Sequence(Sequence::at(group.header.sequence.segment(), 0).0 + group.end() / GRAIN)
    })
}
