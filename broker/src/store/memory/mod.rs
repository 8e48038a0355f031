//! An engine without a disk: everything is gone with the process, and every receipt says so.
//!
//! Invariant: it does what [`Store`] promises, but for being there after a restart; so it is what other parts are tested on.

#[cfg(test)]
mod tests;

use super::record::Record;
use super::state::State;
use super::{
    Batch, Durability, GroupId, GroupView, Limits, Offset, Op, Page, Placed, Receipt, Run, Stats, Store, StoreError,
    Stored, Ticket, Tickets, TopicId, TopicView,
};
use bytes::Bytes;
use futures::future::{self, BoxFuture, FutureExt};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// How often it is looked for what need not be remembered any more, in milliseconds.
const LOOK: u64 = 1_000;

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    opened: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    messages: HashMap<TopicId, Messages>,
    /// Uptime of the last look.
    looked: u64,
    is_closed: bool,
    groups_written: u64,
    messages_written: u64,
}

/// Messages of one topic.
#[derive(Debug, Default)]
struct Messages {
    /// From the floor on.
    young: VecDeque<Stored>,
    /// Below the floor: those that are holes of a group.
    held: BTreeMap<Offset, Stored>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { inner: Mutex::default(), opened: Instant::now() }
    }
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is kept is as durable as it gets.
    fn append_at<T>(&self, uptime: u64, append: impl FnOnce(&mut Inner) -> T) -> (T, Receipt) {
        let mut inner = self.inner.lock();
        if uptime.saturating_sub(inner.looked) >= LOOK {
            inner.looked = uptime;
            inner.state.expire(uptime);
        }
        let placed = append(&mut inner);
        let (sender, receipt) = Receipt::pair();
        let _ = sender.send(Ok(Durability::Memory));
        (placed, receipt)
    }

    fn uptime(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn of_topic<T>(&self, topic: TopicId, look: impl FnOnce(&Messages, Offset) -> T) -> Result<T, StoreError> {
        let inner = self.inner.lock();
        let head = inner.state.topic(topic).ok_or(StoreError::UnknownTopic(topic))?.head;
        let none = Messages::default();
        Ok(look(inner.messages.get(&topic).unwrap_or(&none), head))
    }
}

impl Store for MemoryStore {
    fn append(&self, batch: Batch, _: Durability) -> Result<Ticket, StoreError> {
        let (placed, receipt) = self.append_at(self.uptime(), |inner| inner.append(&batch.ops, batch.now));
        Ok(Ticket { placed: placed?, receipt })
    }

    fn append_each(&self, ops: &[Op], now: u64, _: Durability) -> Tickets {
        let each =
            |inner: &mut Inner| ops.iter().map(|op| Ok(inner.append(std::slice::from_ref(op), now)?.pop())).collect();
        let (placed, receipt) = self.append_at(self.uptime(), each);
        Tickets { placed, receipt }
    }

    fn commit(&self) {}

    fn read(&self, topic: TopicId, from: Offset, limits: Limits) -> BoxFuture<'_, Result<Page, StoreError>> {
        future::ready(self.of_topic(topic, |messages, head| messages.read(from, limits, head))).boxed()
    }

    fn offset_at(&self, topic: TopicId, time: u64) -> BoxFuture<'_, Result<Offset, StoreError>> {
        let find = |messages: &Messages, head| {
            let at = messages.young.partition_point(|message| message.timestamp < time);
            messages.young.get(at).map_or(head, |message| message.offset)
        };
        future::ready(self.of_topic(topic, find)).boxed()
    }

    fn topic(&self, topic: TopicId) -> Option<TopicView> {
        self.inner.lock().state.view(topic)
    }

    fn group(&self, topic: TopicId, group: GroupId) -> Option<GroupView> {
        self.inner.lock().state.group(topic, group)
    }

    fn topics(&self) -> Vec<TopicId> {
        self.inner.lock().state.topics()
    }

    fn entry(&self, topic: TopicId, key: &[u8]) -> Option<Bytes> {
        self.inner.lock().state.entry(topic, key)
    }

    fn entries(&self, topic: TopicId, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.inner.lock().state.entries(topic, prefix)
    }

    fn fresh_id(&self) -> u64 {
        self.inner.lock().state.fresh_id()
    }

    fn stats(&self) -> Stats {
        let inner = self.inner.lock();
        let (groups_written, messages_written) = (inner.groups_written, inner.messages_written);
        Stats { topics: inner.state.len(), groups_written, messages_written, ..Stats::default() }
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.lock().is_closed = true;
        future::ready(()).boxed()
    }
}

impl Inner {
    /// Keeps a batch, if it can be kept.
    fn append(&mut self, ops: &[Op], now: u64) -> Result<Vec<Placed>, StoreError> {
        if self.is_closed {
            return Err(StoreError::Closed);
        }
        self.state.check(ops)?;
        let Self { state, messages, messages_written, groups_written, .. } = self;
        let mut placed = Vec::new();
        state.append(ops, now, &mut placed, &mut |record| {
            if let Record::Message { topic, offset, timestamp, content, .. } = record {
                let content = Bytes::copy_from_slice(content);
                let message = Stored { offset: *offset, timestamp: *timestamp, content };
                messages.entry(*topic).or_default().young.push_back(message);
                *messages_written += 1;
            }
        });
        *groups_written += 1;
        ops.iter().for_each(|op| self.drop_for(op));
        Ok(placed)
    }

    /// Drops the messages that nobody can want any more after an op.
    fn drop_for(&mut self, op: &Op) {
        let Self { state, messages, .. } = self;
        match op {
            Op::DeleteTopic(topic) => {
                messages.remove(topic);
            }
            Op::Trim { topic, .. } => {
                let (Some(messages), Some(state)) = (messages.get_mut(topic), state.topic(*topic)) else { return };
                while messages.young.front().is_some_and(|message| message.offset < state.floor) {
                    let Some(message) = messages.young.pop_front() else { break };
                    if state.is_live(message.offset) {
                        messages.held.insert(message.offset, message);
                    }
                }
            }
            Op::Progress { topic, progress, .. } => {
                let Some(messages) = messages.get_mut(topic) else { return };
                for Run { first, count } in &progress.settled {
                    let run = messages.held.range(*first..first.saturating_add(*count));
                    let gone: Vec<_> = run.map(|(at, _)| *at).filter(|at| !state.is_live(*topic, *at)).collect();
                    gone.iter().for_each(|offset| drop(messages.held.remove(offset)));
                }
            }
            Op::Seek { topic, .. } | Op::DeleteGroup { topic, .. } => {
                let Some(messages) = messages.get_mut(topic) else { return };
                messages.held.retain(|offset, _| state.is_live(*topic, *offset));
            }
            _ => {}
        }
    }
}

impl Messages {
    fn read(&self, from: Offset, limits: Limits, head: Offset) -> Page {
        let start = self.young.partition_point(|message| message.offset < from);
        let mut page = Page { next: from.max(head), ..Page::default() };
        let mut bytes = 0usize;
        for message in self.held.range(from..).map(|(_, message)| message).chain(self.young.range(start..)) {
            bytes = bytes.saturating_add(message.content.len());
            let is_over = page.messages.len() >= limits.messages || bytes > limits.bytes;
            if is_over && !page.messages.is_empty() {
                page.next = message.offset;
                break;
            }
            page.messages.push(message.clone());
        }
        page
    }
}
