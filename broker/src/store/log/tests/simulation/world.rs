//! One store, its clients, its disk and its bad luck: each step is chosen by the seed.
//!
//! What has to survive is counted in batches, in the order in which they were appended:
//!
//! ```text
//!  written   every batch up to one that was confirmed `os` or better, or of which an `os` message was read: survives a kill
//!  synced    every batch up to one that was confirmed `disk`, or of which a `disk` message was read, or that was written when
//!            a sync round began that ended well: survives a power cut
//! ```
//! So what `os` may lose to a power cut is what was written after the last round that ended well had begun.

use super::load::Load;
use super::model::{Model, number};
use crate::store::log::certainty::Round;
use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::Disk;
use crate::store::log::disk::simulated::{Operation, Simulated};
use crate::store::log::write::{Writing, Wrote};
use crate::store::{Batch, Durability, Limits, Offset, Op, Placed, Receipt, StoreError, TopicId};
use bytes::Bytes;
use fastrand::Rng;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

/// See the module.
pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) disk: Simulated,
    pub(super) settings: Settings,
    pub(super) core: Option<Core>,
    pub(super) load: Load,
    pub(super) faults: Faults,
    /// After all batches that were taken.
    pub(super) model: Model,
    /// After those that are not in `pending` any more.
    pub(super) base: Model,
    pub(super) pending: VecDeque<Pending>,
    /// The number of the first one in `pending`.
    pub(super) first: usize,
    pub(super) written: usize,
    pub(super) synced: usize,
    /// What somebody may have seen at an offset.
    pub(super) seen: HashMap<(TopicId, Offset), Bytes>,
    /// The batch a message came with.
    pub(super) places: HashMap<(TopicId, Offset), usize>,
    pub(super) writing: Option<(Writing, Option<io::Result<()>>)>,
    /// With what is synced once it has ended well.
    pub(super) round: Option<(Round, Option<io::Result<()>>, usize)>,
    pub(super) clock: u64,
    pub(super) uptime: u64,
    pub(super) is_closing: bool,
    /// The last words are certain.
    pub(super) is_closed: bool,
    /// An error of the disk may come.
    pub(super) is_faulty: bool,
    pub(super) is_traced: bool,
}

pub(super) struct Pending {
    pub(super) batch: Batch,
    pub(super) placed: Vec<Placed>,
    pub(super) receipt: Receipt,
    pub(super) outcome: Option<Result<Durability, StoreError>>,
}

/// What a seed's disk does.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    /// Operations of a life until it ends, at most.
    pub(super) crash_within: u64,
    pub(super) errors: bool,
    pub(super) full: bool,
    /// Restarts are power cuts, of a hundred.
    pub(super) power: u8,
    /// The folder is kept, and not more written and synced, of a hundred.
    pub(super) busy: u8,
}

macro_rules! trace {
    ($world:expr, $($words:tt)*) => { if $world.is_traced { println!($($words)*); } };
}

