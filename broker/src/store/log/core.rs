//! The running engine without its threads: every step is a function that somebody calls.
//!
//! ```text
//!            append                    write                      sync
//!  publisher ------> front (a mutex) -------> segment (the file) ------> certain
//!                      |                         |                         |
//!                      state, receipts     catalog: where it is     receipts, what may be read
//! ```
//! Invariant: no lock is held over a call of the disk but those that only one step ever takes (`Writer`, `Keeper`); locks are
//! taken in the order front, catalog, certainty, and each is let go before the next is taken.

use super::catalog::Catalog;
use super::certainty::Certainty;
use super::disk::Disk;
use super::front::{Appended, Front, Waiter};
use super::group::Recovery;
use super::keeper::Keeper;
use super::ranges::Ranges;
use super::sealed::Directories;
use super::segment::Segment;
use super::sequence::{MAX_SEGMENT, Sequence};
use super::unread::Unread;
use crate::store::{Batch, Durability, Offset, Op, Receipt, StoreError, Ticket, Tickets, TopicId};
use hashbrown::HashSet;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Sizes and times of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of a segment: a multiple of 4 KiB, at most 64 MiB.
    pub segment: u64,
    /// Bytes of a commit group, at most a quarter of a segment.
    pub group_max: usize,
    /// Free bytes of the volume below which nothing is published.
    pub watermark: u64,
    /// Spare segments kept for settling, rewriting and recovery on a full disk.
    pub spares: usize,
    /// Bytes of recent groups that are kept in memory for those who read at the end.
    pub recent: usize,
    /// Bytes of directories of sealed files that are kept in memory.
    pub directories: usize,
    /// Milliseconds between two snapshots, at least.
    pub snapshot_every: u64,
    /// Full segments that may wait for their messages to be given up, before they are sealed.
    pub unsealed: usize,
    /// Bytes of memory's index of what is not sealed, 2 to 3 a message, beyond which none waits. With twice as many publishing
    /// slows.
    pub indexed: usize,
    /// More full segments that may wait to be sealed before publishing slows.
    pub backlog: usize,
    /// Bytes that whoever appends writes itself, if nobody has to wait for a sync: to wake the writer costs more.
    pub at_once: usize,
    /// Where file seeds come from.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment: MAX_SEGMENT,
            group_max: 16 << 20,
            watermark: 512 << 20,
            spares: 3,
            recent: 8 << 20,
            directories: 16 << 20,
            snapshot_every: 1000,
            unsealed: 16,
            indexed: 12 << 20,
            backlog: 4,
            at_once: 64 << 10,
            seed: fastrand::u64(..),
        }
    }
}

/// Figures that are counted on the way.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub groups: AtomicU64,
    pub messages: AtomicU64,
    pub syncs: AtomicU64,
    pub damaged: AtomicU64,
    pub cut: AtomicU64,
    /// Messages that are counted as damaged.
    known: Mutex<HashSet<(TopicId, Offset)>>,
}

/// So many damaged messages are told apart from those that are read again; beyond, no more are counted one by one.
const KNOWN: usize = 65_536;

