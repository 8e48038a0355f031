//! Whether a batch can be kept, before anything of it is.
//!
//! A batch is judged op by op: each against the state and what the ops before it will have done.

use super::State;
use super::seen::{Last, Verdict};
use crate::store::record::HEADER;
use crate::store::{Dedup, Durability, GroupId, Op, StoreError, TopicId, TopicSettings};
use hashbrown::HashMap;

/// The most a batch takes, as it is written: one commit group with its header.
pub(crate) const MAX_BATCH: usize = (16 << 20) - 64;
const MAX_KEY: usize = 64 << 10;
const MAX_VALUE: usize = 1 << 20;

impl State {
    /// Whether a batch can be kept: everything it names is there, its ids are free, no producer leaves a sequence out, and it
    /// is not empty and not too large.
    ///
    /// # Errors
    /// The first reason why not.
    pub(crate) fn check(&self, ops: &[Op]) -> Result<(), StoreError> {
        let bytes = ops.iter().map(written).sum();
        if bytes == 0 || bytes > MAX_BATCH {
            return Err(StoreError::BatchSize { bytes, max: MAX_BATCH });
        }
        let mut draft = Draft { state: self, topics: HashMap::new(), groups: HashMap::new(), last: HashMap::new() };
        ops.iter().try_for_each(|op| draft.check(op))
    }
}

/// The state as it will be after the ops that were judged.
struct Draft<'a> {
    state: &'a State,
    /// Those the batch creates, or deletes: nothing.
    topics: HashMap<TopicId, Option<Durability>>,
    groups: HashMap<GroupId, Option<TopicId>>,
    last: HashMap<(TopicId, u128), Last>,
}

