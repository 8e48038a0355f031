//! Topics, groups and entries as pure machines: what the records of a store add up to.
//!
//! ```text
//!   batch ── check ── append ──> records ──> the log
//!                       │  each is applied as it is made
//!                       v
//!   State ── apply <────┴── the log, at opening
//!     │  topic  group  holes     where everything is
//!     │  seen  ids               what is known when it comes twice
//!     └─ freeze ──> Frozen       for a snapshot
//! ```
//! Invariant: the state is what its records add up to and nothing else, so a replay of them gives the same one; only what
//! [`State::expire`] forgot, a replay remembers again. No clock, no lock, no disk.

mod check;
mod group;
mod holes;
mod ids;
mod seen;
mod topic;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
pub(crate) use check::MAX_BATCH;
pub(crate) use group::GroupState;
#[cfg(test)]
pub(crate) use holes::Holes;
pub(crate) use topic::{Rest, TopicState};

use super::by_topic::ByTopic;
use super::record::Record;
use super::{Dedup, Durability, GroupId, GroupView, Offset, Op, Placed, TopicId, TopicView};
use bytes::Bytes;
use seen::{Memory, Moment, Verdict};
use std::borrow::Cow;
use std::ops::Range;

/// Bytes that may be spent on knowing messages that come twice.
pub(crate) const SEEN_BUDGET: usize = 64 << 20;

/// More topics and groups than are made between two snapshots.
const LOST_IDS: u64 = 1 << 20;

/// Everything a store knows but the messages themselves.
#[derive(Clone, Debug)]
pub(crate) struct State {
    topics: ByTopic<TopicState>,
    /// Above every topic's and group's id that was ever used.
    next_id: u64,
    /// Above every id that was given in this life.
    given: u64,
    moment: Moment,
    seen_budget: usize,
    seen_bytes: usize,
    forgotten: u64,
    /// The uptime at which it is looked for what can be forgotten.
    look_at: u64,
}

/// A state as it was at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    /// In the order of their ids.
    pub topics: Vec<(TopicId, TopicState)>,
    /// See [`State::fresh_id`].
    pub next_id: u64,
    /// How many uses of the memory for duplicates there were: their order is kept.
    pub tick: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::new(SEEN_BUDGET)
    }
}

impl State {
    /// An empty one, which may spend so many bytes on knowing messages that come twice.
    pub(crate) fn new(seen_budget: usize) -> Self {
        let topics = ByTopic::from_iter([(TopicId::BROKER, TopicState::default())]);
        let (next_id, given, look_at, forgotten) = (1, 1, 0, 0);
        Self { topics, next_id, given, moment: Moment::default(), seen_budget, seen_bytes: 0, forgotten, look_at }
    }

    /// As it was frozen.
    pub(crate) fn thaw(frozen: Frozen, seen_budget: usize) -> Self {
        let mut state = Self::new(seen_budget);
        (state.next_id, state.given, state.moment.tick) = (frozen.next_id, frozen.next_id, frozen.tick);
        for (id, topic) in frozen.topics {
            state.seen_bytes += topic.rest.seen.as_ref().map_or(0, |seen| seen.bytes());
            state.topics.insert(id, topic);
        }
        state
    }

    /// A copy for a snapshot: it shares all but the numbers of each topic, and what is changed later is copied then.
    pub(crate) fn freeze(&self) -> Frozen {
        let mut topics: Vec<_> = self.topics.iter().map(|(id, topic)| (id, topic.clone())).collect();
        topics.sort_unstable_by_key(|(id, _)| *id);
        Frozen { topics, next_id: self.next_id, tick: self.moment.tick }
    }

