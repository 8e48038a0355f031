//! Messages that are not due yet: each is a message of a topic of its own, and a hole with a due time in that topic's only group.
//! When it is due, it is published and its hole is settled in one batch.

use super::group::{Group, Rules};
use super::queues::Queues;
use super::settings::{self, TopicRest};
use super::shared::Shared;
use super::topic::{Incoming, Topic};
use super::{names, refusal};
use crate::store::{
    self, Batch, Durability, GroupId, GroupView, Limits, Offset, Op, Receipt, StoreError, Ticket, TopicId,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until};
use towline_service_api::builtin::{Confirmation, QueueError, TopicConfig};

/// Messages of one topic that may wait.
const WAITING: usize = 100_000;
/// Entries of the topic of scheduled messages: the key is an id, the value the offset.
const ID: &[u8] = b"id/";
/// Time after which what was published is not kept here any more.
const KEPT: u64 = 60_000;
/// How long what the store did not do waits to be tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The messages of one topic that are not due yet.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Where they are published when they are due.
    topic: Weak<Topic>,
    /// Where they wait.
    waiting: Arc<Topic>,
    group_id: GroupId,
    shared: Arc<Shared>,
    state: Mutex<State>,
    work: Notify,
    is_ended: AtomicBool,
}

#[derive(Debug)]
struct State {
    group: Group,
    ids: HashMap<String, Offset>,
    names: HashMap<Offset, String>,
}

/// The topic in which the scheduled messages of another one wait.
pub(super) fn name_of(topic: TopicId) -> String {
    format!("{}scheduled.{}", names::RESERVED, topic.0)
}

impl Queues {
    /// The scheduled messages of a topic; made if there were none before.
    pub(super) async fn schedule_of(&self, topic: &Arc<Topic>) -> Result<Arc<Schedule>, QueueError> {
        let made = topic.schedule.get_or_try_init(|| async {
            let rest = || {
                let config = TopicConfig {
                    durability: topic.config().durability,
                    retention_ms: Some(KEPT),
                    keep_until_acked: Some(false),
                    max_message_bytes: Some(u64::MAX),
                    ..settings::filled(&TopicConfig::default(), 0)
                };
                TopicRest { config, scheduled_of: Some(topic.id.0), ..TopicRest::default() }
            };
            let waiting = self.ensure(&name_of(topic.id), rest).await?;
            Schedule::open(topic, waiting, &self.shared).await
        });
        made.await.cloned()
    }
}

impl Queues {
    /// Keeps a message until it is due.
    ///
    /// # Errors
    /// `topic-full`, `invalid-message`, or what the store says.
    pub(crate) async fn schedule(
        &self,
        topic: &Arc<Topic>,
        message: Incoming,
        due: u64,
    ) -> Result<Confirmation, QueueError> {
        if matches!(message.dedup(), Some(store::Dedup::Sequence { .. })) {
            return Err(refusal::invalid_message("a message that is not due yet is known by an id, not by a sequence"));
        }
        topic.check_open()?;
        // Until it is stored it counts as any other that is on its way.
        let _hold = self.shared.hold(1, message.content.len())?;
        self.schedule_of(topic).await?.add(message, due).await
    }

    /// Takes back a message that is not due yet; false if it is not there.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn cancel_scheduled(&self, topic: &Arc<Topic>, id: &str) -> Result<bool, QueueError> {
        match topic.schedule.get() {
            Some(schedule) => schedule.cancel(id).await,
            None => Ok(false),
        }
    }
}

