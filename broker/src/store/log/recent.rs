//! The last groups, in memory: for those who read at the end of the log.
//!
//! ```text
//!            oldest          newest
//!  | group | group |......| group | group |     one piece of memory, written round and round: it never grows, and leaves
//!  0                      ^ end           max   no holes between what else is in memory
//! ```

use super::index::Spot;
use super::sequence::Sequence;
use std::collections::VecDeque;
use std::ops::Range;

/// See the module.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Empty until there is something to keep.
    bytes: Vec<u8>,
    max: usize,
    groups: VecDeque<Kept>,
    /// Where the last group ends.
    end: usize,
}

#[derive(Debug)]
struct Kept {
    sequence: Sequence,
    from: usize,
    len: usize,
}

impl Recent {
    /// Keeps so many bytes of groups.
    pub(crate) fn new(max: usize) -> Self {
        Self { bytes: Vec::new(), max, groups: VecDeque::new(), end: 0 }
    }

    /// Takes a group behind all others, in the place of the oldest ones.
    pub(crate) fn push(&mut self, sequence: Sequence, group: &[u8]) {
        let len = group.len();
        if len > self.max {
            return;
        }
        if self.bytes.is_empty() {
            // Memory that is only asked for takes none.
            self.bytes = vec![0; self.max];
        }
        if self.end + len > self.max {
            // What is left at the end stays empty: the groups there are the oldest.
            self.forget(self.end..self.max);
            self.end = 0;
        }
        let taken = self.end..self.end + len;
        self.forget(taken.clone());
        self.groups.push_back(Kept { sequence, from: taken.start, len });
        self.end = taken.end;
        self.bytes[taken].copy_from_slice(group);
    }

    /// Forgets the oldest groups, as far as they begin there.
    fn forget(&mut self, taken: Range<usize>) {
        while self.groups.front().is_some_and(|oldest| taken.contains(&oldest.from)) {
            self.groups.pop_front();
        }
    }

    /// What is kept of a place: the bytes from there to the end of its group.
    pub(crate) fn at(&self, spot: Spot) -> Option<&[u8]> {
        let place = |kept: &Kept| (kept.sequence.segment(), kept.sequence.position() as u32);
        let nth = self.groups.partition_point(|kept| place(kept) <= (spot.segment, spot.position));
        let kept = self.groups.get(nth.checked_sub(1)?)?;
        let at = spot.position.checked_sub(kept.sequence.position() as u32)? as usize;
        let is_in = kept.sequence.segment() == spot.segment && at < kept.len;
        is_in.then(|| &self.bytes[kept.from + at..kept.from + kept.len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_kept_is_what_was_written_last(lens in prop::collection::vec(1usize..40, 1..80)) {
            const MAX: usize = 32 * 64;
            let (mut recent, mut all) = (Recent::new(MAX), Vec::new());
            for (nth, grains) in lens.into_iter().enumerate() {
                let position = all.last().map_or(64, |(position, group): &(u32, Vec<u8>)| position + group.len() as u32);
                let group = vec![nth as u8; grains * 64];
                recent.push(Sequence::at(7, position.into()), &group);
                all.push((position, group));
                let mut is_kept = Vec::new();
                for (position, group) in &all {
                    let at = |segment, more| recent.at(Spot { offset: 0, segment, position: position + more });
                    prop_assert_eq!(at(6, 0), None);
                    prop_assert_eq!(at(8, 0), None);
                    prop_assert_eq!(at(7, 0).is_some(), at(7, 9).is_some());
                    if let (Some(whole), Some(rest)) = (at(7, 0), at(7, 9)) {
                        prop_assert!(whole == &group[..] && rest == &group[9..]);
                    }
                    is_kept.push((at(7, 0).is_some(), group.len()));
                }
                // Of those that are not too large the last ones, and no fewer than half of the memory holds.
                let fitting: Vec<_> = is_kept.iter().filter(|(_, len)| *len <= MAX).collect();
                let kept = fitting.iter().rev().take_while(|(is_kept, _)| *is_kept).count();
                prop_assert!(fitting[..fitting.len() - kept].iter().all(|(is_kept, _)| !is_kept));
                let mut bytes = 0;
                let least = fitting.iter().rev().take_while(|(_, len)| { bytes += len; bytes <= MAX / 2 }).count();
                prop_assert!(kept >= least.max(usize::from(!fitting.is_empty())), "{kept} of {least}");
            }
        }
    }
}
