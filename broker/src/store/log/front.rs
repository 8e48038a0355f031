//! The open batch: where publishers meet. Offsets are given here, and state changes here.
//!
//! ```text
//!  append --> open --take--> the writer           what is open when the writer comes is one group
//!               | full, or a snapshot is due
//!               v
//!             closed, in order
//! ```
//! Invariant: `state` is what it is after all groups taken, then those closed, then the open one.

use super::group;
use super::reserved::Reserved;
use crate::store::by_topic::ByTopic;
use crate::store::log::mutant::{self, Mutant};
use crate::store::record::Record;
use crate::store::state::{Frozen, State};
use crate::store::{Batch, Durability, Offset, Op, Placed, Receipt, StoreError, Stored, TopicId};
use hashbrown::HashMap;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use tokio::sync::oneshot;

#[cfg(test)]
mod tests;

/// Who waits for a batch.
#[derive(Debug)]
pub(crate) struct Waiter {
    sender: oneshot::Sender<Result<Durability, StoreError>>,
    reached: Durability,
}

impl Waiter {
    pub(crate) fn answer(self, outcome: Result<(), StoreError>) {
        // Who has gone does not want to know.
        let _ = self.sender.send(outcome.map(|()| self.reached));
    }
}

/// Topics and the offset up to which they may be read.
pub(crate) type Shown = Vec<(TopicId, Offset)>;

/// A group that is being filled, and what happens once it is written and once it is synced.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// Room for the header, then records.
    pub bytes: Vec<u8>,
    pub messages: u64,
    pub written: Vec<Waiter>,
    pub shown_written: Shown,
    pub synced: Vec<Waiter>,
    pub shown_synced: Shown,
    /// Reservations that are in force once it is synced.
    pub reserved: Shown,
    /// The state as of this group, if somebody asked for it, and the sealed files that count.
    pub frozen: Option<(Frozen, BTreeSet<u64>)>,
    pub flags: u32,
}

impl Open {
    /// An empty one, in memory that held another one.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        if bytes.len() < bytes.capacity() / 4 {
            // One large group does not keep its memory.
            bytes = Vec::new();
        }
        bytes.clear();
        bytes.resize(group::HEADER, 0);
        Self { bytes, ..Self::default() }
    }

    /// Nothing is in it and nobody waits for it.
    fn is_idle(&self) -> bool {
        self.bytes.len() == group::HEADER && self.synced.is_empty() && self.written.is_empty() && self.frozen.is_none()
    }
}

/// What there is to write.
#[derive(Debug)]
pub(crate) enum Taken {
    Nothing,
    TooLong,
    Group(Box<Open>),
}

/// What an append has to know of a topic.
#[derive(Clone, Copy, Debug)]
struct Known {
    durability: Durability,
    /// If it is weaker than `disk`.
    reserved: Option<Reserved>,
}

/// Bytes of a segment that are kept for snapshots, and for saying which files count, while there is no next one.
const OWN: usize = 4 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Front {
    pub state: State,
    /// Sealed files that count.
    pub files: BTreeSet<u64>,
    /// Why nothing is taken any more.
    pub stopped: Option<StoreError>,
    /// Why no message is taken.
    pub full: Option<StoreError>,
    /// Why no message is taken, and of the rest only what the current segment holds: there is no next one.
    pub spent: Option<StoreError>,
    /// Whom to wake, as nobody was before.
    pub due: Due,
    /// Bytes the current segment had left when the last group was taken.
    room: u64,
    open: Open,
    closed: VecDeque<Open>,
    group_max: usize,
    reserved: ByTopic<Reserved>,
    /// Messages of topics that are kept in memory alone.
    rings: HashMap<TopicId, VecDeque<Stored>>,
}

/// Who has something to do now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Somebody waits until it is written.
    pub writer: bool,
    /// Somebody waits until it is synced.
    pub syncer: bool,
}

/// What a receipt waits for, and what it tells.
#[derive(Debug)]
struct Wait {
    until: Durability,
    reached: Option<Durability>,
}

impl Wait {
    /// Something was added that has to be this durable, or whose offsets have to be synced.
    fn add(&mut self, must_sync: bool, need: Durability) {
        self.until = self.until.max(if must_sync { Durability::Disk } else { need });
        self.reached = Some(self.reached.map_or(need, |reached| reached.min(need)));
    }
}