impl Schedule {
    async fn open(topic: &Arc<Topic>, waiting: Arc<Topic>, shared: &Arc<Shared>) -> Result<Arc<Self>, QueueError> {
        let known = shared.store.topic(waiting.id).and_then(|view| view.groups.first().copied());
        let group_id = match known {
            Some(group) => group,
            None => {
                let group = GroupId(shared.store.fresh_id());
                let op = Op::PutGroup { topic: waiting.id, group, settings: Bytes::new(), start: 0 };
                waiting.commit(vec![op]).await?;
                group
            }
        };
        let none = GroupView { settings: None, next: 0, holes: Vec::new(), is_lost: false };
        let view = shared.store.group(waiting.id, group_id).unwrap_or(none);
        let rules = Rules { ack_deadline: u64::MAX, max_in_flight: 0, max_attempts: u16::MAX, max_holes: usize::MAX };
        let group = Group::restore(&view, rules, 0, shared.clock.now());
        let entries = shared.store.entries(waiting.id, ID);
        let ids = entries.iter().filter_map(|(key, value)| {
            let id = String::from_utf8(key.strip_prefix(ID)?.to_vec()).ok()?;
            Some((id, u64::from_be_bytes((**value).try_into().ok()?)))
        });
        let ids: HashMap<String, Offset> = ids.collect();
        let names = ids.iter().map(|(id, offset)| (*offset, id.clone())).collect();
        let schedule = Arc::new(Self {
            topic: Arc::downgrade(topic),
            waiting,
            group_id,
            shared: shared.clone(),
            state: Mutex::new(State { group, ids, names }),
            work: Notify::new(),
            is_ended: AtomicBool::new(false),
        });
        tokio::spawn(run(Arc::downgrade(&schedule)));
        Ok(schedule)
    }

    /// Its task ends: its topic is deleted, or the broker stops.
    pub(crate) fn end(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
        self.work.notify_one();
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> u64 {
        self.state.lock().group.holes() as u64
    }

    /// Keeps a message until it is due.
    ///
    /// # Errors
    /// `topic-full`, or what the store says.
    pub(crate) async fn add(&self, message: Incoming, due: u64) -> Result<Confirmation, QueueError> {
        let topic = self.topic.upgrade().ok_or_else(|| self.unknown())?;
        let timestamp = self.shared.clock.now();
        let confirmation = |durability, duplicate| Confirmation {
            topic: topic.name.to_string(),
            offset: None,
            timestamp,
            durability: settings::shown(durability),
            duplicate,
            due: Some(due),
        };
        let receipt = {
            let mut state = self.state.lock();
            if message.id().is_some_and(|id| state.ids.contains_key(id)) {
                return Ok(confirmation(topic.durability(), true));
            }
            if state.group.holes() >= WAITING {
                let (topic, unit) = (topic.name.to_string(), "scheduled messages".to_owned());
                let depth = state.group.holes() as u64;
                return Err(QueueError::TopicFull { topic, depth, limit: WAITING as u64, unit });
            }
            self.append(&mut state, message, due, timestamp).map_err(|error| refusal::of_store(&topic.name, error))?
        };
        self.work.notify_one();
        let refused = |error| refusal::of_store(&topic.name, error);
        Ok(confirmation(receipt.await.map_err(refused)?, false))
    }

    fn append(&self, state: &mut State, message: Incoming, due: u64, now: u64) -> Result<Receipt, StoreError> {
        // Nobody else appends to this topic, and we are alone.
        let offset = self.waiting.head();
        state.group.schedule(offset, due, now);
        let id = message.id().cloned();
        let appended = self.waiting.append_bytes(message.content, |publish| {
            let mut ops = vec![publish];
            let key = |id: &String| [ID, id.as_bytes()].concat().into();
            let value = Bytes::copy_from_slice(&offset.to_be_bytes());
            ops.extend(id.as_ref().map(|id| Op::Put { topic: self.waiting.id, key: key(id), value }));
            self.record(state, ops).map(Some)
        });
        match appended {
            Ok(Some(receipt)) => {
                if let Some(id) = id {
                    state.names.insert(offset, id.clone());
                    state.ids.insert(id, offset);
                }
                Ok(receipt)
            }
            Ok(None) => Err(StoreError::Closed),
            Err(error) => {
                state.group.drop_message(offset);
                Err(error)
            }
        }
    }

    /// Appends `ops` and what the group did.
    fn record(&self, state: &mut State, mut ops: Vec<Op>) -> Result<Ticket, StoreError> {
        if let Some(progress) = state.group.progress() {
            ops.push(Op::Progress { topic: self.waiting.id, group: self.group_id, progress });
        }
        let ticket = self.shared.store.append(Batch { ops, now: self.shared.clock.now() }, Durability::Memory)?;
        state.group.recorded();
        Ok(ticket)
    }

    /// Takes a message back; false if it is not there any more.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn cancel(&self, id: &str) -> Result<bool, QueueError> {
        let refused = |error| refusal::of_store(&self.waiting.name, error);
        let ticket = {
            let mut state = self.state.lock();
            let Some(offset) = state.ids.get(id).copied() else { return Ok(false) };
            state.group.drop_message(offset);
            let ticket = self.record(&mut state, vec![self.forget(id)]).map_err(refused)?;
            state.ids.remove(id);
            state.names.remove(&offset);
            ticket
        };
        ticket.receipt.await.map_err(refused)?;
        Ok(true)
    }

