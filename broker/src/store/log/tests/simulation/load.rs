//! What clients do: batches that fit what there is, chosen by the seed.

use super::model::{Model, Topic};
use crate::store::{
    Batch, Dedup, Durability, GroupId, Hand, Offset, Op, Progress, Publish, Run, TopicId, TopicSettings,
};
use bytes::Bytes;
use fastrand::Rng;

/// What a seed's clients are like.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Bytes of a message, at most.
    most: usize,
    /// How often of a hundred something else than a message is sent.
    changes: u8,
    /// Topics there are, at most.
    topics: usize,
    /// The number of the last message: no two have the same content.
    number: u64,
}

impl Load {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Self {
            most: [40, 400, 1500, 2500][rng.usize(..4)],
            changes: [10, 30, 60][rng.usize(..3)],
            topics: [1, 2, 4, 6][rng.usize(..4)],
            number: 0,
        }
    }

    /// The next batch and the durability it asks for. `fresh` gives ids.
    pub(super) fn batch(
        &mut self,
        rng: &mut Rng,
        model: &Model,
        now: u64,
        fresh: impl Fn() -> u64,
    ) -> (Batch, Durability) {
        let mut ops = Vec::new();
        if model.topics.is_empty() || rng.u8(..100) < 4 && model.topics.len() < self.topics {
            ops.push(create(rng, TopicId(fresh())));
        } else if rng.u8(..100) < self.changes {
            self.change(rng, model, fresh, &mut ops);
        }
        if ops.is_empty()
            || rng.u8(..8) == 0 && !ops.iter().any(|op| matches!(op, Op::DeleteTopic(_) | Op::Skip { .. }))
        {
            self.publish(rng, model, &mut ops);
        }
        let asked = [Durability::Memory, Durability::Memory, Durability::Os, Durability::Disk][rng.usize(..4)];
        (Batch { ops, now }, asked)
    }

    /// One to five messages, of one topic or several.
    fn publish(&mut self, rng: &mut Rng, model: &Model, ops: &mut Vec<Op>) {
        let Some((first, _)) = pick(rng, model) else { return };
        let is_mixed = rng.u8(..4) == 0;
        let mut used = Vec::new();
        for _ in 0..[1, 1, 1, 2, 5][rng.usize(..5)] {
            let id = if is_mixed { pick(rng, model).map_or(first, |(id, _)| id) } else { first };
            let topic = &model.topics[&id];
            let dedup = if topic.durability() == Durability::Memory { None } else { dedup(rng, topic, id, &mut used) };
            let most = if rng.u8(..20) == 0 { self.most } else { self.most / 4 };
            let content = self.content(8 + rng.usize(..most.min(1400)));
            ops.push(Op::Publish(Publish { topic: id, content, dedup }));
        }
    }

    fn content(&mut self, len: usize) -> Bytes {
        self.number += 1;
        let mut content = self.number.to_le_bytes().to_vec();
        content.resize(len, self.number as u8);
        content.into()
    }

    /// Anything but messages, sometimes with one.
    fn change(&mut self, rng: &mut Rng, model: &Model, fresh: impl Fn() -> u64, ops: &mut Vec<Op>) {
        let Some((id, topic)) = pick(rng, model) else { return };
        match rng.u8(..100) {
            0..6 => ops.push(entry(rng, id, &topic.entries)),
            6..12 => ops.push(entry(rng, TopicId::BROKER, &model.entries)),
            12..22 if topic.groups.len() < 3 => ops.push(Op::PutGroup {
                topic: id,
                group: GroupId(fresh()),
                settings: vec![rng.u8(..)].into(),
                start: [topic.floor, topic.head][rng.usize(..2)],
            }),
            22..27 => ops.push(Op::Trim { topic: id, to: rng.u64(topic.floor..=topic.head) }),
            27..32 => {
                // A purge.
                ops.push(Op::Trim { topic: id, to: topic.head });
                ops.extend(topic.groups.keys().map(|group| Op::Seek { topic: id, group: *group, next: topic.head }));
            }
            32..34 => ops.push(Op::DeleteTopic(id)),
            34..36 => ops.extend(settings_of(rng, id, topic)),
            36..40 if topic.durability() != Durability::Memory => {
                let producer = u128::from(rng.u64(..2));
                let sequence = topic.last.get(&producer).map_or(1, |last| last + 1);
                ops.push(Op::Skip { topic: id, producer, sequence });
            }
            _ => {
                let Some(nth) = topic.groups.len().checked_sub(1).map(|last| rng.usize(..=last)) else { return };
                let (group, _) = topic.groups.iter().nth(nth).expect("there are more");
                ops.push(match rng.u8(..60) {
                    0..2 => Op::DeleteGroup { topic: id, group: *group },
                    2..6 => Op::Seek { topic: id, group: *group, next: rng.u64(topic.floor..=topic.head) },
                    _ => Op::Progress { topic: id, group: *group, progress: progress(rng, topic, *group) },
                });
            }
        }
    }
}

