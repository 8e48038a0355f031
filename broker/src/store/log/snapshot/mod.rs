//! A snapshot in bytes: the state as of one sequence. Pure; the file's first page is not part of it.
//!
//! ```text
//!  | index page 0 .. n | part part part .. | index page 0 .. n, again |          the index is there twice, the parts once
//!
//!  an index page: 4 KiB      0 crc32c   4 its number   8 pages of the index   12 zero   16 bytes of the snapshot   24 index
//!  the index: sequence, next id, ticks, counting files, and per topic: id, head, floor, reserved, groups, bytes of its state
//!  a part: at most 4 KiB     0 crc32c   4 its number   8 topic   16 a piece of the topic's state
//! ```
//! Checksums are seeded with the file's seed and cover all that follows them. Where a part is, follows from the lengths in the
//! index. Invariant: a snapshot damaged in one place gives up one topic at most, says which, and knows its head and its groups.

mod base;
mod file;

#[cfg(test)]
mod tests;

pub(crate) use base::Base;
pub(crate) use file::{load, save};

use super::sequence::Sequence;
use crate::store::state::{Frozen, GroupState, Rest, TopicState};
use crate::store::wire::{Put, Take};
use crate::store::{GroupId, Offset, TopicId};
use std::sync::Arc;

const PAGE: usize = 4096;
/// Bytes of an index page before its piece of the index.
const PAGE_HEADER: usize = 24;
/// Bytes of a part before its piece of a state.
const PART_HEADER: usize = 16;

/// What could be read of a snapshot.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loaded {
    pub sequence: Sequence,
    /// The files that count.
    pub files: Vec<u64>,
    pub next_id: u64,
    pub tick: u64,
    /// In the order of their ids.
    pub topics: Vec<(TopicId, TopicState)>,
    /// Topics of which a part is damaged, as far as the index knows them: their groups are marked lost.
    pub lost: Vec<(TopicId, TopicState)>,
    /// False if anything in it is damaged, also what is there twice.
    pub is_whole: bool,
}

/// What the index says of a topic.
struct Entry {
    topic: TopicId,
    head: Offset,
    floor: Offset,
    reserved: Offset,
    groups: Vec<GroupId>,
    /// Bytes of its state.
    len: usize,
}

/// The snapshot of a state.
pub(crate) fn write(frozen: &Frozen, sequence: Sequence, files: &[u64], seed: u64) -> Vec<u8> {
    let (mut index, mut parts, mut number) = (Vec::new(), Vec::new(), 0u32);
    for value in [sequence.0, frozen.next_id, frozen.tick, files.len() as u64] {
        index.varint(value);
    }
    files.iter().for_each(|file| index.varint(*file));
    index.varint(frozen.topics.len() as u64);
    let mut state = Vec::new();
    for (topic, topic_state) in &frozen.topics {
        state.clear();
        topic_state.encode(&mut state);
        Entry::of(*topic, topic_state, state.len()).encode(&mut index);
        for piece in state.chunks(PAGE - PART_HEADER) {
            write_part(&mut parts, number, *topic, piece, seed);
            number += 1;
        }
    }
    let pages = index.len().div_ceil(PAGE - PAGE_HEADER);
    let total = 2 * pages * PAGE + parts.len();
    let mut bytes = Vec::with_capacity(total);
    write_index(&mut bytes, &index, total, seed);
    bytes.append(&mut parts);
    bytes.extend_from_within(..pages * PAGE);
    bytes
}

/// Reads a snapshot: `bytes` are all of it. Nothing, if both copies of a page of the index are damaged.
pub(crate) fn read(bytes: &[u8], seed: u64) -> Option<Loaded> {
    let (index, pages, mut is_whole) = read_index(bytes, seed)?;
    let mut take = Take(&index);
    let (sequence, next_id, tick) = (Sequence(take.varint()?), take.varint()?, take.varint()?);
    let mut files = Vec::new();
    for _ in 0..take.varint()? {
        files.push(take.varint()?);
    }
    let (mut topics, mut lost) = (Vec::new(), Vec::new());
    let (mut at, mut number) = (pages * PAGE, 0u32);
    for _ in 0..take.varint()? {
        let entry = Entry::decode(&mut take)?;
        match read_topic(bytes, at, number, &entry, seed) {
            Some(state) => topics.push((entry.topic, state)),
            None => {
                is_whole = false;
                lost.push((entry.topic, entry.skeleton()));
            }
        }
        let parts = entry.len.div_ceil(PAGE - PART_HEADER);
        at = at.checked_add(entry.len)?.checked_add(parts * PART_HEADER)?;
        number = number.wrapping_add(parts as u32);
    }
    Some(Loaded { sequence, files, next_id, tick, topics, lost, is_whole })
}

impl Entry {
    fn of(topic: TopicId, state: &TopicState, len: usize) -> Self {
        let TopicState { head, floor, reserved, .. } = *state;
        Self { topic, head, floor, reserved, groups: state.rest.groups.iter().map(|(group, _)| *group).collect(), len }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let groups = self.groups.len() as u64;
        for value in [self.topic.0, self.head, self.floor, self.reserved, self.len as u64, groups] {
            out.varint(value);
        }
        let mut before = 0;
        for group in &self.groups {
            out.varint(group.0 - before);
            before = group.0;
        }
    }

