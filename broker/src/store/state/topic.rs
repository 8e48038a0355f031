//! One topic: what its records add up to.
//!
//! Invariant: no group's `next` is below the floor, and every hole is below its group's `next`.

use super::group::GroupState;
use super::seen::{Moment, Seen};
use crate::store::record::{Record, decode_settings, encode_settings};
use crate::store::wire::{Put, Take};
use crate::store::{Durability, GroupId, GroupView, Offset, TopicSettings, TopicView};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A topic without its messages: what changes with each of them, in one line of the cache, and the rest elsewhere. A copy
/// shares that.
#[derive(Clone, Debug, Default, PartialEq)]
#[repr(align(64))]
pub(crate) struct TopicState {
    /// The offset of the next message.
    pub head: Offset,
    /// The oldest offset that is kept.
    pub floor: Offset,
    /// Offsets below may have been given, whatever the head says.
    pub reserved: Offset,
    /// Of the last message.
    pub timestamp: u64,
    /// As the settings say; without them the strongest.
    pub durability: Durability,
    pub rest: Arc<Rest>,
}

/// What a message that can come only once neither asks for nor changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rest {
    /// Nothing, if the record that created it is damaged.
    pub settings: Option<TopicSettings>,
    /// In the order of their ids. One by one in memory of their own: to copy a topic copies no group.
    pub groups: Vec<(GroupId, Arc<GroupState>)>,
    pub entries: BTreeMap<Bytes, Bytes>,
    pub seen: Option<Box<Seen>>,
}

impl TopicState {
    pub(crate) fn group(&self, group: GroupId) -> Option<&GroupState> {
        self.place(group).ok().map(|at| &*self.rest.groups[at].1)
    }

    pub(crate) fn view(&self) -> TopicView {
        TopicView {
            settings: self.rest.settings.clone(),
            floor: self.floor,
            head: self.head,
            visible: self.head,
            groups: self.rest.groups.iter().map(|(group, _)| *group).collect(),
        }
    }

    pub(crate) fn group_view(&self, group: GroupId) -> Option<GroupView> {
        self.group(group).map(GroupState::view)
    }

    /// True if somebody may still want the message there.
    pub(crate) fn is_live(&self, offset: Offset) -> bool {
        offset >= self.floor || self.rest.groups.iter().any(|(_, group)| group.holes.contains(offset))
    }

    /// True if an offset from `first` to `last` is a hole of a group.
    pub(crate) fn has_holes(&self, first: Offset, last: Offset) -> bool {
        self.rest.groups.iter().any(|(_, group)| group.holes.intersects(first, last))
    }

    /// Above every offset that may have been given.
    pub(crate) fn known(&self) -> Offset {
        let nexts = self.rest.groups.iter().map(|(_, group)| group.next);
        nexts.max().unwrap_or(0).max(self.head).max(self.reserved)
    }

    /// Applies a record of this topic; its deletion is the caller's. Returns by how many bytes what it has seen grew.
    pub(crate) fn apply(&mut self, record: &Record<'_>, moment: Moment) -> isize {
        match record {
            Record::Message { offset, timestamp, dedup, .. } => {
                self.raise(*offset);
                self.head = self.head.max(offset.saturating_add(1));
                self.timestamp = self.timestamp.max(*timestamp);
                return dedup.map_or(0, |dedup| self.seen().note(dedup, Some(*offset), moment));
            }
            Record::Skip { producer, sequence, .. } => {
                let dedup = crate::store::Dedup::Sequence { producer: *producer, sequence: *sequence };
                return self.seen().note(dedup, None, moment);
            }
            Record::Progress { group, progress, .. } => self.group_mut(*group, progress.from).apply(progress),
            Record::Seek { group, next, .. } => {
                let next = (*next).max(self.floor);
                self.group_mut(*group, next).seek(next);
            }
            Record::Topic { settings, .. } => {
                self.durability = settings.durability;
                self.rest().settings = Some(settings.clone());
            }
            Record::Group { group, settings, start, .. } => {
                self.group_mut(*group, *start).settings = Some(settings.as_slice().into());
            }
            Record::DeleteGroup { group, .. } => {
                if let Ok(at) = self.place(*group) {
                    self.rest().groups.remove(at);
                }
            }
            Record::Trim { to, .. } => {
                self.raise(*to);
                self.floor = self.floor.max(*to);
                let floor = self.floor;
                if self.rest.groups.iter().any(|(_, group)| group.next < floor) {
                    let behind = self.rest().groups.iter_mut().filter(|(_, group)| group.next < floor);
                    behind.for_each(|(_, group)| Arc::make_mut(group).next = floor);
                }
            }
            Record::Put { key, value, .. } => {
                self.rest().entries.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            }
            Record::Remove { key, .. } => {
                self.rest().entries.remove(key.as_slice());
            }
            Record::Reserve { head, reserved, .. } => {
                self.raise(*head);
                self.reserved = self.reserved.max(*reserved);
            }
            Record::DeleteTopic { .. }
            | Record::Sealed { .. }
            | Record::Snapshot { .. }
            | Record::Damage { .. }
            | Record::Lost { .. } => {}
        }
        0
    }

