//! What has changed since the last record of a group.

use super::hole::Hole;
use crate::store::{Hand, Offset, Progress, Run};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(super) struct Journal {
    /// `next` of the last record.
    from: Offset,
    /// Offsets below it whose hole changed, or is gone.
    touched: BTreeSet<Offset>,
}

impl Journal {
    pub(super) fn new(from: Offset) -> Self {
        Self { from, touched: BTreeSet::new() }
    }

    pub(super) fn touch(&mut self, offset: Offset) {
        if offset < self.from {
            self.touched.insert(offset);
        }
    }

    pub(super) fn is_empty(&self, next: Offset) -> bool {
        self.from == next && self.touched.is_empty()
    }

    pub(super) fn progress(&self, next: Offset, holes: &BTreeMap<Offset, Hole>) -> Option<Progress> {
        if self.is_empty(next) {
            return None;
        }
        let mut progress = Progress { from: self.from, next, handed: Vec::new(), settled: Vec::new() };
        for offset in &self.touched {
            match holes.get(offset) {
                Some(hole) => push_hand(&mut progress.handed, *offset, hole),
                None => push_run(&mut progress.settled, *offset),
            }
        }
        holes.range(self.from..).for_each(|(offset, hole)| push_hand(&mut progress.handed, *offset, hole));
        Some(progress)
    }
}

fn push_hand(hands: &mut Vec<Hand>, offset: Offset, hole: &Hole) {
    let (attempt, due) = hole.recorded();
    match hands.last_mut() {
        Some(last) if last.run.first + last.run.count == offset && (last.attempt, last.due) == (attempt, due) => {
            last.run.count += 1;
        }
        _ => hands.push(Hand { run: Run { first: offset, count: 1 }, attempt, due }),
    }
}

fn push_run(runs: &mut Vec<Run>, offset: Offset) {
    match runs.last_mut() {
        Some(last) if last.first + last.count == offset => last.count += 1,
        _ => runs.push(Run { first: offset, count: 1 }),
    }
}