/// What an append did.
#[derive(Debug)]
pub(crate) struct Appended<T> {
    /// Where it is, or why it is not kept.
    pub placed: T,
    pub receipt: Receipt,
    /// May be read now.
    pub shown: Shown,
}

impl Front {
    pub(crate) fn new(state: State, files: BTreeSet<u64>, group_max: usize) -> Self {
        let reserved = state.topics().into_iter().filter_map(|topic| {
            let certain = state.topic(topic)?.reserved;
            state.durability(topic).filter(|durability| *durability < Durability::Disk)?;
            Some((topic, Reserved::new(certain)))
        });
        Self {
            reserved: reserved.collect(),
            state,
            files,
            stopped: None,
            full: None,
            spent: None,
            due: Due::default(),
            room: 0,
            open: Open::new(Vec::new()),
            closed: VecDeque::new(),
            group_max,
            rings: HashMap::new(),
        }
    }

    /// Adds a batch to the open group.
    pub(crate) fn append(
        &mut self,
        batch: &Batch,
        durability: Durability,
    ) -> Appended<Result<Vec<Placed>, StoreError>> {
        self.receive(durability, |front, shown, wait| {
            let known = batch.ops.first().and_then(|first| front.look(first.topic()));
            if let Some(offsets) = front.add_run(&batch.ops, known, batch.now, durability, shown, wait) {
                return Ok(offsets.map(Placed::At).collect());
            }
            let mut placed = Vec::new();
            front.add(&batch.ops, batch.now, durability, &mut placed, shown, wait)?;
            Ok(placed)
        })
    }

    /// The same of operations of which each is a batch.
    pub(crate) fn append_each(
        &mut self,
        ops: &[Op],
        now: u64,
        durability: Durability,
    ) -> Appended<Vec<Result<Option<Placed>, StoreError>>> {
        self.receive(durability, |front, shown, wait| {
            let mut each = Vec::with_capacity(ops.len());
            // All are looked at before any is added to: of many topics, what is in no cache is waited for together.
            let runs = ops.chunk_by(|a, b| a.topic() == b.topic());
            let runs: Vec<_> = runs.map(|run| (run, front.look(run[0].topic()))).collect();
            for (run, known) in runs {
                if let Some(offsets) = front.add_run(run, known, now, durability, shown, wait) {
                    each.extend(offsets.map(|offset| Ok(Some(Placed::At(offset)))));
                    continue;
                }
                let mut placed = Vec::new();
                each.extend(run.iter().map(|op| {
                    front.add(std::slice::from_ref(op), now, durability, &mut placed, shown, wait)?;
                    Ok(placed.pop())
                }));
            }
            each
        })
    }

    /// Adds messages of one topic with one look at it for all of them, if they can be kept and fit one group. Nothing is done
    /// otherwise, nor if there is something else among them, one may have come before, or they are kept in memory alone.
    fn add_run(
        &mut self,
        run: &[Op],
        known: Option<Known>,
        now: u64,
        asked: Durability,
        shown: &mut Shown,
        wait: &mut Wait,
    ) -> Option<Range<Offset>> {
        let (topic, bytes) = (run.first()?.topic(), size(run));
        let is_open = self.stopped.is_none() && self.spent.is_none() && self.full.is_none();
        let is_run = run.iter().all(|op| op.topic() == topic && op.plain().is_some());
        if !is_open || !is_run || bytes > self.group_max - group::HEADER {
            return None;
        }
        let Known { durability: of_topic, reserved } = known.filter(|known| known.durability > Durability::Memory)?;
        if self.open.bytes.len() + bytes > self.group_max {
            self.close_open();
        }
        let Self { state, open, .. } = self;
        let contents = run.iter().filter_map(Op::plain);
        let offsets = state.append_run(topic, contents, now, &mut |record| record.encode(&mut open.bytes))?;
        self.open.messages += run.len() as u64;
        let is_reserved = self.show_below(topic, offsets.end, of_topic, reserved, now, shown);
        wait.add(!is_reserved, asked.max(of_topic));
        Some(offsets)
    }

