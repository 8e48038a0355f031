//! A commit group in bytes: encoded, and checked. Drawn in [`super`].

use super::sequence::{GRAIN, Sequence};
use crate::store::log::mutant::{self, Mutant};
use crate::store::record::{self, Frame};
use crate::store::wire::{Put, Take};

#[cfg(test)]
mod tests;

/// Bytes before a group's records: a multiple of them never crosses a sector, so a header is old or new, never both.
pub(crate) const HEADER: usize = GRAIN as usize;
/// The store was closed, and this is the last group.
pub(crate) const CLEAN: u32 = 1;

/// What a group says before its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where it is.
    pub sequence: Sequence,
    /// The group before it; a missing one is noticed by this.
    pub previous: Sequence,
    /// Every group up to this one is certain.
    pub synced: Sequence,
    /// Of the recovery that the file was begun by.
    pub recovery: Recovery,
    /// See [`CLEAN`].
    pub flags: u32,
}

/// What a recovery decided: groups after `kept` and before `first` do not count, if a group says that `last` is synced. All
/// zeros: the file was begun by no recovery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Recovery {
    pub kept: Sequence,
    pub first: Sequence,
    pub last: Sequence,
}

/// Completes a group in place: `bytes` are [`HEADER`] bytes for the header and then the records; zeros follow up to the grain.
pub(crate) fn finish(bytes: &mut Vec<u8>, header: &Header, seed: u64) {
    let mut crc = seeded(seed);
    let (mut count, mut at) = (0u32, HEADER);
    // The header's own checksum comes first in order, so the table is summed up after it.
    let mut table = Vec::with_capacity(8);
    while at < bytes.len() {
        let len = Frame::read(&bytes[at..]).expect("records were encoded here").len as usize;
        table.extend_from_slice(&bytes[at..at + 8]);
        (count, at) = (count + 1, at + len);
    }
    let mut head = Vec::with_capacity(HEADER);
    head.u32(0);
    head.u32(count);
    for sequence in [header.sequence, header.previous, header.synced] {
        head.u64(sequence.0);
    }
    for sequence in [header.recovery.kept, header.recovery.first, header.recovery.last] {
        head.u64(sequence.0);
    }
    head.u32((bytes.len() - HEADER) as u32);
    head.u32(header.flags);
    crc = crc32c::crc32c_append(crc, &head[4..]);
    crc = crc32c::crc32c_append(crc, &table);
    head[..4].copy_from_slice(&crc.to_le_bytes());
    bytes[..HEADER].copy_from_slice(&head);
    bytes.resize(bytes.len().next_multiple_of(GRAIN as usize), 0);
}

/// What is at a place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A whole group, and its length with the zeros behind it.
    Group { header: Header, len: usize },
    /// A group's header is right, but not all of its records: what it says counts, they do not.
    Torn { header: Header, len: usize },
    /// `bytes` may begin with a group of so many bytes: more of them are needed.
    Short(usize),
    /// No group.
    Nothing,
}

/// Looks for the group `sequence` at the start of `bytes`; `is_end` if the file has no more.
pub(crate) fn check(bytes: &[u8], sequence: Sequence, seed: u64, is_end: bool) -> Found {
    // Most of a segment that was not filled is no group: that is seen by one number.
    if bytes.get(SEQUENCE).is_some_and(|found| *found != sequence.0.to_le_bytes()) {
        return Found::Nothing;
    }
    let Some((header, count, body)) = read_header(bytes) else {
        return if is_end { Found::Nothing } else { Found::Short(HEADER) };
    };
    if header.sequence != sequence || header.previous >= sequence || header.synced >= sequence {
        return Found::Nothing;
    }
    let Some(end) = HEADER.checked_add(body as usize) else { return Found::Nothing };
    if bytes.len() < end {
        return if is_end { Found::Nothing } else { Found::Short(end) };
    }
    let crc = crc32c::crc32c_append(seeded(seed), &bytes[4..HEADER]);
    let records = &bytes[HEADER..end];
    let Some(table) = table_crc(crc, records, count) else { return Found::Nothing };
    if table.to_le_bytes() != bytes[..4] {
        return Found::Nothing;
    }
    let len = end.next_multiple_of(GRAIN as usize);
    if mutant::is_on(Mutant::TornGroup) || frames(records).all(|(frame, record)| frame.is_intact(record)) {
        Found::Group { header, len }
    } else {
        Found::Torn { header, len }
    }
}

/// Where a header has its sequence.
const SEQUENCE: std::ops::Range<usize> = 8..16;

/// Bytes of a group that is not whole and lies at the end of the log, where `sequence` was to come behind `previous`; 0 if
/// there is none. `bytes` are what the file has from there on, `len` of them in all. One of the two numbers is enough, as no
/// other group bears either: the other may be what is damaged.
pub(crate) fn torn(bytes: &[u8], len: u64, sequence: Sequence, previous: Sequence) -> u64 {
    let Some((header, _, body)) = read_header(bytes) else {
        // Files end with a whole grain: this one has lost its end.
        return if bytes.iter().any(|byte| *byte != 0) { len } else { 0 };
    };
    if header.sequence != sequence && (header.previous != previous || previous == Sequence::default()) {
        return 0;
    }
    (HEADER as u64 + u64::from(body)).next_multiple_of(GRAIN).min(len)
}

/// The records of a group that has been checked, each with its header.
pub(crate) fn frames(mut records: &[u8]) -> impl Iterator<Item = (Frame, &[u8])> {
    std::iter::from_fn(move || {
        let frame = Frame::read(records)?;
        let (record, rest) = records.split_at_checked(frame.len as usize)?;
        records = rest;
        Some((frame, record))
    })
}

/// The records of a whole group: `bytes` begin with it.
pub(crate) fn records(bytes: &[u8]) -> &[u8] {
    read_header(bytes).and_then(|(_, _, body)| bytes.get(HEADER..HEADER + body as usize)).unwrap_or_default()
}

fn read_header(bytes: &[u8]) -> Option<(Header, u32, u32)> {
    let mut take = Take(bytes.get(4..HEADER)?);
    let count = take.u32()?;
    let mut next = || take.u64().map(Sequence);
    let (sequence, previous, synced) = (next()?, next()?, next()?);
    let recovery = Recovery { kept: next()?, first: next()?, last: next()? };
    let (body, flags) = (take.u32()?, take.u32()?);
    Some((Header { sequence, previous, synced, recovery, flags }, count, body))
}

/// The checksum over the checksums and lengths of `count` records that fill `records` exactly.
fn table_crc(mut crc: u32, records: &[u8], count: u32) -> Option<u32> {
    let mut rest = records;
    for _ in 0..count {
        let frame = Frame::read(rest).filter(|frame| frame.len as usize >= record::HEADER)?;
        crc = crc32c::crc32c_append(crc, &rest[..8]);
        rest = rest.get(frame.len as usize..)?;
    }
    rest.is_empty().then_some(crc)
}

fn seeded(seed: u64) -> u32 {
    crc32c::crc32c(&seed.to_le_bytes())
}
