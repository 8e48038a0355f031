//! The store that is looked at, and words to talk to it.

use super::Engine;
use crate::store::{
    Batch, Dedup, Durability, GroupId, GroupView, Hand, Limits, Offset, Op, Placed, Progress, Publish, Run, Store,
    StoreError, Stored, Ticket, TopicId, TopicSettings, TopicView,
};
use bytes::Bytes;
use std::sync::Arc;

/// The time of batches that do not say another one.
pub(super) const NOW: u64 = 1_700_000_000_000;

/// More than anything here takes.
pub(super) const PLENTY: Limits = Limits { messages: 10_000, bytes: 64 << 20 };

pub(super) struct Subject {
    pub store: Arc<dyn Store>,
}

impl Subject {
    pub(super) async fn open(engine: &dyn Engine) -> Self {
        Self { store: engine.open().await }
    }

    /// With a topic that is synced.
    pub(super) async fn with_topic(engine: &dyn Engine) -> (Self, TopicId) {
        let subject = Self::open(engine).await;
        let topic = subject.topic(Durability::Disk).await;
        (subject, topic)
    }

    /// With a topic, a group that starts at 0, and so many messages `0`, `1`, ..
    pub(super) async fn with_group(engine: &dyn Engine, messages: u64) -> (Self, TopicId, GroupId) {
        let (subject, topic) = Self::with_topic(engine).await;
        let group = subject.group(topic, 0).await;
        if messages > 0 {
            let all = (0..messages).map(|number| publish(topic, number.to_string()));
            subject.keep(all.collect::<Vec<_>>()).await;
        }
        (subject, topic, group)
    }

    pub(super) async fn reopen(self, engine: &dyn Engine) -> Self {
        Self { store: engine.reopen(self.store).await }
    }

    pub(super) async fn topic(&self, durability: Durability) -> TopicId {
        let topic = TopicId(self.store.fresh_id());
        self.keep([Op::PutTopic { topic, settings: settings(durability) }]).await;
        topic
    }

    pub(super) async fn group(&self, topic: TopicId, start: Offset) -> GroupId {
        let group = GroupId(self.store.fresh_id());
        self.keep([put_group(topic, group, start)]).await;
        group
    }

    /// Appends what may not be refused.
    pub(super) fn append(&self, ops: impl Into<Vec<Op>>) -> Ticket {
        self.append_at(ops, NOW, Durability::Disk)
    }

    pub(super) fn append_at(&self, ops: impl Into<Vec<Op>>, now: u64, durability: Durability) -> Ticket {
        let batch = Batch { ops: ops.into(), now };
        let ticket = self.store.append(batch, durability);
        ticket.unwrap_or_else(|error| panic!("a batch that can be kept was refused: {error}"))
    }

    /// Appends, and waits until it is confirmed.
    pub(super) async fn keep(&self, ops: impl Into<Vec<Op>>) -> Vec<Placed> {
        confirmed(self.append(ops)).await
    }

    /// Appends what has to be refused.
    pub(super) fn refusal(&self, ops: impl Into<Vec<Op>>) -> StoreError {
        let batch = Batch { ops: ops.into(), now: NOW };
        match self.store.append(batch, Durability::Disk) {
            Ok(ticket) => panic!("a batch that cannot be kept was taken: {:?}", ticket.placed),
            Err(error) => error,
        }
    }

    pub(super) fn view(&self, topic: TopicId) -> TopicView {
        self.store.topic(topic).unwrap_or_else(|| panic!("the store does not know {topic:?} which it confirmed"))
    }

    pub(super) fn group_view(&self, topic: TopicId, group: GroupId) -> GroupView {
        let view = self.store.group(topic, group);
        view.unwrap_or_else(|| panic!("the store does not know {group:?} of {topic:?} which it confirmed"))
    }

    /// `next` and holes of a group.
    pub(super) fn cursor(&self, topic: TopicId, group: GroupId) -> (Offset, Vec<Hand>) {
        let view = self.group_view(topic, group);
        (view.next, view.holes)
    }

    /// Everything of a topic from an offset on that can be read, page by page.
    pub(super) async fn read(&self, topic: TopicId, mut from: Offset, limits: Limits) -> Vec<Stored> {
        let mut messages = Vec::new();
        loop {
            let page = self.store.read(topic, from, limits).await;
            let page = page.unwrap_or_else(|error| panic!("{topic:?} cannot be read from {from} on: {error}"));
            assert!(page.damaged.is_empty(), "nothing is damaged, but {:?} are said to be", page.damaged);
            assert!(page.next >= from, "a read goes on at {}, before {from} where it began", page.next);
            for message in &page.messages {
                let is_between = (from..page.next).contains(&message.offset);
                assert!(is_between, "a read of {from} to {} brought offset {}", page.next, message.offset);
            }
            let is_end = page.next >= self.view(topic).visible;
            assert!(is_end || page.next > from, "a read that brought nothing at {from} does not go on");
            messages.extend(page.messages);
            if is_end {
                break messages;
            }
            from = page.next;
        }
    }

    /// Offsets and contents of all messages.
    pub(super) async fn contents(&self, topic: TopicId) -> Vec<(Offset, String)> {
        let messages = self.read(topic, 0, PLENTY).await;
        let text = |message: Stored| (message.offset, String::from_utf8_lossy(&message.content).into_owned());
        messages.into_iter().map(text).collect()
    }
}

/// Waits for a receipt, which has to be good.
pub(super) async fn confirmed(ticket: Ticket) -> Vec<Placed> {
    let Ticket { placed, receipt } = ticket;
    match receipt.await {
        Ok(_) => placed,
        Err(error) => panic!("a batch was not confirmed: {error}"),
    }
}

/// The offset of the only message of a batch, which has to be new.
pub(super) fn offset(placed: &[Placed]) -> Offset {
    match placed {
        [Placed::At(offset)] => *offset,
        other => panic!("one new message was published, the store says {other:?}"),
    }
}

pub(super) fn settings(durability: Durability) -> TopicSettings {
    let rest = Bytes::from_static(b"words of the owner");
    TopicSettings { name: "orders.created".into(), durability, dedup_window: 120_000, rest }
}

pub(super) fn put_group(topic: TopicId, group: GroupId, start: Offset) -> Op {
    Op::PutGroup { topic, group, settings: Bytes::from_static(b"words of the group"), start }
}

pub(super) fn publish(topic: TopicId, content: impl Into<Bytes>) -> Op {
    Op::Publish(Publish { topic, content: content.into(), dedup: None })
}

pub(super) fn publish_once(topic: TopicId, content: impl Into<Bytes>, dedup: Dedup) -> Op {
    Op::Publish(Publish { topic, content: content.into(), dedup: Some(dedup) })
}

pub(super) fn put(topic: TopicId, key: &'static str, value: &'static str) -> Op {
    Op::Put { topic, key: key.into(), value: value.into() }
}

pub(super) fn run(first: Offset, count: u64) -> Run {
    Run { first, count }
}

pub(super) fn hand(first: Offset, count: u64, attempt: u32) -> Hand {
    Hand { run: run(first, count), attempt, due: NOW + u64::from(attempt) }
}

pub(super) fn progress(
    (topic, group): (TopicId, GroupId),
    (from, next): (Offset, Offset),
    handed: &[Hand],
    settled: &[Run],
) -> Op {
    let progress = Progress { from, next, handed: handed.to_vec(), settled: settled.to_vec() };
    Op::Progress { topic, group, progress }
}