    fn look(&self, topic: TopicId) -> Option<Known> {
        let durability = self.state.durability(topic)?;
        let reserved = if durability < Durability::Disk { self.reserved.get(topic).copied() } else { None };
        Some(Known { durability, reserved })
    }

    /// Gives whoever appends a receipt of what it adds.
    fn receive<T>(
        &mut self,
        durability: Durability,
        add: impl FnOnce(&mut Self, &mut Shown, &mut Wait) -> T,
    ) -> Appended<T> {
        let before = (self.is_written_for(), self.is_synced_for());
        let (mut shown, mut wait) = (Shown::new(), Wait { until: Durability::Memory, reached: None });
        let placed = add(self, &mut shown, &mut wait);
        let (sender, receipt) = Receipt::pair();
        let waiter = Waiter { sender, reached: wait.reached.unwrap_or(durability) };
        match wait.until {
            Durability::Disk => self.open.synced.push(waiter),
            Durability::Os => self.open.written.push(waiter),
            Durability::Memory => waiter.answer(Ok(())),
        }
        self.due.writer |= !before.0 && self.is_written_for();
        self.due.syncer |= !before.1 && self.is_synced_for();
        Appended { placed, receipt, shown }
    }

    fn add(
        &mut self,
        ops: &[Op],
        now: u64,
        durability: Durability,
        placed: &mut Vec<Placed>,
        shown: &mut Shown,
        wait: &mut Wait,
    ) -> Result<(), StoreError> {
        let bytes = size(ops);
        self.admit(ops, bytes)?;
        let (need, in_memory) = self.needs(ops, durability);
        if self.open.bytes.len() + bytes > self.group_max {
            self.close_open();
        }
        let Self { state, open, rings, .. } = self;
        state.append(ops, now, placed, &mut |record| match record {
            Record::Message { topic, offset, timestamp, content, .. } if in_memory.contains(topic) => {
                let content = content.to_vec().into();
                rings.entry(*topic).or_default().push_back(Stored { offset: *offset, timestamp: *timestamp, content });
            }
            _ => record.encode(&mut open.bytes),
        });
        let must_sync = self.show(ops, now, placed, shown);
        self.forget(ops);
        wait.add(must_sync, need);
        Ok(())
    }

    /// Whether a batch may come in at all.
    fn admit(&self, ops: &[Op], bytes: usize) -> Result<(), StoreError> {
        if let Some(why) = &self.stopped {
            return Err(why.clone());
        }
        let publishes = || ops.iter().any(|op| matches!(op, Op::Publish(_)));
        if let Some(why) = self.spent.as_ref().filter(|_| publishes() || !self.has_room(bytes)) {
            return Err(why.clone());
        }
        if let Some(why) = self.full.as_ref().filter(|_| publishes()) {
            return Err(why.clone());
        }
        let max = self.group_max - group::HEADER;
        if ops.is_empty() || bytes > max {
            return Err(StoreError::BatchSize { bytes, max });
        }
        self.state.check(ops)
    }

    /// True if the current segment holds so many bytes behind what is open, and behind that some records of the log's own.
    fn has_room(&self, bytes: usize) -> bool {
        let waiting: usize = self.closed.iter().chain([&self.open]).map(|open| open.bytes.len() + group::HEADER).sum();
        (waiting + bytes + OWN) as u64 <= self.room
    }

    /// The durability its receipt waits for, and those of its topics that are kept in memory alone.
    fn needs(&self, ops: &[Op], asked: Durability) -> (Durability, Vec<TopicId>) {
        let (mut need, mut in_memory) = (asked, Vec::new());
        for op in ops {
            let topic = op.topic();
            let of_topic = self.state.durability(topic).unwrap_or_else(|| {
                let created = ops.iter().find_map(|op| match op {
                    Op::PutTopic { topic: created, settings } if *created == topic => Some(settings.durability),
                    _ => None,
                });
                created.unwrap_or_default()
            });
            need = need.max(match op {
                Op::Publish(_) => of_topic,
                Op::Progress { .. } | Op::Skip { .. } => of_topic.max(Durability::Os),
                _ => Durability::Disk,
            });
            if of_topic == Durability::Memory && !in_memory.contains(&topic) {
                in_memory.push(topic);
            }
        }
        (need, in_memory)
    }