pub(super) use trace;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let settings = Settings { seed: rng.u64(..), ..super::super::support::settings() };
        let faults = Faults {
            crash_within: [20, 60, 200, 600, 2000][rng.usize(..5)],
            errors: rng.u8(..3) == 0,
            full: rng.u8(..5) == 0,
            power: [0, 50, 80, 100][rng.usize(..4)],
            busy: [100, 100, 40, 10][rng.usize(..4)],
        };
        let load = Load::draw(&mut rng);
        let watermark = if faults.full { 64 << 10 } else { 0 };
        let (unsealed, indexed) = [(0, 0), (0, 0), (1, 10_000), (6, 10_000), (16, 10_000), (6, 400)][rng.usize(..6)];
        let settings = Settings { watermark, unsealed, indexed, ..settings };
        Self {
            disk: Simulated::new(rng.u64(..)),
            rng,
            settings,
            core: None,
            load,
            faults,
            model: Model::default(),
            base: Model::default(),
            pending: VecDeque::new(),
            first: 0,
            written: 0,
            synced: 0,
            seen: HashMap::new(),
            places: HashMap::new(),
            writing: None,
            round: None,
            clock: 1_000_000,
            uptime: 0,
            is_closing: false,
            is_closed: false,
            is_faulty: false,
            is_traced: false,
        }
    }

    /// Some lives, one after the other.
    pub(super) fn run(&mut self) {
        trace!(self, "{:?} {:?}", self.faults, self.load);
        let core = Core::open(Arc::new(self.disk.clone()), self.settings.clone()).expect("an empty folder opens");
        self.core = Some(core);
        for left in (0..self.rng.usize(2..7)).rev() {
            self.live();
            self.restart(left > 0);
        }
        self.settle();
        self.check_disk_use();
        self.read_everything();
    }

    pub(super) fn core(&self) -> &Core {
        self.core.as_ref().expect("it runs")
    }

    /// One life of the store, to its end.
    fn live(&mut self) {
        let steps = [5, 40, 150, 400][self.rng.usize(..4)];
        if self.rng.u8(..3) > 0 {
            let operations = self.rng.u64(1..=self.faults.crash_within);
            trace!(self, "crash after {operations} operations");
            self.disk.crash_after(operations);
            self.is_faulty = true;
        }
        let mut left = steps;
        while left > 0 {
            left -= 1;
            self.step();
            if self.core().is_poisoned() {
                left = left.min(4);
            }
        }
        if self.rng.u8(..5) == 0 {
            self.settle();
        }
        if self.rng.u8(..4) == 0 {
            self.close();
        }
    }

    pub(super) fn step(&mut self) {
        match self.rng.u8(..100) {
            0..35 => self.append(),
            35..52 => self.write(),
            52..66 => self.sync(),
            66..84 if self.rng.u8(..100) < self.faults.busy => self.keep(),
            66..75 => self.write(),
            75..84 => self.sync(),
            84..86 => self.mark(),
            86..98 => self.read(),
            98 => self.watch_space(),
            _ => self.fault(),
        }
        self.hear();
    }

    fn append(&mut self) {
        self.clock = (self.clock + self.rng.u64(..20)).saturating_sub(self.rng.u64(..5));
        let core = self.core.as_ref().expect("it runs");
        let fresh = || core.front.lock().state.fresh_id();
        let (batch, asked) = self.load.batch(&mut self.rng, &self.model, self.clock, fresh);
        let ticket = match core.append(&batch, asked) {
            Ok(ticket) => ticket,
            Err(StoreError::Failed(_)) if core.is_poisoned() => return,
            Err(StoreError::Closed) if self.is_closing => return,
            Err(StoreError::Full { .. }) if self.faults.full => return,
            Err(error) => panic!("{batch:?} is refused: {error}"),
        };
        let number = self.first + self.pending.len();
        trace!(self, "append {number} {asked:?} {} -> {:?}", brief(&batch), ticket.placed);
        self.check_places(&batch, &ticket.placed, number);
        self.model.apply(&batch, &ticket.placed);
        self.pending.push_back(Pending { batch, placed: ticket.placed, receipt: ticket.receipt, outcome: None });
    }

    /// Offsets grow and are given once; what comes twice is known.
    fn check_places(&mut self, batch: &Batch, placed: &[Placed], nth: usize) {
        let mut heads: HashMap<TopicId, Offset> = HashMap::new();
        for (publish, placed) in publishes(batch).zip(placed) {
            let topic = &self.model.topics[&publish.topic];
            let head = heads.entry(publish.topic).or_insert(topic.head);
            match (publish.dedup.and_then(|dedup| topic.duplicate(dedup)), placed) {
                (Some(known), Placed::Duplicate(offset)) => assert_eq!(known, *offset, "it was elsewhere"),
                (None, Placed::At(offset)) => {
                    assert_eq!(offset, head, "messages of {:?} are placed one after the other", publish.topic);
                    *head += 1;
                    let before = self.seen.get(&(publish.topic, *offset)).map(|content| number(content));
                    assert_eq!(before, None, "{offset} of {:?} is given twice", publish.topic);
                    self.places.insert((publish.topic, *offset), nth);
                }
                (known, placed) => panic!("{:?} is known as {known:?} and was placed {placed:?}", publish.dedup),
            }
        }
    }

    fn write(&mut self) {
        match self.writing.take() {
            None => {
                let core = self.core();
                let (wrote, writing) = core.begin_write(&mut core.writer.lock());
                trace!(self, "begin write: {wrote:?}");
                if let Some(writing) = writing {
                    self.writing = Some((writing, None));
                    if self.rng.u8(..3) > 0 {
                        self.write();
                        self.write();
                    }
                }
            }
            Some((writing, None)) => {
                let result = writing.run();
                trace!(self, "run write: {result:?}");
                self.writing = Some((writing, Some(result)));
            }
            Some((writing, Some(result))) => {
                trace!(self, "end write");
                self.core().end_write(writing, result);
            }
        }
    }

    fn sync(&mut self) {
        match self.round.take() {
            None => {
                if let Some(round) = self.core().begin_sync() {
                    trace!(self, "begin sync: covers {}", round.covers);
                    self.round = Some((round, None, self.written));
                    if self.rng.u8(..3) == 0 {
                        self.sync();
                        self.sync();
                    }
                }
            }
            Some((round, None, covers)) => {
                let result = round.run();
                trace!(self, "run sync: {result:?}");
                self.round = Some((round, Some(result), covers));
            }
            Some((round, Some(result), covers)) => {
                let is_good = result.is_ok() && !self.core().is_poisoned();
                trace!(self, "end sync");
                self.core().end_sync(&round, result);
                if is_good {
                    self.synced = self.synced.max(covers);
                }
            }
        }
    }

    fn keep(&mut self) {
        self.uptime += [0, 1, 100, 3_000, 11_000][self.rng.usize(..5)];
        for _ in 0..[1, 1, 1, 10][self.rng.usize(..4)] {
            let is_done = self.core().keep(self.uptime);
            trace!(self, "keep: {is_done}");
            if !is_done {
                return;
            }
        }
    }

    fn mark(&mut self) {
        if self.writing.is_none() {
            let is_done = self.core().mark();
            trace!(self, "mark: {is_done}");
        }
    }

    fn watch_space(&mut self) {
        self.core().watch_space(None);
    }

    /// The disk begins to fail, or has room or none.
    fn fault(&mut self) {
        if self.faults.full {
            let used: u64 = self.disk.list().unwrap_or_default().iter().map(|(_, len)| len).sum();
            let capacity = self.rng.bool().then(|| used + self.rng.u64(..200 << 10));
            trace!(self, "capacity: {capacity:?} of which {used} are used");
            self.disk.set_capacity(capacity);
        }
        if self.faults.errors {
            let operations =
                [Operation::Write, Operation::Sync, Operation::SyncDir, Operation::Create, Operation::Remove];
            let operation = operations[self.rng.usize(..operations.len())];
            let prefix = ["", "segment", "sealed", "snapshot"][self.rng.usize(..4)];
            trace!(self, "{operation:?} of {prefix} fails once");
            self.disk.fail(operation, prefix, Some(1));
            self.is_faulty = true;
        }
    }

    /// Takes the receipts that have come.
    fn hear(&mut self) {
        self.core().answer();
        for (nth, pending) in self.pending.iter_mut().enumerate().filter(|(_, pending)| pending.outcome.is_none()) {
            let Some(outcome) = pending.receipt.try_get() else { continue };
            if self.is_traced {
                println!("receipt of {}: {outcome:?}", self.first + nth);
            }
            let up_to = self.first + nth + 1;
            match &outcome {
                Ok(Durability::Disk) => self.synced = self.synced.max(up_to),
                Ok(Durability::Os) => self.written = self.written.max(up_to),
                Ok(Durability::Memory) => {}
                Err(StoreError::Failed(_)) if self.is_faulty => {}
                Err(error) => panic!("batch {} is not confirmed: {error}", up_to - 1),
            }
            self.written = self.written.max(self.synced);
            if outcome.is_ok() {
                for (publish, placed) in publishes(&pending.batch).zip(&pending.placed) {
                    if let Placed::At(offset) = placed {
                        self.seen.insert((publish.topic, *offset), publish.content.clone());
                    }
                }
            }
            pending.outcome = Some(outcome);
        }
        self.fold();
    }

    /// What survives anything need not be kept as batches.
    fn fold(&mut self) {
        while self.first < self.synced && self.pending.front().is_some_and(|pending| pending.outcome.is_some()) {
            let Some(pending) = self.pending.pop_front() else { return };
            self.base.apply(&pending.batch, &pending.placed);
            self.first += 1;
        }
    }

    /// Reads a page and holds it against the model.
    fn read(&mut self) {
        let count = self.model.topics.len();
        if count == 0 {
            return;
        }
        let nth = self.rng.usize(..count);
        let (&topic, state) = self.model.topics.iter().nth(nth).expect("there are more");
        let first = state.messages.keys().next().copied().unwrap_or(state.head);
        let from = if self.rng.bool() { first } else { self.rng.u64(first..=state.head + 1) };
        let limits = Limits { messages: self.rng.usize(..12), bytes: self.rng.usize(..6000) };
        self.read_page(topic, from, limits);
    }

    /// Returns where to go on.
    fn read_page(&mut self, topic: TopicId, from: Offset, limits: Limits) -> Option<Offset> {
        let page = match self.core().read(topic, from, limits) {
            Ok(page) => page,
            Err(StoreError::Unreadable(_)) if self.is_faulty => return None,
            Err(error) => panic!("{topic:?} cannot be read: {error}"),
        };
        let found: Vec<_> = page.messages.iter().map(|message| (message.offset, number(&message.content))).collect();
        trace!(self, "read {topic:?} from {from} {limits:?}: {found:?}, next {}", page.next);
        assert!(page.damaged.is_empty(), "nothing is damaged, and {:?} of {topic:?} are said to be", page.damaged);
        let state = &self.model.topics[&topic];
        let durability = state.durability();
        let is_there = |from, to| state.messages.range(from..to).map(|(offset, content)| (*offset, number(content)));
        let expected: Vec<_> = if from < page.next { is_there(from, page.next).collect() } else { Vec::new() };
        assert_eq!(found, expected, "{topic:?} from {from} to {}", page.next);
        for message in &page.messages {
            assert_eq!(message.content, state.messages[&message.offset], "{} of {topic:?}", message.offset);
        }
        if page.next <= from {
            let missing = is_there(from, Offset::MAX).find(|(offset, _)| self.seen.contains_key(&(topic, *offset)));
            assert_eq!(missing, None, "the reader of {topic:?} at {from} does not get what is confirmed");
        }
        for message in page.messages {
            let Some(&nth) = self.places.get(&(topic, message.offset)) else { continue };
            match durability {
                Durability::Disk => {
                    let outcome = nth.checked_sub(self.first).map(|nth| self.pending[nth].outcome.clone());
                    let is_confirmed = outcome.is_none_or(|outcome| outcome == Some(Ok(Durability::Disk)));
                    assert!(is_confirmed, "{} of {topic:?} can be read before it is confirmed", message.offset);
                    self.synced = self.synced.max(nth + 1);
                }
                Durability::Os => self.written = self.written.max(nth + 1),
                Durability::Memory => {}
            }
            self.written = self.written.max(self.synced);
            self.seen.insert((topic, message.offset), message.content);
        }
        Some(page.next)
    }

    fn read_everything(&mut self) {
        for topic in self.model.topics.keys().copied().collect::<Vec<_>>() {
            let mut from = 0;
            while let Some(next) = self.read_page(topic, from, Limits { messages: 50, bytes: 1 << 20 }) {
                if next <= from {
                    break;
                }
                from = next;
            }
        }
    }

    /// Ends what is begun, and goes on until nothing is left to do.
    fn settle(&mut self) {
        self.disk.set_capacity(None);
        self.core().watch_space(None);
        while self.writing.is_some() {
            self.write();
        }
        while self.round.is_some() {
            self.sync();
        }
        for _ in 0..300 {
            let core = self.core();
            let mut is_idle = core.write() == Wrote::Idle;
            let covers = self.written;
            self.hear();
            let covers = covers.max(self.written);
            let is_synced = self.core().sync();
            if is_synced && !self.core().is_poisoned() {
                self.synced = self.synced.max(covers);
            }
            is_idle &= !is_synced;
            self.uptime += 1;
            is_idle &= !self.core().keep(self.uptime);
            self.hear();
            if is_idle {
                trace!(self, "settled");
                return;
            }
        }
        panic!("the engine does not come to rest: {:?}, {:?}", self.disk.names(), self.core().keeper.lock());
    }

    /// A clean stop: the last words are written and synced.
    fn close(&mut self) {
        trace!(self, "close");
        self.is_closing = true;
        let Some(mut last) = self.core().close() else { return };
        while self.writing.is_some() {
            self.write();
        }
        for _ in 0..50 {
            if self.core().write() == Wrote::Blocked {
                self.core().keep(self.uptime);
            }
        }
        while self.round.is_some() {
            self.sync();
        }
        self.core().sync();
        self.hear();
        match last.try_get() {
            Some(Ok(_)) => {
                self.synced = self.first + self.pending.len();
                self.is_closed = true;
                if self.rng.bool() {
                    self.core().mark();
                }
            }
            other => assert!(self.is_faulty || self.faults.full, "it does not close: {other:?}"),
        }
        trace!(self, "closed cleanly: {}", self.is_closed);
    }

    /// Rule 9, after the load has stopped.
    fn check_disk_use(&self) {
        let files = self.disk.list().expect("the disk works");
        let used: u64 = files.iter().map(|(_, len)| len).sum();
        let snapshots: u64 = files.iter().filter(|(name, _)| name.starts_with("snapshot")).map(|(_, len)| len).sum();
        let sealed = files.iter().filter(|(name, _)| name.starts_with("sealed")).count() as u64;
        let live = self.model.live_bytes();
        // A sealed file takes eight pages beside its records; that is nothing beside a real segment.
        let most = 2 * live + 8 * self.settings.segment + 2 * snapshots + sealed * (32 << 10);
        assert!(used <= most, "{used} bytes are used for {live}: {files:?}");
    }
}

fn publishes(batch: &Batch) -> impl Iterator<Item = &crate::store::Publish> {
    batch.ops.iter().filter_map(|op| match op {
        Op::Publish(publish) => Some(publish),
        _ => None,
    })
}

fn brief(batch: &Batch) -> String {
    let of = |op: &Op| match op {
        Op::Publish(publish) => format!(
            "message {} of {} bytes to {}{}",
            number(&publish.content),
            publish.content.len(),
            publish.topic.0,
            publish.dedup.map_or_else(String::new, |dedup| format!(" {dedup:?}"))
        ),
        other => format!("{other:?}"),
    };
    batch.ops.iter().map(of).collect::<Vec<_>>().join(", ")
}
