//! What is written, what of it is synced, and who waits for that: rule 1, without the disk.

use super::disk::File;
use super::front::{Shown, Waiter};
use super::sequence::Sequence;
use crate::store::log::mutant::{self, Mutant};
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub(crate) struct Certainty {
    /// The last group that was written.
    written: Sequence,
    /// Every file that holds a group up to this one was synced after that was written.
    synced: Sequence,
    /// Files that were written to since they were last synced, in order.
    dirty: Vec<(u64, Arc<dyn File>)>,
    waiting: VecDeque<Waiting>,
    is_syncing: bool,
    is_stopped: bool,
    is_urgent: bool,
    is_soon: bool,
}

/// What happens once a group is synced.
#[derive(Debug)]
struct Waiting {
    group: Sequence,
    waiters: Vec<Waiter>,
    shown: Shown,
    reserved: Shown,
}

/// One round: what has to be synced, and what is certain then.
#[derive(Debug)]
pub(crate) struct Round {
    files: Vec<(u64, Arc<dyn File>)>,
    /// The last group it covers.
    pub covers: Sequence,
}

impl Round {
    /// Syncs the files: all of them, and side by side if there are two.
    pub(crate) fn run(&self) -> std::io::Result<()> {
        let old = self.files.len() - 1;
        let skipped = if mutant::is_on(Mutant::OldFileNotSynced) { old } else { 0 };
        self.files[skipped..].iter().try_for_each(|(_, file)| file.sync())
    }
}

/// What a round brought.
#[derive(Debug, Default)]
pub(crate) struct Certain {
    pub waiters: Vec<Waiter>,
    pub shown: Shown,
    pub reserved: Shown,
}

impl Certainty {
    /// Everything up to `synced` is certain.
    pub(crate) fn new(synced: Sequence) -> Self {
        Self {
            written: synced,
            synced,
            dirty: Vec::new(),
            waiting: VecDeque::new(),
            is_syncing: false,
            is_stopped: false,
            is_urgent: false,
            is_soon: false,
        }
    }

    pub(crate) fn synced(&self) -> Sequence {
        self.synced
    }

    pub(crate) fn written(&self) -> Sequence {
        self.written
    }

    /// A group was written to a file. The waiters come back if nothing is ever certain any more.
    pub(crate) fn wrote(
        &mut self,
        group: Sequence,
        file: &Arc<dyn File>,
        is_mark: bool,
        waiters: Vec<Waiter>,
        shown: Shown,
        reserved: Shown,
    ) -> Vec<Waiter> {
        if self.is_stopped {
            return waiters;
        }
        self.written = group;
        if self.dirty.last().is_none_or(|(segment, _)| *segment != group.segment()) {
            self.dirty.push((group.segment(), file.clone()));
        }
        self.is_urgent |= !waiters.is_empty();
        self.is_soon |= !is_mark;
        if !(waiters.is_empty() && shown.is_empty() && reserved.is_empty()) {
            self.waiting.push_back(Waiting { group, waiters, shown, reserved });
        }
        Vec::new()
    }

    /// Somebody waits for a sync.
    pub(crate) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// More is written than a mark, and to be synced within 100 ms.
    pub(crate) fn is_soon(&self) -> bool {
        self.is_soon
    }

    /// Begins a round, if there is anything to sync and none is running.
    pub(crate) fn begin(&mut self) -> Option<Round> {
        if self.is_syncing || self.is_stopped || self.dirty.is_empty() {
            return None;
        }
        self.is_syncing = true;
        (self.is_urgent, self.is_soon) = (false, false);
        Some(Round { files: std::mem::take(&mut self.dirty), covers: self.written })
    }

    /// A round has ended well.
    pub(crate) fn end(&mut self, round: &Round) -> Certain {
        self.is_syncing = false;
        let mut certain = Certain::default();
        if self.is_stopped {
            return certain;
        }
        let covers = if mutant::is_on(Mutant::LateRound) { self.written } else { round.covers };
        self.synced = covers;
        while self.waiting.front().is_some_and(|waiting| waiting.group <= covers) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            certain.waiters.extend(waiting.waiters);
            certain.shown.extend(waiting.shown);
            certain.reserved.extend(waiting.reserved);
        }
        certain
    }

    /// No round ends well any more.
    pub(crate) fn stop(&mut self) -> Vec<Waiter> {
        self.is_stopped = true;
        (self.is_urgent, self.is_soon) = (false, false);
        self.waiting.drain(..).flat_map(|waiting| waiting.waiters).collect()
    }
}