    /// Notes from when on the batch's messages may be read, and reserves offsets ahead. True if the receipt has to wait for
    /// a sync, whatever the durability of the topics: offsets were used that are not yet reserved.
    fn show(&mut self, ops: &[Op], time: u64, placed: &[Placed], now: &mut Shown) -> bool {
        let publishes = ops.iter().filter_map(|op| match op {
            Op::Publish(publish) => Some(publish.topic),
            _ => None,
        });
        let mut must_sync = false;
        for (topic, placed) in publishes.zip(placed) {
            let &Placed::At(offset) = placed else {
                // Its original may be on its way only, in this group at the latest.
                must_sync |= self.state.durability(topic) == Some(Durability::Disk);
                continue;
            };
            self.open.messages += 1;
            let durability = self.state.durability(topic).unwrap_or_default();
            must_sync |= !self.show_below(topic, offset + 1, durability, None, time, now);
        }
        must_sync
    }

    /// The same for a topic, whose next message gets this offset. True if that was not used before it was reserved.
    fn show_below(
        &mut self,
        topic: TopicId,
        next: Offset,
        durability: Durability,
        known: Option<Reserved>,
        time: u64,
        now: &mut Shown,
    ) -> bool {
        let is_reserved = durability == Durability::Disk || self.reserve(topic, next - 1, known, time);
        let shown = match durability {
            Durability::Memory if is_reserved => now,
            Durability::Os if is_reserved => &mut self.open.shown_written,
            _ if mutant::is_on(Mutant::VisibleEarly) => &mut self.open.shown_written,
            _ => &mut self.open.shown_synced,
        };
        match shown.last_mut() {
            Some((last, below)) if *last == topic => *below = next,
            _ => shown.push((topic, next)),
        }
        is_reserved
    }

    /// Reserves the next block of a topic's offsets once half of the last one is used; true if this one may be used.
    fn reserve(&mut self, topic: TopicId, offset: Offset, known: Option<Reserved>, now: u64) -> bool {
        if let Some(known) = known.filter(|known| !known.is_due(offset)) {
            return offset < known.certain || mutant::is_on(Mutant::NotReserved);
        }
        let reserved = self.reserved.get_or_insert_with(topic, Reserved::default);
        if reserved.is_due(offset) {
            let asked = reserved.ask(offset, now);
            let record = Record::Reserve { topic, head: 0, reserved: asked };
            self.state.apply(&record);
            record.encode(&mut self.open.bytes);
            self.open.reserved.push((topic, asked));
        }
        offset < reserved.certain || mutant::is_on(Mutant::NotReserved)
    }