impl Draft<'_> {
    fn check(&mut self, op: &Op) -> Result<(), StoreError> {
        match op {
            Op::Publish(publish) => {
                self.topic(publish.topic)?;
                match publish.dedup {
                    Some(Dedup::Sequence { producer, sequence }) => self.sequence(publish.topic, producer, sequence),
                    Some(Dedup::Id(_)) | None => Ok(()),
                }
            }
            Op::Skip { topic, producer, sequence } => {
                self.topic(*topic)?;
                self.sequence(*topic, *producer, *sequence)
            }
            Op::Progress { topic, group, .. } => {
                self.group(*topic, *group)?;
                let known = self.state.topic(*topic).and_then(|state| state.group(*group));
                let is_lost = known.is_some_and(|group| group.is_lost);
                if is_lost { Err(StoreError::GroupLost(*topic, *group)) } else { Ok(()) }
            }
            Op::Seek { topic, group, .. } => self.group(*topic, *group),
            Op::DeleteGroup { topic, group } => {
                self.group(*topic, *group)?;
                self.groups.insert(*group, None);
                Ok(())
            }
            Op::PutTopic { topic, settings } => self.put_topic(*topic, settings),
            Op::DeleteTopic(topic) => {
                self.topic(*topic)?;
                self.topics.insert(*topic, None);
                Ok(())
            }
            Op::PutGroup { topic, group, .. } => self.put_group(*topic, *group),
            Op::Trim { topic, .. } => self.topic(*topic),
            Op::Put { topic, key, value } => {
                self.owner(*topic)?;
                within(key.len(), MAX_KEY)?;
                within(value.len(), MAX_VALUE)
            }
            Op::Remove { topic, .. } => self.owner(*topic),
        }
    }

    /// A topic has to be there.
    fn topic(&self, topic: TopicId) -> Result<(), StoreError> {
        let is_there = match self.topics.get(&topic) {
            Some(drafted) => drafted.is_some(),
            None => topic != TopicId::BROKER && self.state.topics.contains(topic),
        };
        is_there.then_some(()).ok_or(StoreError::UnknownTopic(topic))
    }

    /// What has entries has to be there.
    fn owner(&self, topic: TopicId) -> Result<(), StoreError> {
        if topic == TopicId::BROKER { Ok(()) } else { self.topic(topic) }
    }

    fn group(&self, topic: TopicId, group: GroupId) -> Result<(), StoreError> {
        self.topic(topic)?;
        let is_there = match self.groups.get(&group) {
            Some(drafted) => *drafted == Some(topic),
            None => self.state.topics.get(topic).is_some_and(|state| state.group(group).is_some()),
        };
        is_there.then_some(()).ok_or(StoreError::UnknownGroup(topic, group))
    }

    fn put_topic(&mut self, topic: TopicId, settings: &TopicSettings) -> Result<(), StoreError> {
        let used = Err(StoreError::IdInUse(topic.0));
        if topic == TopicId::BROKER {
            return used;
        }
        match self.topics.get(&topic) {
            // Of a topic that was deleted just now the id is gone too.
            Some(drafted) if *drafted != Some(settings.durability) => return used,
            Some(_) => return Ok(()),
            None => {}
        }
        let is_free = match self.state.topics.get(topic) {
            Some(known) => known.rest.settings.as_ref().is_none_or(|known| known.durability == settings.durability),
            None => !self.is_group(GroupId(topic.0)),
        };
        if !is_free {
            return used;
        }
        self.topics.insert(topic, Some(settings.durability));
        Ok(())
    }

    fn put_group(&mut self, topic: TopicId, group: GroupId) -> Result<(), StoreError> {
        self.topic(topic)?;
        if self.group(topic, group).is_ok() {
            return Ok(());
        }
        let id = TopicId(group.0);
        if self.is_group(group) || self.topics.contains_key(&id) || self.state.topics.contains(id) {
            return Err(StoreError::IdInUse(group.0));
        }
        self.groups.insert(group, Some(topic));
        Ok(())
    }

    /// True if a group of any topic has, or had in this batch, this id.
    fn is_group(&self, group: GroupId) -> bool {
        // Only an id that was given and not used at once is looked for everywhere.
        let is_known = group.0 < self.state.next_id;
        self.groups.contains_key(&group)
            || is_known && self.state.topics.iter().any(|(_, topic)| topic.group(group).is_some())
    }

    fn sequence(&mut self, topic: TopicId, producer: u128, sequence: u64) -> Result<(), StoreError> {
        let known = || self.state.topics.get(topic)?.rest.seen.as_ref()?.last(producer);
        let last = self.last.get(&(topic, producer)).copied().or_else(known);
        match last.map_or(Verdict::New, |last| last.judge(sequence)) {
            Verdict::New => {
                self.last.insert((topic, producer), Last { sequence, is_loose: false });
                Ok(())
            }
            Verdict::Duplicate(_) => Ok(()),
            Verdict::Gap(expected) => Err(StoreError::SequenceGap { expected }),
        }
    }
}

fn within(bytes: usize, max: usize) -> Result<(), StoreError> {
    (bytes <= max).then_some(()).ok_or(StoreError::BatchSize { bytes, max })
}

/// As many bytes as an op takes at most when it is written.
fn written(op: &Op) -> usize {
    // The numbers of any record without lists, and a little more.
    const NUMBERS: usize = HEADER + 40;
    NUMBERS
        + match op {
            Op::Publish(publish) => publish.content.len(),
            // Varints: 10 bytes for a number of 64 bits, 5 for one of 32.
            Op::Progress { progress, .. } => 35 * progress.handed.len() + 20 * progress.settled.len(),
            Op::PutTopic { settings, .. } => settings.name.len() + settings.rest.len(),
            Op::PutGroup { settings, .. } => settings.len(),
            Op::Put { key, value, .. } => key.len() + value.len(),
            Op::Remove { key, .. } => key.len(),
            Op::Skip { .. } | Op::Seek { .. } | Op::DeleteTopic(_) | Op::DeleteGroup { .. } | Op::Trim { .. } => 0,
        }
}
