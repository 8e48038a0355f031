//! One topic: what its records add up to.
//!
//! Invariant: no group's `next` is below the floor, and every hole is below its group's `next`.

use super::group::GroupState;
use super::seen::{Moment, Seen};
use crate::store::record::{Record, decode_settings, encode_settings};
use crate::store::wire::{Put, Take};
use crate::store::{GroupId, GroupView, Offset, TopicSettings, TopicView};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A topic without its messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TopicState {
    /// Nothing, if the record that created it is damaged.
    pub settings: Option<TopicSettings>,
    /// The offset of the next message.
    pub head: Offset,
    /// The oldest offset that is kept.
    pub floor: Offset,
    /// Offsets below may have been given, whatever the head says.
    pub reserved: Offset,
    /// Of the last message.
    pub timestamp: u64,
    /// In the order of their ids. One by one in memory of their own: to copy a topic copies no group.
    pub groups: Vec<(GroupId, Arc<GroupState>)>,
    pub entries: BTreeMap<Bytes, Bytes>,
    pub seen: Option<Box<Seen>>,
}

impl TopicState {
    pub(crate) fn group(&self, group: GroupId) -> Option<&GroupState> {
        self.place(group).ok().map(|at| &*self.groups[at].1)
    }

    pub(crate) fn view(&self) -> TopicView {
        TopicView {
            settings: self.settings.clone(),
            floor: self.floor,
            head: self.head,
            visible: self.head,
            groups: self.groups.iter().map(|(group, _)| *group).collect(),
        }
    }

    pub(crate) fn group_view(&self, group: GroupId) -> Option<GroupView> {
        self.group(group).map(GroupState::view)
    }

    /// True if somebody may still want the message there.
    pub(crate) fn is_live(&self, offset: Offset) -> bool {
        offset >= self.floor || self.groups.iter().any(|(_, group)| group.holes.contains(offset))
    }

    /// True if an offset from `first` to `last` is a hole of a group.
    pub(crate) fn has_holes(&self, first: Offset, last: Offset) -> bool {
        self.groups.iter().any(|(_, group)| group.holes.intersects(first, last))
    }

    /// Above every offset that may have been given.
    pub(crate) fn known(&self) -> Offset {
        let nexts = self.groups.iter().map(|(_, group)| group.next);
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
            Record::Topic { settings, .. } => self.settings = Some(settings.clone()),
            Record::Group { group, settings, start, .. } => {
                self.group_mut(*group, *start).settings = Some(settings.as_slice().into());
            }
            Record::DeleteGroup { group, .. } => {
                if let Ok(at) = self.place(*group) {
                    self.groups.remove(at);
                }
            }
            Record::Trim { to, .. } => {
                self.raise(*to);
                self.floor = self.floor.max(*to);
                for (_, group) in &mut self.groups {
                    if group.next < self.floor {
                        Arc::make_mut(group).next = self.floor;
                    }
                }
            }
            Record::Put { key, value, .. } => {
                self.entries.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            }
            Record::Remove { key, .. } => {
                self.entries.remove(key.as_slice());
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
        for (_, group) in &mut self.groups {
            Arc::make_mut(group).lose(self.floor);
        }
        self.loosen();
    }

    /// Messages may be missing: producers may go on anywhere above their last sequence.
    pub(crate) fn loosen(&mut self) {
        if let Some(seen) = &mut self.seen {
            seen.loosen();
        }
    }

    /// Sets the head to at least `head`. Where it jumps, the messages between were damaged or cut.
    fn raise(&mut self, head: Offset) {
        if head > self.head {
            self.head = head;
            self.loosen();
        }
    }

    fn seen(&mut self) -> &mut Seen {
        self.seen.get_or_insert_default()
    }

    /// A group, made if it is not there: the record that created it is damaged then, or is this one.
    fn group_mut(&mut self, group: GroupId, start: Offset) -> &mut GroupState {
        let at = self.place(group).unwrap_or_else(|at| {
            let state = GroupState { next: start.max(self.floor), ..GroupState::default() };
            self.groups.insert(at, (group, Arc::new(state)));
            at
        });
        Arc::make_mut(&mut self.groups[at].1)
    }

    fn place(&self, group: GroupId) -> Result<usize, usize> {
        self.groups.binary_search_by_key(&group, |(id, _)| *id)
    }

    /// As it is in a snapshot.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(u8::from(self.settings.is_some()));
        if let Some(settings) = &self.settings {
            encode_settings(settings, out);
        }
        for number in [self.head, self.floor, self.reserved, self.timestamp] {
            out.varint(number);
        }
        out.varint(self.groups.len() as u64);
        for (group, state) in &self.groups {
            out.varint(group.0);
            state.encode(out);
        }
        out.varint(self.entries.len() as u64);
        for (key, value) in &self.entries {
            out.text(key);
            out.text(value);
        }
        out.u8(u8::from(self.seen.is_some()));
        if let Some(seen) = &self.seen {
            seen.encode(out);
        }
    }

    pub(crate) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let mut topic = Self::default();
        if take.u8()? != 0 {
            topic.settings = Some(decode_settings(take)?);
        }
        for number in [&mut topic.head, &mut topic.floor, &mut topic.reserved, &mut topic.timestamp] {
            *number = take.varint()?;
        }
        for _ in 0..take.varint()? {
            let group = GroupId(take.varint()?);
            topic.groups.push((group, Arc::new(GroupState::decode(take)?)));
        }
        for _ in 0..take.varint()? {
            let key = Bytes::copy_from_slice(take.text()?);
            topic.entries.insert(key, Bytes::copy_from_slice(take.text()?));
        }
        if take.u8()? != 0 {
            topic.seen = Some(Box::new(Seen::decode(take)?));
        }
        Some(topic)
    }
}