    /// Applies a batch that [`State::check`] has passed, op by op. Every record that it becomes goes to `sink` first; what
    /// changes nothing (a duplicate, a lower floor, an entry that is not there) becomes none. Where each [`Op::Publish`] went
    /// is added to `placed`.
    pub(crate) fn append(
        &mut self,
        ops: &[Op],
        now: u64,
        placed: &mut Vec<Placed>,
        sink: &mut impl FnMut(&Record<'_>),
    ) {
        for op in ops {
            let record = match self.record(op, now) {
                Ok(record) => record,
                Err(Some(duplicate)) => {
                    placed.push(duplicate);
                    continue;
                }
                Err(None) => continue,
            };
            if let Record::Message { offset, .. } = record {
                placed.push(Placed::At(offset));
            }
            sink(&record);
            self.apply(&record);
        }
    }

    /// The same of messages to one topic that are known by nothing: the offsets they got, with one look at the topic for all of
    /// them. Nothing is done if the topic is not there.
    pub(crate) fn append_run<'a>(
        &mut self,
        topic: TopicId,
        contents: impl Iterator<Item = &'a Bytes>,
        now: u64,
        sink: &mut impl FnMut(&Record<'_>),
    ) -> Option<Range<Offset>> {
        if topic == TopicId::BROKER {
            return None;
        }
        let state = self.topics.get_mut(topic)?;
        let first = state.head;
        for content in contents {
            let (offset, timestamp, content) = (state.head, state.timestamp.max(now), Cow::Borrowed(&**content));
            let record = Record::Message { topic, offset, timestamp, dedup: None, content };
            sink(&record);
            state.apply(&record, self.moment);
        }
        Some(first..state.head)
    }

    /// What an op becomes; if nothing, where the message is that came twice.
    fn record<'a>(&self, op: &'a Op, now: u64) -> Result<Record<'a>, Option<Placed>> {
        let known = |topic: &TopicId| self.topics.get(*topic);
        let judge = |topic: &TopicId, dedup: Dedup| {
            known(topic).and_then(|topic| topic.rest.seen.as_ref()).map_or(Verdict::New, |seen| seen.judge(dedup))
        };
        Ok(match op {
            Op::Publish(publish) => {
                let topic = publish.topic;
                if let Some(Verdict::Duplicate(offset)) = publish.dedup.map(|dedup| judge(&topic, dedup)) {
                    return Err(Some(Placed::Duplicate(offset)));
                }
                let state = known(&topic).ok_or(None)?;
                let (offset, timestamp) = (state.head, state.timestamp.max(now));
                Record::Message {
                    topic,
                    offset,
                    timestamp,
                    dedup: publish.dedup,
                    content: Cow::Borrowed(&publish.content),
                }
            }
            Op::Skip { topic, producer, sequence } => {
                let (topic, producer, sequence) = (*topic, *producer, *sequence);
                if judge(&topic, Dedup::Sequence { producer, sequence }) != Verdict::New {
                    return Err(None);
                }
                Record::Skip { topic, producer, sequence }
            }
            Op::Progress { topic, group, progress } => {
                Record::Progress { topic: *topic, group: *group, progress: progress.clone() }
            }
            Op::Seek { topic, group, next } => Record::Seek { topic: *topic, group: *group, next: *next },
            Op::PutTopic { topic, settings } => Record::Topic { topic: *topic, settings: settings.clone() },
            Op::DeleteTopic(topic) => Record::DeleteTopic { topic: *topic },
            Op::PutGroup { topic, group, settings, start } => {
                Record::Group { topic: *topic, group: *group, settings: settings.to_vec(), start: *start }
            }
            Op::DeleteGroup { topic, group } => Record::DeleteGroup { topic: *topic, group: *group },
            Op::Trim { topic, to } => {
                let state = known(topic).ok_or(None)?;
                let to = (*to).min(state.head);
                if to <= state.floor {
                    return Err(None);
                }
                Record::Trim { topic: *topic, to }
            }
            Op::Put { topic, key, value } => Record::Put { topic: *topic, key: key.to_vec(), value: value.to_vec() },
            Op::Remove { topic, key } => {
                if !known(topic).is_some_and(|topic| topic.rest.entries.contains_key(key)) {
                    return Err(None);
                }
                Record::Remove { topic: *topic, key: key.to_vec() }
            }
        })
    }

    /// Applies one record. A topic or group it names and that is not there, is made without settings: the record that
    /// created it is damaged, or is this one.
    pub(crate) fn apply(&mut self, record: &Record<'_>) {
        let id = record.topic();
        match record {
            Record::Sealed { .. } | Record::Snapshot { .. } => return,
            Record::Damage { .. } => return self.loosen(),
            Record::Lost { topic } => return self.lose(*topic),
            Record::DeleteTopic { .. } => return self.delete(id),
            Record::Remove { .. } | Record::DeleteGroup { .. } if !self.topics.contains(id) => return,
            Record::Put { .. } | Record::Remove { .. } => {}
            _ if id == TopicId::BROKER => return,
            Record::Group { group, .. } | Record::Progress { group, .. } | Record::Seek { group, .. } => {
                self.next_id = self.next_id.max(group.0.saturating_add(1));
            }
            Record::Message { dedup: Some(_), .. } | Record::Skip { .. } => self.moment.tick += 1,
            _ => {}
        }
        let topic = self.topics.get_or_insert_with(id, || {
            self.next_id = self.next_id.max(id.0.saturating_add(1));
            TopicState::default()
        });
        let more = topic.apply(record, self.moment);
        if more != 0 {
            self.seen_bytes = self.seen_bytes.saturating_add_signed(more);
            self.keep_budget();
        }
    }

    fn delete(&mut self, topic: TopicId) {
        if topic != TopicId::BROKER
            && let Some(gone) = self.topics.remove(topic)
        {
            self.seen_bytes -= gone.rest.seen.as_ref().map_or(0, |seen| seen.bytes());
        }
    }

    /// See [`Record::Lost`]. Ids that were given may be forgotten with the rest.
    fn lose(&mut self, topic: TopicId) {
        let is_all = topic == TopicId::BROKER;
        if is_all {
            self.next_id = self.next_id.saturating_add(LOST_IDS);
        }
        for (_, state) in self.topics.iter_mut().filter(|(id, _)| is_all || *id == topic) {
            state.lose();
        }
    }

    fn loosen(&mut self) {
        self.topics.iter_mut().for_each(|(_, topic)| topic.loosen());
    }

    pub(crate) fn topic(&self, topic: TopicId) -> Option<&TopicState> {
        self.topics.get(topic).filter(|_| topic != TopicId::BROKER)
    }

    /// As [`super::Store::topic`]; everything appended counts as visible.
    pub(crate) fn view(&self, topic: TopicId) -> Option<TopicView> {
        self.topic(topic).map(TopicState::view)
    }

    pub(crate) fn group(&self, topic: TopicId, group: GroupId) -> Option<GroupView> {
        self.topic(topic)?.group_view(group)
    }

    /// Every topic, in the order of their ids.
    pub(crate) fn topics(&self) -> Vec<TopicId> {
        let mut ids: Vec<_> = self.topics.topics().filter(|id| *id != TopicId::BROKER).collect();
        ids.sort_unstable();
        ids
    }

    /// The least durability of a topic's messages; that of one without settings is the strongest.
    pub(crate) fn durability(&self, topic: TopicId) -> Option<Durability> {
        self.topic(topic).map(|topic| topic.durability)
    }

    /// The offset the next message of a topic gets.
    pub(crate) fn head(&self, topic: TopicId) -> Offset {
        self.topic(topic).map_or(0, |topic| topic.head)
    }

    /// Topics there are.
    pub(crate) fn len(&self) -> usize {
        self.topics.len() - 1
    }

    pub(crate) fn entry(&self, topic: TopicId, key: &[u8]) -> Option<Bytes> {
        self.topics.get(topic)?.rest.entries.get(key).cloned()
    }

    pub(crate) fn entries(&self, topic: TopicId, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let Some(topic) = self.topics.get(topic) else { return Vec::new() };
        let from = topic.rest.entries.range(Bytes::copy_from_slice(prefix)..);
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// An id that no topic or group has had, and that is not given again in this life.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        let id = self.given.max(self.next_id);
        self.given = id + 1;
        id
    }

    /// True if somebody may still want the message there.
    pub(crate) fn is_live(&self, topic: TopicId, offset: Offset) -> bool {
        self.topic(topic).is_some_and(|topic| topic.is_live(offset))
    }

    /// After damage or a cut: sets every topic's head above everything known of it, plus `by`, and says so as records.
    pub(crate) fn raise_heads(&mut self, by: u64) -> Vec<Record<'static>> {
        self.reserve(|topic| Some(topic.known().saturating_add(by)))
    }

    /// After an unclean stop: offsets that topics weaker than [`Durability::Disk`] had reserved may have been given.
    pub(crate) fn restore_weak_heads(&mut self) -> Vec<Record<'static>> {
        self.reserve(|topic| {
            let is_weak = topic.rest.settings.as_ref().is_none_or(|settings| settings.durability < Durability::Disk);
            (is_weak && topic.reserved > topic.head).then_some(topic.reserved)
        })
    }

    fn reserve(&mut self, head: impl Fn(&TopicState) -> Option<Offset>) -> Vec<Record<'static>> {
        let mut records = Vec::new();
        for id in self.topics() {
            let Some(state) = self.topic(id) else { continue };
            if let Some(head) = head(state) {
                records.push(Record::Reserve { topic: id, head, reserved: state.reserved });
            }
        }
        records.iter().for_each(|record| self.apply(record));
        records
    }

    #[cfg(test)]
    /// Bytes spent on knowing messages that come twice.
    pub(crate) fn seen_bytes(&self) -> usize {
        self.seen_bytes
    }

    #[cfg(test)]
    /// Producers and ids that were forgotten before their window was over, for want of room (ids by the 256).
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Says how long the store has been up, in milliseconds, and forgets what was last used longer ago than its topic's
    /// window; up to an eighth of the shortest window later, a minute at most. To be called about every second.
    pub(crate) fn expire(&mut self, uptime: u64) {
        self.moment.uptime = uptime;
        if uptime < self.look_at {
            return;
        }
        let (mut gone, mut shortest) = (Vec::new(), 480_000);
        for (id, topic) in self.topics.iter() {
            let (Some(seen), Some(settings)) = (&topic.rest.seen, &topic.rest.settings) else { continue };
            shortest = shortest.min(settings.dedup_window);
            let is_over = |used: Moment| uptime.saturating_sub(used.uptime) > settings.dedup_window;
            gone.extend(seen.memories().filter(|(used, _)| is_over(*used)).map(|(_, memory)| (id, memory)));
        }
        gone.into_iter().for_each(|(topic, memory)| self.forget(topic, memory));
        self.look_at = uptime + shortest / 8;
    }

    /// Forgets what was used least recently, and a sixteenth more than it has to: then it need not look again soon.
    fn keep_budget(&mut self) {
        if self.seen_bytes <= self.seen_budget {
            return;
        }
        let goal = self.seen_budget / 16 * 15;
        let mut all = Vec::new();
        for (id, topic) in self.topics.iter() {
            let memories = topic.rest.seen.iter().flat_map(|seen| seen.memories());
            all.extend(memories.map(|(used, memory)| (used.tick, id, memory)));
        }
        all.sort_unstable();
        for (_, topic, memory) in all {
            if self.seen_bytes <= goal {
                break;
            }
            self.forget(topic, memory);
            self.forgotten += 1;
        }
    }

    fn forget(&mut self, id: TopicId, memory: Memory) {
        let Some(topic) = self.topics.get_mut(id).map(TopicState::rest) else { return };
        let Some(seen) = &mut topic.seen else { return };
        self.seen_bytes -= seen.forget(memory);
        if seen.is_empty() {
            topic.seen = None;
        }
    }
}

/// What follows from records: not the uptime, nor ids that were given and never used.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        (&self.topics, self.next_id, self.moment.tick, self.seen_bytes)
            == (&other.topics, other.next_id, other.moment.tick, other.seen_bytes)
    }
}