impl Counts {
    /// Messages were found damaged: each counts once, however often it is read.
    pub(crate) fn found_damaged(&self, topic: TopicId, offsets: &[Offset]) {
        if offsets.is_empty() {
            return;
        }
        let mut known = self.known.lock();
        for offset in offsets {
            if known.len() < KNOWN && known.insert((topic, *offset)) {
                self.damaged.fetch_add(1, Ordering::Relaxed);
                tracing::error!(topic = topic.0, offset, "the bytes of a message are damaged: see `towline fsck`");
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub disk: Arc<dyn Disk>,
    pub settings: Settings,
    pub front: Mutex<Front>,
    pub writer: Mutex<Writer>,
    pub catalog: Mutex<Catalog>,
    pub certainty: Mutex<Certainty>,
    pub keeper: Mutex<Keeper>,
    /// Which sealed files hold a topic; no other lock is taken while this is held.
    pub ranges: Mutex<Ranges>,
    /// The segment that is written after the current one, if it is ready.
    pub next: Mutex<Option<Segment>>,
    pub counts: Counts,
    /// Those who are to be told that what they wait for is certain.
    pub answers: Mutex<Vec<Waiter>>,
    /// There is something to write, or a segment to write it to.
    pub to_write: Signal,
    /// There is something to sync.
    pub to_sync: Signal,
    /// There is something to make ready, or to clean up.
    pub to_keep: Signal,
    /// A step behind the front is done: somebody may wait for less backlog.
    pub sealed: Signal,
    pub directories: Arc<Directories>,
    pub is_poisoned: AtomicBool,
    pub unread: Mutex<Unread>,
    /// Milliseconds the store is open, as far as the keeper has been told.
    pub uptime: AtomicU64,
    /// Segments that end here or before may be sealed: see the keeper.
    pub sealable: AtomicU64,
    /// Groups of the current segment whose sync somebody waits for.
    pub awaited: AtomicU64,
    /// The last group that was written with anything in it: what is given up with it is still to be given back.
    pub changed: AtomicU64,
    /// The next id of a file.
    pub ids: AtomicU64,
    pub seeds: Mutex<fastrand::Rng>,
}

/// Where the next group goes; only the write step takes it.
#[derive(Debug)]
pub(crate) struct Writer {
    pub segment: Segment,
    pub position: u64,
    pub previous: Sequence,
    pub recovery: Recovery,
    /// The last group was nothing but a mark.
    pub is_marked: bool,
    /// Memory for a group to come.
    pub spare: Vec<u8>,
    /// Groups that are left to the write thread, since one of them took long.
    pub left: u32,
}

/// Wakes a thread that waits for work; nobody waits in a simulation.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(crate) fn set(&self) {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            *is_set = true;
            self.changed.notify_one();
        }
    }

    /// Waits until it is set or the time is over, and clears it; true if it was set.
    pub(crate) fn wait(&self, at_most: std::time::Duration) -> bool {
        let mut is_set = self.is_set.lock();
        if !*is_set {
            self.changed.wait_for(&mut is_set, at_most);
        }
        std::mem::take(&mut *is_set)
    }
}

impl Core {
    /// See [`crate::store::Store::append`].
    pub(crate) fn append(&self, batch: &Batch, durability: Durability) -> Result<Ticket, StoreError> {
        let appended = self.front.lock().append(batch, durability);
        let (placed, receipt) = self.appended(appended);
        self.wake(false);
        Ok(Ticket { placed: placed?, receipt })
    }

    /// See [`crate::store::Store::append_each`].
    pub(crate) fn append_each(&self, ops: &[Op], now: u64, durability: Durability) -> Tickets {
        let appended = self.front.lock().append_each(ops, now, durability);
        let (placed, receipt) = self.appended(appended);
        Tickets { placed, receipt }
    }

    fn appended<T>(&self, appended: Appended<T>) -> (T, Receipt) {
        let Appended { placed, receipt, shown } = appended;
        if !shown.is_empty() {
            self.catalog.lock().show(&shown);
        }
        (placed, receipt)
    }

    /// See [`crate::store::Store::commit`].
    pub(crate) fn commit(&self) {
        self.wake(true);
    }

    /// Whoever has something to do does it; who appended writes it, if `is_writing`, it is little and is waited for.
    fn wake(&self, is_writing: bool) {
        let due = std::mem::take(&mut self.front.lock().due);
        if due.syncer {
            self.to_sync.set();
        }
        if due.writer && !(is_writing && self.write_at_once()) {
            self.to_write.set();
        }
    }

    /// A write or a sync has failed: nothing is confirmed any more.
    pub(crate) fn poison(&self, what: &str, error: &std::io::Error) {
        if !self.is_poisoned.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the store has failed: {what}; restart the broker, it recovers what was confirmed");
        }
        let why = StoreError::Failed(format!("{what}: {error}"));
        self.front.lock().stop(&why);
        for waiter in self.certainty.lock().stop() {
            waiter.answer(Err(why.clone()));
        }
    }

    /// Ends the log: nothing is taken any more, and the last group says that it is. Nothing, if it is closed or has failed.
    pub(crate) fn close(&self) -> Option<Receipt> {
        let mut front = self.front.lock();
        if front.stopped.is_some() {
            return None;
        }
        let last = front.close();
        drop(front);
        self.to_sync.set();
        Some(last)
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned.load(Ordering::Acquire)
    }

    /// A file id nobody has had, and a seed.
    pub(crate) fn fresh_file(&self) -> (u64, u64) {
        (self.ids.fetch_add(1, Ordering::Relaxed), self.seeds.lock().u64(..))
    }
}