    /// Drops what the front itself holds of topics and messages that the batch gives up.
    fn forget(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::DeleteTopic(topic) => {
                    self.rings.remove(topic);
                    self.reserved.remove(*topic);
                }
                Op::Trim { topic, .. } | Op::Progress { topic, .. } if self.rings.contains_key(topic) => {
                    let Self { state, rings, .. } = self;
                    if let Some(ring) = rings.get_mut(topic) {
                        while ring.front().is_some_and(|first| !state.is_live(*topic, first.offset)) {
                            ring.pop_front();
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Messages of a topic that is kept in memory alone.
    pub(crate) fn ring(&self, topic: TopicId) -> Option<&VecDeque<Stored>> {
        self.rings.get(&topic)
    }

    /// Adds a record of the log itself; who waits is answered once it is synced. Nothing comes behind the group that closed
    /// the log.
    pub(crate) fn append_own(&mut self, record: &Record<'_>) -> Receipt {
        let (sender, receipt) = Receipt::pair();
        let waiter = Waiter { sender, reached: Durability::Disk };
        if let Some(why) = &self.stopped {
            waiter.answer(Err(why.clone()));
            return receipt;
        }
        if let Record::Sealed { file, replaces } = record {
            self.files.extend(Some(*file).filter(|file| *file != 0));
            replaces.iter().for_each(|file| {
                self.files.remove(file);
            });
        }
        record.encode(&mut self.open.bytes);
        self.open.synced.push(waiter);
        receipt
    }

    /// The next group goes with the state as of it, if there is one.
    pub(crate) fn freeze(&mut self) {
        if self.stopped.is_some() {
            return;
        }
        self.open.frozen = Some((self.state.freeze(), self.files.clone()));
        self.close_open();
    }

    /// The last group, which says that the store was closed.
    pub(crate) fn close(&mut self) -> Receipt {
        for topic in self.state.topics() {
            // Their messages do not tell.
            if self.state.durability(topic) == Some(Durability::Memory) {
                let head = self.state.head(topic);
                Record::Reserve { topic, head, reserved: head }.encode(&mut self.open.bytes);
            }
        }
        let (sender, receipt) = Receipt::pair();
        self.open.synced.push(Waiter { sender, reached: Durability::Disk });
        self.open.flags = group::CLEAN;
        self.stopped = Some(StoreError::Closed);
        self.close_open();
        receipt
    }

    fn close_open(&mut self) {
        self.closed.push_back(std::mem::replace(&mut self.open, Open::new(Vec::new())));
    }

    /// What is to be written next, if that fits `room` bytes; what comes then is put into `spare`.
    pub(crate) fn take(&mut self, room: u64, spare: &mut Vec<u8>) -> Taken {
        if self.is_idle() {
            return Taken::Nothing;
        }
        let next = self.closed.front().unwrap_or(&self.open);
        let len = next.bytes.len().next_multiple_of(group::HEADER);
        // The last group has a mark behind it.
        let mark = if next.flags & group::CLEAN == 0 { 0 } else { group::HEADER };
        if (len + mark) as u64 > room {
            return Taken::TooLong;
        }
        self.room = room - len as u64;
        let open = self.closed.pop_front();
        Taken::Group(Box::new(
            open.unwrap_or_else(|| std::mem::replace(&mut self.open, Open::new(std::mem::take(spare)))),
        ))
    }

    /// Somebody waits until what is here is written.
    fn is_written_for(&self) -> bool {
        !self.open.written.is_empty() || self.closed.iter().any(|open| !open.written.is_empty())
    }

    /// Somebody waits until what is here is synced.
    pub(crate) fn is_synced_for(&self) -> bool {
        !self.open.synced.is_empty() || self.closed.iter().any(|open| !open.synced.is_empty())
    }

    /// There is more to write than who syncs will write anyway.
    pub(crate) fn is_to_write(&self) -> bool {
        !self.is_idle() && (self.is_written_for() || !self.is_synced_for())
    }

    /// True if there is not more to write, and no snapshot waits for it.
    pub(crate) fn holds_at_most(&self, bytes: usize) -> bool {
        self.closed.is_empty() && self.open.bytes.len() <= bytes && self.open.frozen.is_none()
    }

    /// True if there is nothing to write.
    pub(crate) fn is_idle(&self) -> bool {
        self.closed.is_empty() && self.open.is_idle()
    }

    /// Reservations have become certain.
    pub(crate) fn reserved(&mut self, reserved: &Shown) {
        for (topic, certain) in reserved {
            if let Some(reserved) = self.reserved.get_mut(*topic) {
                reserved.certain = reserved.certain.max(*certain);
            }
        }
    }

    /// Nothing is taken any more; all that waits here is told so.
    pub(crate) fn stop(&mut self, why: &StoreError) {
        self.stopped = Some(why.clone());
        self.close_open();
        for open in self.closed.drain(..) {
            open.written.into_iter().chain(open.synced).for_each(|waiter| waiter.answer(Err(why.clone())));
        }
    }
}

/// At most so many bytes a batch takes in a group.
fn size(ops: &[Op]) -> usize {
    /// More than a record takes beside texts and runs.
    const RECORD: usize = 128;
    let of = |op: &Op| match op {
        Op::Publish(publish) => publish.content.len(),
        Op::Progress { progress, .. } => 40 * progress.handed.len() + 20 * progress.settled.len(),
        Op::PutTopic { settings, .. } => settings.name.len() + settings.rest.len(),
        Op::PutGroup { settings, .. } => settings.len(),
        Op::Put { key, value, .. } => key.len() + value.len(),
        Op::Remove { key, .. } => key.len(),
        _ => 0,
    };
    // A reservation may come with each message.
    ops.iter().map(|op| of(op) + RECORD).sum()
}
