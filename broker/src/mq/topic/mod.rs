//! One topic: takes messages, and knows its groups.
//!
//! ```text
//!  publish --check--> intake (a mutex) --batch--> the store ---receipt---> confirmed, and its groups are told
//! ```
//! Invariant: messages get their offsets in the order in which they were accepted.

mod accept;
mod awaited;
mod groups;
mod intake;
mod keep;
mod rules;
mod stored;
mod together;

pub(crate) use accept::Incoming;
pub(crate) use intake::MARK;
pub(crate) use stored::Stored;
pub(crate) use together::{Coming, Spare, Together};

use super::dispatcher::Dispatcher;
use super::message::Content;
use super::schedule::Schedule;
use super::settings::{self, GroupRest, TopicRest};
use super::shared::Shared;
use super::{names, refusal};
use crate::store::{
    self, Batch, Limits, Offset, Op, Page, Publish, Receipt, StoreError, Ticket, TopicId, TopicSettings,
};
use bytes::Bytes;
use intake::{GAP, Intake};
use parking_lot::{Mutex, RwLock};
use rules::Rules;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use towline_service_api::builtin::{GroupStatus, QueueError, TopicConfig, TopicStatus};

/// Offsets a recovery leaves out, most often.
const LEFT_OUT: u64 = 65_536;

/// See the module. What every message needs comes first, in two lines of the cache: one that several threads only read, and one
/// with what is locked.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    /// Here, if it has at most 23 bytes; and before the rest, as a comparison loads 32, which are to be of this line.
    pub(crate) name: SmolStr,
    rules: Rules,
    shared: Arc<Shared>,
    groups: RwLock<BTreeMap<String, Arc<Dispatcher>>>,
    intake: Mutex<Intake>,
    rest: RwLock<TopicRest>,
    /// One at a time creates groups.
    creating: tokio::sync::Mutex<()>,
    /// Its messages that are not due yet, once there was one.
    pub(in crate::mq) schedule: tokio::sync::OnceCell<Arc<Schedule>>,
    /// Before then no message from `aged_to` on is too old, milliseconds.
    age_due: AtomicU64,
    aged_to: AtomicU64,
    /// Its messages are given up to here, or further.
    given_up: AtomicU64,
}

impl Topic {
    /// A topic as the store knows it, with its groups.
    pub(crate) fn open(shared: &Arc<Shared>, id: TopicId, settings: &TopicSettings) -> Arc<Self> {
        let rest: TopicRest = serde_json::from_slice(&settings.rest).unwrap_or_default();
        let name = SmolStr::new(&settings.name);
        let view = shared.store.topic(id);
        let (head, ids) = view.map(|view| (view.head, view.groups)).unwrap_or_default();
        let mut groups = BTreeMap::new();
        // Of scheduled messages the schedule is the only reader.
        let ids = if rest.scheduled_of.is_some() { Vec::new() } else { ids };
        for group in ids {
            let Some(view) = shared.store.group(id, group) else { continue };
            let known = view.settings.as_deref().and_then(|rest| serde_json::from_slice::<GroupRest>(rest).ok());
            let rest = known.unwrap_or_else(|| GroupRest { name: format!("lost-{}", group.0), ..GroupRest::default() });
            let name_of_group = rest.name.clone();
            let dispatcher = Dispatcher::open(shared, (name.clone(), id), group, &view, rest);
            groups.insert(name_of_group, Arc::new(dispatcher));
        }
        let entries = |prefix| shared.store.entries(id, prefix);
        let intake = Intake::restore(&entries(MARK), &entries(GAP), head);
        Arc::new(Self {
            id,
            name,
            shared: shared.clone(),
            rules: Rules::new(&rest),
            rest: RwLock::new(rest),
            groups: RwLock::new(groups),
            intake: Mutex::new(intake),
            creating: tokio::sync::Mutex::default(),
            schedule: tokio::sync::OnceCell::new(),
            age_due: AtomicU64::new(0),
            aged_to: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        })
    }

    /// Looks at what is needed to read a message that comes.
    pub(crate) fn touched(self: &Arc<Self>) -> u64 {
        self.id.0 ^ Arc::strong_count(self) as u64
    }

