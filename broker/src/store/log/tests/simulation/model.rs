//! What a store promises to hold, kept in the plainest way: no log, no files, one map for each thing.

use crate::store::log::core::Core;
use crate::store::{
    Batch, Dedup, Durability, GroupId, Limits, Offset, Op, Placed, Progress, Publish, Run, Stored, TopicId,
    TopicSettings,
};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Everything after some batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub topics: BTreeMap<TopicId, Topic>,
    /// The broker's own.
    pub entries: BTreeMap<Bytes, Bytes>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Topic {
    pub settings: Option<TopicSettings>,
    pub floor: Offset,
    pub head: Offset,
    /// Those somebody may still want.
    pub messages: BTreeMap<Offset, Bytes>,
    pub groups: BTreeMap<GroupId, Group>,
    pub entries: BTreeMap<Bytes, Bytes>,
    /// The last sequence of each producer.
    pub last: BTreeMap<u128, u64>,
    sequences: BTreeMap<(u128, u64), Offset>,
    pub ids: BTreeMap<u128, Offset>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub settings: Bytes,
    pub next: Offset,
    /// Attempt and due time.
    pub holes: BTreeMap<Offset, (u32, u64)>,
}

impl Group {
    fn apply(&mut self, progress: &Progress) {
        let Progress { from, next, handed, settled } = progress;
        for offset in self.next..*from {
            self.holes.insert(offset, (0, 0));
        }
        self.next = self.next.max(*next).max(*from);
        for hand in handed {
            for offset in offsets(hand.run).filter(|offset| *offset < self.next) {
                self.holes.insert(offset, (hand.attempt, hand.due));
            }
        }
        for offset in settled.iter().copied().flat_map(offsets) {
            self.holes.remove(&offset);
        }
    }
}

fn offsets(run: Run) -> std::ops::Range<Offset> {
    run.first..run.first + run.count
}

impl Topic {
    pub(super) fn durability(&self) -> Durability {
        self.settings.as_ref().map_or(Durability::Disk, |settings| settings.durability)
    }

    fn group(&mut self, group: GroupId) -> &mut Group {
        self.groups.get_mut(&group).expect("a batch was taken for a group that is not there")
    }

    /// Messages below the floor that are no group's hole are given up.
    fn sweep(&mut self) {
        let Self { messages, groups, floor, .. } = self;
        messages.retain(|offset, _| offset >= floor || groups.values().any(|group| group.holes.contains_key(offset)));
    }

    /// Where a message that comes twice is.
    pub(super) fn duplicate(&self, dedup: Dedup) -> Option<Option<Offset>> {
        match dedup {
            Dedup::Id(id) => self.ids.get(&id).map(|offset| Some(*offset)),
            Dedup::Sequence { producer, sequence } => {
                let is_known = self.last.get(&producer).is_some_and(|last| sequence <= *last);
                is_known.then(|| self.sequences.get(&(producer, sequence)).copied())
            }
        }
    }

    fn publish(&mut self, publish: &Publish, placed: Placed) {
        let Placed::At(offset) = placed else { return };
        self.messages.insert(offset, publish.content.clone());
        self.head = offset + 1;
        match publish.dedup {
            Some(Dedup::Id(id)) => {
                self.ids.insert(id, offset);
            }
            Some(Dedup::Sequence { producer, sequence }) => {
                self.last.insert(producer, sequence);
                self.sequences.insert((producer, sequence), offset);
            }
            None => {}
        }
    }
}

impl Model {
    /// Applies a batch that was taken, its messages placed so.
    pub(super) fn apply(&mut self, batch: &Batch, placed: &[Placed]) {
        let mut placed = placed.iter().copied();
        for op in &batch.ops {
            self.apply_op(op, &mut placed);
        }
    }

    fn apply_op(&mut self, op: &Op, placed: &mut impl Iterator<Item = Placed>) {
        match op {
            Op::PutTopic { topic, settings } => {
                self.topics.entry(*topic).or_default().settings = Some(settings.clone());
                return;
            }
            Op::DeleteTopic(topic) => {
                self.topics.remove(topic);
                return;
            }
            Op::Put { topic: TopicId::BROKER, key, value } => {
                self.entries.insert(key.clone(), value.clone());
                return;
            }
            Op::Remove { topic: TopicId::BROKER, key } => {
                self.entries.remove(key);
                return;
            }
            _ => {}
        }
        let topic = self.topics.get_mut(&op.topic()).expect("a batch was taken for a topic that is not there");
        match op {
            Op::Publish(publish) => topic.publish(publish, placed.next().expect("every message has its place")),
            Op::Skip { producer, sequence, .. } => {
                topic.last.insert(*producer, *sequence);
            }
            Op::Progress { group, progress, .. } => topic.group(*group).apply(progress),
            Op::Seek { group, next, .. } => {
                let next = (*next).max(topic.floor);
                let group = topic.group(*group);
                (group.next, group.holes) = (next, BTreeMap::new());
            }
            Op::PutGroup { group, settings, start, .. } => {
                let next = (*start).max(topic.floor);
                let fresh = || Group { next, ..Group::default() };
                topic.groups.entry(*group).or_insert_with(fresh).settings = settings.clone();
            }
            Op::DeleteGroup { group, .. } => {
                topic.groups.remove(group);
            }
            Op::Trim { to, .. } => {
                topic.floor = topic.floor.max((*to).min(topic.head));
                topic.groups.values_mut().for_each(|group| group.next = group.next.max(topic.floor));
            }
            Op::Put { key, value, .. } => {
                topic.entries.insert(key.clone(), value.clone());
            }
            Op::Remove { key, .. } => {
                topic.entries.remove(key);
            }
            Op::PutTopic { .. } | Op::DeleteTopic(_) => {}
        }
        topic.sweep();
    }

