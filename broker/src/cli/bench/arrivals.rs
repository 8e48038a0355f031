//! How evenly connections came.

use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// How many had come, at moments in order.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    seen: Vec<(Duration, usize)>,
}

impl Arrivals {
    pub(super) fn record(&mut self, at: Duration, count: usize) {
        self.seen.push((at, count));
    }

    /// How many came within the worst second, and a second on average over the time they came in, at least one second:
    /// whoever comes within one second has come evenly. A second may begin at any moment that was looked at.
    pub(super) fn worst_and_mean(&self) -> (f64, f64) {
        let (Some(&(_, before)), Some(&(_, all))) = (self.seen.first(), self.seen.last()) else { return (0.0, 0.0) };
        let (mut worst, mut end) = (0, 0);
        for &(from, count) in &self.seen {
            while end + 1 < self.seen.len() && self.seen[end + 1].0 <= from + SECOND {
                end += 1;
            }
            worst = worst.max(self.seen[end].1 - count);
        }
        // From the last moment with nobody to the first with all.
        let begin = self.seen.iter().rev().find(|(_, count)| *count == before).map_or(Duration::ZERO, |seen| seen.0);
        let end = self.seen.iter().find(|(_, count)| *count == all).map_or(Duration::ZERO, |seen| seen.0);
        let span = end.saturating_sub(begin).max(SECOND);
        (worst as f64, (all - before) as f64 / span.as_secs_f64())
    }
}