    /// What its groups did is not known.
    pub(crate) fn lose(&mut self) {
        let floor = self.floor;
        self.rest().groups.iter_mut().for_each(|(_, group)| Arc::make_mut(group).lose(floor));
        self.loosen();
    }

    /// Messages may be missing: producers may go on anywhere above their last sequence.
    pub(crate) fn loosen(&mut self) {
        if self.rest.seen.is_some() {
            self.seen().loosen();
        }
    }

    /// Sets the head to at least `head`. Where it jumps, the messages between were damaged or cut.
    fn raise(&mut self, head: Offset) {
        if head > self.head {
            self.head = head;
            self.loosen();
        }
    }

    /// To change it; from then on it is shared with no copy.
    pub(crate) fn rest(&mut self) -> &mut Rest {
        Arc::make_mut(&mut self.rest)
    }

    fn seen(&mut self) -> &mut Seen {
        self.rest().seen.get_or_insert_default()
    }

    /// A group, made if it is not there: the record that created it is damaged then, or is this one.
    fn group_mut(&mut self, group: GroupId, start: Offset) -> &mut GroupState {
        let at = self.place(group).unwrap_or_else(|at| {
            let state = GroupState { next: start.max(self.floor), ..GroupState::default() };
            self.rest().groups.insert(at, (group, Arc::new(state)));
            at
        });
        Arc::make_mut(&mut self.rest().groups[at].1)
    }

    fn place(&self, group: GroupId) -> Result<usize, usize> {
        self.rest.groups.binary_search_by_key(&group, |(id, _)| *id)
    }

    /// As it is in a snapshot.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Rest { settings, groups, entries, seen } = &*self.rest;
        out.u8(u8::from(settings.is_some()));
        if let Some(settings) = settings {
            encode_settings(settings, out);
        }
        for number in [self.head, self.floor, self.reserved, self.timestamp] {
            out.varint(number);
        }
        out.varint(groups.len() as u64);
        for (group, state) in groups {
            out.varint(group.0);
            state.encode(out);
        }
        out.varint(entries.len() as u64);
        for (key, value) in entries {
            out.text(key);
            out.text(value);
        }
        out.u8(u8::from(seen.is_some()));
        if let Some(seen) = seen {
            seen.encode(out);
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let (mut topic, mut rest) = (Self::default(), Rest::default());
        if take.u8()? != 0 {
            let settings = decode_settings(take)?;
            topic.durability = settings.durability;
            rest.settings = Some(settings);
        }
        for number in [&mut topic.head, &mut topic.floor, &mut topic.reserved, &mut topic.timestamp] {
            *number = take.varint()?;
        }
        for _ in 0..take.varint()? {
            let group = GroupId(take.varint()?);
            rest.groups.push((group, Arc::new(GroupState::decode(take)?)));
        }
        for _ in 0..take.varint()? {
            let key = Bytes::copy_from_slice(take.text()?);
            rest.entries.insert(key, Bytes::copy_from_slice(take.text()?));
        }
        if take.u8()? != 0 {
            rest.seen = Some(Box::new(Seen::decode(take)?));
        }
        topic.rest = Arc::new(rest);
        Some(topic)
    }
}
