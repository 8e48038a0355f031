mod batches;
mod duplicates;
mod holes;
mod replay;

pub(crate) use replay::{batches, records};

use super::State;
use crate::store::record::Record;
use crate::store::{
    Batch, Dedup, Durability, GroupId, Hand, Offset, Op, Placed, Progress, Publish, Run, StoreError, TopicId,
    TopicSettings,
};
use bytes::Bytes;

const TOPIC: TopicId = TopicId(1);
const GROUP: GroupId = GroupId(50);

pub(crate) fn settings(name: &str, durability: Durability) -> TopicSettings {
    TopicSettings { name: name.into(), durability, dedup_window: 120_000, rest: Bytes::from_static(b"rest") }
}

fn put_topic(topic: TopicId) -> Op {
    Op::PutTopic { topic, settings: settings("orders", Durability::Disk) }
}

fn put_group(topic: TopicId, group: GroupId) -> Op {
    Op::PutGroup { topic, group, settings: Bytes::from_static(b"group"), start: 0 }
}

fn publish(topic: TopicId, dedup: Option<Dedup>) -> Op {
    Op::Publish(Publish { topic, content: Bytes::from_static(b"content"), dedup })
}

fn sequence(producer: u128, sequence: u64) -> Option<Dedup> {
    Some(Dedup::Sequence { producer, sequence })
}

fn batch(ops: impl Into<Vec<Op>>) -> Batch {
    Batch { ops: ops.into(), now: 1_000 }
}

fn run(first: Offset, count: u64) -> Run {
    Run { first, count }
}

fn hand(first: Offset, count: u64, attempt: u32) -> Hand {
    Hand { run: run(first, count), attempt, due: 7 }
}

/// Appends what was checked.
fn append(state: &mut State, batch: &Batch, sink: &mut impl FnMut(&Record<'_>)) -> Vec<Placed> {
    let mut placed = Vec::new();
    state.append(&batch.ops, batch.now, &mut placed, sink);
    placed
}

/// Checks and appends.
fn keep(state: &mut State, ops: impl Into<Vec<Op>>) -> Result<Vec<Placed>, StoreError> {
    let batch = batch(ops);
    state.check(&batch.ops)?;
    Ok(append(state, &batch, &mut |_| {}))
}

/// A state with [`TOPIC`], [`GROUP`] and so many messages.
fn filled(messages: usize) -> State {
    let mut state = State::default();
    keep(&mut state, [put_topic(TOPIC), put_group(TOPIC, GROUP)]).unwrap();
    if messages > 0 {
        keep(&mut state, vec![publish(TOPIC, None); messages]).unwrap();
    }
    state
}

fn progress(from: Offset, next: Offset, handed: &[Hand], settled: &[Run]) -> Op {
    let progress = Progress { from, next, handed: handed.to_vec(), settled: settled.to_vec() };
    Op::Progress { topic: TOPIC, group: GROUP, progress }
}
