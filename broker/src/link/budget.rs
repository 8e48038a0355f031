//! One byte budget for everything the broker holds for others, and whom to end when it is exceeded.
//!
//! Links charge what stays queued after a flush, in steps of [`STEP`]. Over the limit one task frees down to 7/8: it
//! closes who stalls, heaviest first; only then it ends streams of links that read, never one that would free nothing.
//! Above 9/8 nothing is read until it has.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Bytes charged at a time.
const STEP: usize = 64 * 1024;
/// A link that holds less is not charged.
const FREE: usize = 4 * 1024;

/// What a link that holds so many bytes is charged.
pub(crate) fn charge(held: usize) -> usize {
    if held <= FREE { 0 } else { held.next_multiple_of(STEP) }
}

#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    over: Notify,
    freed: Notify,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), over: Notify::new(), freed: Notify::new() }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Changes what one link is charged.
    pub(crate) fn change(&self, from: usize, to: usize) {
        if to > from {
            let used = self.used.fetch_add(to - from, Ordering::Relaxed) + (to - from);
            if used > self.limit {
                self.over.notify_one();
            }
        } else if from > to {
            let before = self.used.fetch_sub(from - to, Ordering::Relaxed);
            if self.is_above(before) && !self.is_above(before - (from - to)) {
                self.freed.notify_waiters();
            }
        }
    }

    /// More than 9/8 of the limit are used: nothing is read.
    pub(crate) fn is_choked(&self) -> bool {
        self.is_above(self.used())
    }

    fn is_above(&self, used: usize) -> bool {
        used > self.limit / 8 * 9
    }

    /// Bytes to free so that 7/8 of the limit are used; none while the limit is kept.
    pub(crate) fn excess(&self) -> usize {
        self.used().saturating_sub(self.limit / 8 * 7)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit
    }

    /// Waits until the limit is exceeded.
    pub(crate) async fn exceeded(&self) {
        while !self.is_over() {
            self.over.notified().await;
        }
    }

    /// Waits while more than 9/8 of the limit are used.
    pub(crate) async fn room(&self) {
        while self.is_choked() {
            let freed = self.freed.notified();
            if !self.is_choked() {
                return;
            }
            freed.await;
        }
    }
}

/// What one link holds, as the freeing task sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Which link.
    pub link: u64,
    /// Bytes charged for it.
    pub weight: usize,
    /// It takes nothing, or its unfinished frame does not grow.
    pub is_stalled: bool,
}

/// The links to close, heaviest first, until `excess` is freed; and what is still to be freed by ending streams.
pub(crate) fn links_to_close(mut loads: Vec<Load>, excess: usize) -> (Vec<u64>, usize) {
    loads.retain(|load| load.is_stalled && load.weight > 0);
    loads.sort_by_key(|load| std::cmp::Reverse(load.weight));
    let mut left = excess;
    let mut victims = Vec::new();
    for load in loads {
        if left == 0 {
            break;
        }
        left = left.saturating_sub(load.weight);
        victims.push(load.link);
    }
    (victims, left)
}

/// The streams of one link to end, heaviest first, until `excess` is freed.
pub(crate) fn streams_to_end<S: Copy>(mut weights: Vec<(S, usize)>, excess: usize) -> Vec<S> {
    weights.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    let mut left = excess;
    weights
        .into_iter()
        .take_while(|(_, weight)| {
            let take = left > 0 && *weight > 0;
            left = left.saturating_sub(*weight);
            take
        })
        .map(|(stream, _)| stream)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalled_links_go_first_and_heaviest_first() {
        let load = |link, weight, is_stalled| Load { link, weight, is_stalled };
        let loads =
            vec![load(1, 10, true), load(2, 1_000, false), load(3, 50, true), load(4, 0, true), load(5, 30, true)];
        assert_eq!(links_to_close(loads.clone(), 60), (vec![3, 5], 0));
        assert_eq!(links_to_close(loads.clone(), 500), (vec![3, 5, 1], 410));
        assert_eq!(links_to_close(loads, 0), (vec![], 0));
    }

    #[test]
    fn no_stream_is_ended_that_would_free_nothing() {
        assert_eq!(streams_to_end(vec![('a', 5), ('b', 9), ('c', 0)], 100), ['b', 'a']);
        assert_eq!(streams_to_end(vec![('a', 5), ('b', 9)], 9), ['b']);
        assert_eq!(streams_to_end(vec![('a', 5)], 0), []);
    }

    #[tokio::test]
    async fn the_budget_tells_when_it_is_exceeded_and_when_there_is_room() {
        let budget = Budget::new(1000);
        budget.change(0, 1200);
        budget.exceeded().await;
        assert_eq!(budget.excess(), 1200 - 875);
        let waiting = budget.room();
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        budget.change(1200, 800);
        waiting.await;
        assert!(!budget.is_over());
    }

    #[test]
    fn small_holdings_are_free_and_others_go_in_steps() {
        assert_eq!(charge(0), 0);
        assert_eq!(charge(FREE), 0);
        assert_eq!(charge(FREE + 1), STEP);
        assert_eq!(charge(STEP + 1), 2 * STEP);
    }
}