    fn forget(&self, id: &str) -> Op {
        Op::Remove { topic: self.waiting.id, key: [ID, id.as_bytes()].concat().into() }
    }

    fn unknown(&self) -> QueueError {
        QueueError::UnknownTopic { topic: self.waiting.name.to_string() }
    }

    /// Publishes what is due. When to look again.
    async fn publish_due(&self) -> Result<Option<u64>, StoreError> {
        let Some(topic) = self.topic.upgrade() else { return Ok(None) };
        loop {
            let due: Vec<Offset> = {
                let mut state = self.state.lock();
                state.group.tick(self.shared.clock.now());
                state.group.ready().take(64).collect()
            };
            if due.is_empty() {
                return Ok(self.state.lock().group.alarm());
            }
            let mut last = None;
            for offset in due {
                let page = self.shared.store.read(self.waiting.id, offset, Limits { messages: 1, bytes: 1 }).await?;
                let stored = page.messages.into_iter().next().filter(|stored| stored.offset == offset);
                let mut state = self.state.lock();
                if !state.group.is_hole(offset) {
                    continue;
                }
                let Some(stored) = stored else {
                    tracing::error!(topic = &*topic.name, offset, "a scheduled message is damaged, it is given up");
                    state.group.drop_message(offset);
                    continue;
                };
                last = self.publish(&topic, &mut state, offset, stored.content)?;
            }
            if let Some(receipt) = last {
                let _: store::Durability = receipt.await?;
            }
            topic.published();
        }
    }

    /// In one batch: published there, and settled here.
    fn publish(
        &self,
        topic: &Topic,
        state: &mut State,
        offset: Offset,
        content: Bytes,
    ) -> Result<Option<Receipt>, StoreError> {
        topic.append_bytes(content, |publish| {
            let mut progress = state.group.progress().unwrap_or_else(|| {
                let next = state.group.next();
                store::Progress { from: next, next, ..store::Progress::default() }
            });
            progress.settled.push(store::Run { first: offset, count: 1 });
            let mut ops = vec![publish, Op::Progress { topic: self.waiting.id, group: self.group_id, progress }];
            ops.extend(state.names.get(&offset).map(|id| self.forget(id)));
            let ticket = self.shared.store.append(Batch { ops, now: self.shared.clock.now() }, Durability::Memory)?;
            state.group.drop_message(offset);
            state.group.recorded();
            if let Some(id) = state.names.remove(&offset) {
                state.ids.remove(&id);
            }
            Ok(Some(ticket))
        })
    }
}

async fn run(schedule: Weak<Schedule>) {
    loop {
        let Some(this) = schedule.upgrade().filter(|this| !this.is_ended.load(Ordering::SeqCst)) else { return };
        let next = match this.publish_due().await {
            Ok(next) => next,
            Err(StoreError::Full { .. } | StoreError::Unreadable(_)) => {
                sleep(AGAIN).await;
                continue;
            }
            // With the store, or the topic, it is over.
            Err(_) => return,
        };
        let clock = this.shared.clock;
        let until = next.map(|time| clock.instant(time));
        let mut look = std::pin::pin!(async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        });
        tokio::select! {
            () = this.work.notified() => {}
            () = &mut look => {}
        }
    }
}
