//! A small engine without threads: the test is who runs it.

use crate::store::log::core::{Core, Settings};
use crate::store::log::disk::simulated::Simulated;
use crate::store::log::write::Wrote;
use crate::store::{Batch, Durability, Limits, Offset, Op, Publish, Stored, Ticket, TopicId, TopicSettings};
use std::io;
use std::sync::Arc;

/// Segments so small that a handful of groups fills one.
pub(crate) fn settings() -> Settings {
    Settings {
        segment: 32 << 10,
        group_max: 8 << 10,
        watermark: 0,
        spares: 1,
        recent: 4 << 10,
        directories: 64 << 10,
        snapshot_every: 0,
        unsealed: 0,
        indexed: 1 << 20,
        backlog: 4,
        at_once: 4 << 10,
        seed: 7,
    }
}

pub(crate) fn open(disk: &Simulated) -> io::Result<Core> {
    Core::open(Arc::new(disk.clone()), settings())
}

pub(crate) fn batch(ops: Vec<Op>) -> Batch {
    Batch { ops, now: 1 }
}

pub(crate) fn create(topic: TopicId, durability: Durability) -> Op {
    let name = format!("topic-{}", topic.0);
    Op::PutTopic {
        topic,
        settings: TopicSettings { name, durability, dedup_window: 120_000, rest: bytes::Bytes::new() },
    }
}

pub(crate) fn publish(topic: TopicId, content: &[u8]) -> Op {
    Op::Publish(Publish { topic, content: bytes::Bytes::copy_from_slice(content), dedup: None })
}

/// Writes, syncs and keeps until nothing is left to do.
pub(crate) fn settle(core: &Core, now: &mut u64) {
    for _ in 0..200 {
        let mut is_idle = core.write() == Wrote::Idle;
        is_idle &= !core.sync();
        *now += 1;
        is_idle &= !core.keep(*now);
        if is_idle {
            return;
        }
    }
    panic!("the engine does not come to rest");
}

pub(crate) fn append(core: &Core, ops: Vec<Op>) -> Ticket {
    core.append(&batch(ops), Durability::Memory).expect("it is taken")
}

/// Everything of a topic, read in pages of a few messages.
pub(crate) fn read_all(core: &Core, topic: TopicId) -> Vec<Stored> {
    let (mut all, mut from): (Vec<Stored>, Offset) = (Vec::new(), 0);
    loop {
        let page = core.read(topic, from, Limits { messages: 7, bytes: 1 << 20 }).expect("the topic can be read");
        assert!(page.next >= from);
        if page.next == from {
            return all;
        }
        from = page.next;
        all.extend(page.messages);
    }
}