    fn decode(take: &mut Take<'_>) -> Option<Self> {
        let (topic, head, floor) = (TopicId(take.varint()?), take.varint()?, take.varint()?);
        let (reserved, len) = (take.varint()?, usize::try_from(take.varint()?).ok()?);
        let (mut groups, mut before) = (Vec::new(), 0u64);
        for _ in 0..take.varint()? {
            before = before.checked_add(take.varint()?)?;
            groups.push(GroupId(before));
        }
        Some(Self { topic, head, floor, reserved, groups, len })
    }

    /// What is left of a topic whose state is damaged: its groups stand at the oldest message.
    fn skeleton(&self) -> TopicState {
        let group = GroupState { next: self.floor, is_lost: true, ..GroupState::default() };
        let groups = self.groups.iter().map(|id| (*id, Arc::new(group.clone()))).collect();
        let Self { head, floor, reserved, .. } = *self;
        let rest = Arc::new(Rest { groups, ..Rest::default() });
        TopicState { head, floor, reserved, rest, ..TopicState::default() }
    }
}

fn write_index(out: &mut Vec<u8>, index: &[u8], total: usize, seed: u64) {
    let pages = index.len().div_ceil(PAGE - PAGE_HEADER);
    for (number, piece) in index.chunks(PAGE - PAGE_HEADER).enumerate() {
        let start = out.len();
        out.u32(0);
        out.u32(number as u32);
        out.u32(pages as u32);
        out.u32(0);
        out.u64(total as u64);
        out.extend_from_slice(piece);
        out.resize(start + PAGE, 0);
        seal(&mut out[start..], seed);
    }
}

/// The index, its pages, and whether both copies are whole.
fn read_index(bytes: &[u8], seed: u64) -> Option<(Vec<u8>, usize, bool)> {
    let page = |at: usize| read_page(bytes.get(at..at.checked_add(PAGE)?)?, seed);
    let (pages, total) = match page(0) {
        Some((_, pages, total, _)) => (pages, total),
        // As long as the first copy is not to be read, the end of the file has to be that of the snapshot.
        None => page(bytes.len().checked_sub(PAGE)?).map(|(_, pages, total, _)| (pages, total))?,
    };
    let (mut index, mut is_whole) = (Vec::new(), true);
    for number in 0..pages {
        let is_this = |found: &(usize, usize, usize, &[u8])| (found.0, found.1, found.2) == (number, pages, total);
        let first = page(number * PAGE).filter(is_this);
        let second = total.checked_sub((pages - number) * PAGE).and_then(page).filter(is_this);
        is_whole &= first.is_some() && second.is_some();
        index.extend_from_slice(first.or(second)?.3);
    }
    Some((index, pages, is_whole))
}

/// Number, pages, total and piece of an index page.
fn read_page(page: &[u8], seed: u64) -> Option<(usize, usize, usize, &[u8])> {
    let mut take = Take(is_sealed(page, seed).then_some(&page[4..])?);
    let (number, pages, _) = (take.u32()? as usize, take.u32()? as usize, take.u32()?);
    let total = usize::try_from(take.u64()?).ok()?;
    Some((number, pages, total, take.0))
}

fn write_part(out: &mut Vec<u8>, number: u32, topic: TopicId, piece: &[u8], seed: u64) {
    let start = out.len();
    out.u32(0);
    out.u32(number);
    out.u64(topic.0);
    out.extend_from_slice(piece);
    seal(&mut out[start..], seed);
}

/// The state of a topic, if all its parts are as they were written: they begin at `at` with the number `number`.
fn read_topic(bytes: &[u8], mut at: usize, mut number: u32, entry: &Entry, seed: u64) -> Option<TopicState> {
    let mut state = Vec::new();
    let mut left = entry.len;
    while left > 0 {
        let piece = left.min(PAGE - PART_HEADER);
        let part = bytes.get(at..at.checked_add(PART_HEADER + piece)?)?;
        let mut take = Take(is_sealed(part, seed).then_some(&part[4..])?);
        let is_this = take.u32()? == number && take.u64()? == entry.topic.0;
        is_this.then(|| state.extend_from_slice(take.0))?;
        (at, left, number) = (at + part.len(), left - piece, number.wrapping_add(1));
    }
    let mut take = Take(&state);
    TopicState::decode(&mut take).filter(|_| take.is_empty())
}

/// Sets the checksum that `bytes` begin with.
pub(crate) fn seal(bytes: &mut [u8], seed: u64) {
    let crc = checksum(&bytes[4..], seed);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
}

fn is_sealed(bytes: &[u8], seed: u64) -> bool {
    bytes.len() > 4 && checksum(&bytes[4..], seed).to_le_bytes() == bytes[..4]
}

fn checksum(bytes: &[u8], seed: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&seed.to_le_bytes()), bytes)
}