fn pick<'a>(rng: &mut Rng, model: &'a Model) -> Option<(TopicId, &'a Topic)> {
    let nth = rng.usize(..model.topics.len().max(1));
    model.topics.iter().nth(nth).map(|(id, topic)| (*id, topic))
}

fn create(rng: &mut Rng, topic: TopicId) -> Op {
    let durability = [Durability::Disk, Durability::Disk, Durability::Os, Durability::Memory][rng.usize(..4)];
    let name = format!("topic-{}", topic.0);
    Op::PutTopic { topic, settings: TopicSettings { name, durability, dedup_window: 120_000, rest: Bytes::new() } }
}

fn settings_of(rng: &mut Rng, id: TopicId, topic: &Topic) -> Option<Op> {
    let settings = TopicSettings { rest: vec![rng.u8(..); 3].into(), ..topic.settings.clone()? };
    Some(Op::PutTopic { topic: id, settings })
}

fn entry(rng: &mut Rng, topic: TopicId, entries: &std::collections::BTreeMap<Bytes, Bytes>) -> Op {
    let key = entries.keys().next().filter(|_| rng.bool()).cloned();
    let key = key.unwrap_or_else(|| vec![rng.u8(..6)].into());
    if rng.u8(..3) == 0 { Op::Remove { topic, key } } else { Op::Put { topic, key, value: vec![rng.u8(..); 9].into() } }
}

/// A counter or an id, new or known; each producer once in a batch.
fn dedup(rng: &mut Rng, topic: &Topic, id: TopicId, used: &mut Vec<(TopicId, u128)>) -> Option<Dedup> {
    match rng.u8(..10) {
        0..2 => Some(Dedup::Id(rng.u128(1000..))),
        2 => {
            let known = topic.ids.keys().nth(rng.usize(..topic.ids.len().max(1)))?;
            Some(Dedup::Id(*known))
        }
        3..5 => {
            let producer = u128::from(rng.u64(..2));
            let is_free = !used.contains(&(id, producer));
            used.push((id, producer));
            let next = topic.last.get(&producer).map_or(1, |last| last + 1);
            let back = if rng.u8(..4) == 0 { rng.u64(..next.min(5)) } else { 0 };
            is_free.then_some(Dedup::Sequence { producer, sequence: (next - back).max(1) })
        }
        _ => None,
    }
}

/// Some messages are handed over, some of those that were are settled or handed over again.
fn progress(rng: &mut Rng, topic: &Topic, group: GroupId) -> Progress {
    let state = &topic.groups[&group];
    let head = topic.head.max(state.next);
    let mut from = state.next;
    if rng.u8(..25) == 0 {
        // As if the record before was lost.
        from = (from + rng.u64(1..4)).min(head);
    }
    // Offsets may be far from each other after a recovery.
    let there: Vec<_> = topic.messages.range(from..).map(|(offset, _)| *offset).take(40).collect();
    let next = match there.get(rng.usize(..9)) {
        Some(last) => last + 1,
        None => head.max(from),
    };
    let mut progress = Progress { from, next, ..Progress::default() };
    let hand = |rng: &mut Rng, first: Offset, count: u64| Hand {
        run: Run { first, count },
        attempt: rng.u32(1..4),
        due: rng.u64(..100_000),
    };
    let mut at = from;
    for first in there.into_iter().filter(|first| *first < next) {
        if first >= at && rng.u8(..3) > 0 {
            let count = rng.u64(1..=(next - first).min(4));
            progress.handed.push(hand(rng, first, count));
            at = first + count;
        }
    }
    let known = state.holes.keys().copied().chain(progress.handed.iter().map(|hand| hand.run.first));
    let known: Vec<_> = known.take(40).collect();
    for offset in known {
        match rng.u8(..4) {
            0 => progress.settled.push(Run { first: offset, count: 1 }),
            1 if offset < from => progress.handed.push(hand(rng, offset, 1)),
            _ => {}
        }
    }
    progress
}