    /// The process ended: what was in its memory alone is gone.
    pub(super) fn forget_memory(&mut self) {
        for topic in self.topics.values_mut().filter(|topic| topic.durability() == Durability::Memory) {
            topic.messages.clear();
        }
    }

    /// Bytes of the messages somebody may still want, about as they are written.
    pub(super) fn live_bytes(&self) -> u64 {
        let written = self.topics.values().filter(|topic| topic.durability() != Durability::Memory);
        written.flat_map(|topic| topic.messages.values()).map(|content| 48 + content.len() as u64).sum()
    }

    /// Whether a store that was opened just now holds just this; heads may be higher, unless they have to be exact.
    pub(super) fn compare(&self, core: &Core, contents: &Contents, is_exact: bool) -> Result<(), String> {
        let front = core.front.lock();
        let state = &front.state;
        same("topics", &state.topics(), &self.topics.keys().copied().collect::<Vec<_>>())?;
        same("entries of the broker", &state.entries(TopicId::BROKER, b""), &pairs(&self.entries))?;
        for (id, topic) in &self.topics {
            let view = state.view(*id).ok_or("a topic is not there")?;
            same("settings", &view.settings, &topic.settings)?;
            same("floor", &view.floor, &topic.floor)?;
            same("groups", &view.groups, &topic.groups.keys().copied().collect::<Vec<_>>())?;
            same("entries", &state.entries(*id, b""), &pairs(&topic.entries))?;
            for (group_id, group) in &topic.groups {
                let view = state.group(*id, *group_id).ok_or("a group is not there")?;
                same("settings of a group", &view.settings.as_deref(), &Some(&*group.settings))?;
                same("next of a group", &view.next, &group.next)?;
                let holes =
                    view.holes.iter().flat_map(|hand| offsets(hand.run).map(|at| (at, (hand.attempt, hand.due))));
                same("holes", &holes.collect(), &group.holes)?;
                same("a lost group", &view.is_lost, &false)?;
            }
            let is_memory = topic.durability() == Durability::Memory;
            if view.head < topic.head && !is_memory || is_exact && view.head != topic.head {
                return Err(format!("the head of {id:?} is {}, of the model {}", view.head, topic.head));
            }
            let seen = state.topic(*id).and_then(|topic| topic.rest.seen.as_ref());
            for (producer, last) in &topic.last {
                let found = seen.and_then(|seen| seen.last(*producer)).map(|last| last.sequence);
                same("the last sequence of a producer", &found, &Some(*last))?;
            }
            for (dedup, offset) in topic.ids.iter().map(|(id, offset)| (Dedup::Id(*id), offset)) {
                let found = seen.map(|seen| format!("{:?}", seen.judge(dedup)));
                same("a message known by its id", &found, &Some(format!("Duplicate(Some({offset}))")))?;
            }
            let expected = if is_memory { BTreeMap::new() } else { topic.messages.clone() };
            if contents[id] != expected {
                return Err(format!(
                    "messages of {id:?}: {:?} instead of {:?}",
                    brief(&contents[id]),
                    brief(&expected)
                ));
            }
        }
        Ok(())
    }
}

/// All messages of all topics.
pub(super) type Contents = BTreeMap<TopicId, BTreeMap<Offset, Bytes>>;

/// Reads everything, page by page.
pub(super) fn read_all(core: &Core) -> Contents {
    let topics = core.front.lock().state.topics();
    topics.into_iter().map(|topic| (topic, read_topic(core, topic))).collect()
}

fn read_topic(core: &Core, topic: TopicId) -> BTreeMap<Offset, Bytes> {
    let (mut all, mut from, mut last) = (BTreeMap::new(), 0, None::<Stored>);
    loop {
        let page =
            core.read(topic, from, Limits { messages: 9, bytes: 4096 }).expect("what was just opened can be read");
        assert!(page.damaged.is_empty(), "nothing is damaged, and {:?} of {topic:?} are said to be", page.damaged);
        if page.next == from {
            return all;
        }
        from = page.next;
        for message in page.messages {
            if let Some(last) = last.filter(|last| last.timestamp > message.timestamp || last.offset >= message.offset)
            {
                panic!("{topic:?} goes back from {last:?} to {message:?}");
            }
            all.insert(message.offset, message.content.clone());
            last = Some(message);
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

fn pairs(entries: &BTreeMap<Bytes, Bytes>) -> Vec<(Bytes, Bytes)> {
    entries.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Contents begin with a number of their own.
fn brief(messages: &BTreeMap<Offset, Bytes>) -> Vec<(Offset, u64)> {
    messages.iter().map(|(offset, content)| (*offset, number(content))).collect()
}

pub(super) fn number(content: &[u8]) -> u64 {
    content.get(..8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}
