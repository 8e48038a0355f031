//! Which pages of a file have their place on the disk.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() || self.missing(range.clone()) == 0 {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((&first, &last)) = self.0.range(..=end).next_back().filter(|(_, last)| **last >= start) {
            self.0.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.0.insert(start, end);
    }

    pub(super) fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&first, &last)) = self.0.range(..range.end).next_back().filter(|(_, last)| **last > range.start)
        {
            self.0.remove(&first);
            if last > range.end {
                self.0.insert(range.end, last);
            }
            if first < range.start {
                self.0.insert(first, range.start);
            }
        }
    }

    /// How many of a range are not in it.
    pub(super) fn missing(&self, range: Range<u64>) -> u64 {
        let covered: u64 = self
            .0
            .range(..range.end)
            .rev()
            .take_while(|(_, last)| **last > range.start)
            .map(|(first, last)| (*last).min(range.end) - (*first).max(range.start))
            .sum();
        (range.end - range.start) - covered
    }

    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first).sum()
    }
}