    /// Looks at what is needed to store it.
    fn touched_to_store(self: &Arc<Self>) -> u64 {
        self.touched() ^ u64::from(self.intake.is_locked())
    }

    /// Nobody else uses it.
    pub(crate) fn is_the_brokers(&self) -> bool {
        self.name.starts_with(names::RESERVED)
    }

    /// All of its configuration.
    pub(crate) fn config(&self) -> TopicConfig {
        self.rest.read().config.clone()
    }

    pub(crate) fn rest(&self) -> TopicRest {
        self.rest.read().clone()
    }

    pub(crate) fn durability(&self) -> store::Durability {
        settings::stored(self.rules.durability())
    }

    /// Sets it to something else: in the store first.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn set(&self, rest: TopicRest) -> Result<(), QueueError> {
        let settings = to_settings(&self.name, &rest);
        self.commit(vec![Op::PutTopic { topic: self.id, settings }]).await?;
        self.rules.set(&rest);
        {
            let mut there = self.rest.write();
            *there = rest;
            self.age_due.store(0, Ordering::Relaxed);
            self.aged_to.store(0, Ordering::Relaxed);
        }
        self.intake.lock().look_again();
        Ok(())
    }

    pub(crate) fn status(&self) -> TopicStatus {
        let view = self.shared.store.topic(self.id);
        let (floor, head) = view.map(|view| (view.floor, view.head)).unwrap_or_default();
        let (config, paused) = {
            let rest = self.rest.read();
            (rest.config.clone(), rest.paused)
        };
        let (depth, depth_bytes) = self.depth(&self.intake.lock(), floor);
        let groups = self.groups.read().keys().cloned().collect();
        let topic = self.name.to_string();
        let scheduled = self.scheduled();
        TopicStatus { topic, config, paused, floor, head, depth, depth_bytes, scheduled, groups }
    }

    /// Messages, and about how many bytes, that some group has not settled, or, without groups, all that are kept.
    fn depth(&self, intake: &Intake, floor: Offset) -> (u64, u64) {
        let groups = self.groups.read();
        if groups.is_empty() {
            return (intake.messages_from(floor), intake.bytes_from(floor));
        }
        let places: Vec<_> = groups.values().map(|group| group.place()).collect();
        let messages = places.iter().map(|(next, holes)| intake.messages_from(*next) + holes).max().unwrap_or_default();
        let next = places.iter().map(|(next, _)| *next).min().unwrap_or_default();
        (messages, intake.bytes_from(next))
    }

    /// The groups, by name.
    pub(crate) fn groups(&self) -> Vec<Arc<Dispatcher>> {
        self.groups.read().values().cloned().collect()
    }

    /// How a group is, but for how old its oldest message is.
    pub(crate) fn group_figures(&self, group: &Dispatcher) -> GroupStatus {
        group.status(|next| self.intake.lock().messages_from(next))
    }

    /// After an unclean stop: looks which offsets the recovery has left out before the head. The operation that records it.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn find_gap(&self) -> Result<Option<Op>, QueueError> {
        let one = Limits { messages: 1, bytes: 1 };
        let (head, floor) = (self.head(), self.shared.store.topic(self.id).map_or(0, |view| view.floor));
        // The first offset from which on there is nothing, by halving; most often the recovery left out just so many.
        let (mut low, mut high) = (floor, head);
        let mut probe = high.saturating_sub(LEFT_OUT + 1).max(low);
        while low < high {
            let page = self.read_page(probe, one).await?;
            match page.messages.first() {
                Some(found) => low = found.offset + 1,
                None => high = probe,
            }
            probe = if high == head && low + LEFT_OUT == head { low } else { low + (high - low) / 2 };
        }
        Ok(self.intake.lock().leave_out(self.id, low))
    }

    /// How a group is.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn group_status(&self, group: &Dispatcher) -> Result<GroupStatus, QueueError> {
        let (mut status, oldest) = (self.group_figures(group), group.oldest());
        if status.depth > 0 {
            let page = self.read_page(oldest, Limits { messages: 1, bytes: 1 }).await?;
            status.oldest = page.messages.first().map(|stored| stored.timestamp);
        }
        Ok(status)
    }

    /// Messages that are not due yet.
    pub(crate) fn scheduled(&self) -> u64 {
        self.schedule.get().map_or(0, |schedule| schedule.len())
    }

    /// One group.
    ///
    /// # Errors
    /// `unknown-group`.
    pub(crate) fn group(&self, name: &str) -> Result<Arc<Dispatcher>, QueueError> {
        let unknown = || QueueError::UnknownGroup { topic: self.name.to_string(), group: name.to_owned() };
        self.groups.read().get(name).cloned().ok_or_else(unknown)
    }

    /// It is deleted: nothing is taken any more, and all members end.
    pub(crate) fn end(&self) {
        self.rules.end();
        self.end_schedule();
        let gone = QueueError::UnknownTopic { topic: self.name.to_string() };
        self.groups().iter().for_each(|group| group.end(gone.clone()));
    }

    /// Nothing that waits is published any more.
    pub(crate) fn end_schedule(&self) {
        if let Some(schedule) = self.schedule.get() {
            schedule.end();
        }
    }

    fn check_alive(&self) -> Result<(), QueueError> {
        if self.rules.is_deleted() {
            return Err(QueueError::UnknownTopic { topic: self.name.to_string() });
        }
        Ok(())
    }

    /// Messages have become visible: its groups are told.
    pub(crate) fn published(&self) {
        self.groups.read().values().for_each(|group| group.published());
    }

    /// Appends one message of the broker's own, which no limit binds: `append` gets the operation, to add what belongs to it.
    pub(crate) fn append_with(
        &self,
        content: &Content,
        append: impl FnOnce(Op) -> Result<Option<Ticket>, StoreError>,
    ) -> Result<Option<Receipt>, StoreError> {
        self.append_bytes(content.encode(), append)
    }

    /// The same of a message as it is stored.
    pub(crate) fn append_bytes(
        &self,
        content: Bytes,
        append: impl FnOnce(Op) -> Result<Option<Ticket>, StoreError>,
    ) -> Result<Option<Receipt>, StoreError> {
        let bytes = content.len() as u64;
        let mut intake = self.intake.lock();
        let ticket = append(Op::Publish(Publish { topic: self.id, content, dedup: None }))?;
        Ok(ticket.map(|ticket| {
            if let Some(store::Placed::At(offset)) = ticket.placed.first() {
                self.add(&mut intake, *offset, 1, bytes);
            }
            ticket.receipt
        }))
    }

    /// Messages from an offset on.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn read_page(&self, from: Offset, limits: Limits) -> Result<Page, QueueError> {
        let page = self.shared.store.read(self.id, from, limits).await;
        page.map_err(|error| refusal::of_store(&self.name, error))
    }

    /// Counts what was appended.
    fn add(&self, intake: &mut Intake, first: Offset, messages: u64, bytes: u64) {
        if let Some(mark) = intake.add(self.id, first, messages, bytes, self.rules.kept_bytes()) {
            // If it is lost, the next one says as much.
            let batch = Batch { ops: vec![mark], now: self.shared.clock.now() };
            let _ = self.shared.store.append(batch, store::Durability::Os);
        }
    }

    /// Commits changes of its own, as durable as can be.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn commit(&self, ops: Vec<Op>) -> Result<(), QueueError> {
        self.begin_commit(ops)?.await.map(drop).map_err(|error| refusal::of_store(&self.name, error))
    }

    /// The same, for who waits for many of them at once.
    ///
    /// # Errors
    /// What the store says.
    fn begin_commit(&self, ops: Vec<Op>) -> Result<Receipt, QueueError> {
        let batch = Batch { ops, now: self.shared.clock.now() };
        let ticket = self.shared.store.append(batch, store::Durability::Disk);
        ticket.map(|ticket| ticket.receipt).map_err(|error| refusal::of_store(&self.name, error))
    }
}

/// As the store keeps it.
pub(crate) fn to_settings(name: &str, rest: &TopicRest) -> TopicSettings {
    TopicSettings {
        name: name.to_owned(),
        durability: settings::stored(rest.config.durability.unwrap_or_default()),
        dedup_window: rest.config.dedup_window_ms.unwrap_or_default(),
        rest: serde_json::to_vec(rest).unwrap_or_default().into(),
    }
}
