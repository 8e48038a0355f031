//! One record: the smallest thing that is written, and what state is replayed from.
//!
//! ```text
//!  0 crc32c of all that follows   4 length of it all   8 kind  9 flags  10 zero(6)   16 topic   24 offset   32 body
//! ```
//! Little-endian. The checksum is not seeded and does not depend on where the record lies: it is computed once, when the
//! record is appended, and goes with it wherever it is copied.

use super::wire::{Put, Take};
use super::{Dedup, Durability, GroupId, Hand, Offset, Progress, Run, TopicId, TopicSettings};
use std::borrow::Cow;

#[cfg(test)]
mod tests;

/// Bytes of a record before its body.
pub(crate) const HEADER: usize = 32;

/// A change of state, or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Message {
        topic: TopicId,
        offset: Offset,
        timestamp: u64,
        dedup: Option<Dedup>,
        content: Cow<'a, [u8]>,
    },
    Skip {
        topic: TopicId,
        producer: u128,
        sequence: u64,
    },
    Progress {
        topic: TopicId,
        group: GroupId,
        progress: Progress,
    },
    Seek {
        topic: TopicId,
        group: GroupId,
        next: Offset,
    },
    Topic {
        topic: TopicId,
        settings: TopicSettings,
    },
    DeleteTopic {
        topic: TopicId,
    },
    Group {
        topic: TopicId,
        group: GroupId,
        settings: Vec<u8>,
        start: Offset,
    },
    DeleteGroup {
        topic: TopicId,
        group: GroupId,
    },
    Trim {
        topic: TopicId,
        to: Offset,
    },
    Put {
        topic: TopicId,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Remove {
        topic: TopicId,
        key: Vec<u8>,
    },
    /// No offset below `head` is given again (it may be where it was); those below `reserved` may have been.
    Reserve {
        topic: TopicId,
        head: Offset,
        reserved: Offset,
    },
    /// The file counts, and those it replaces do not any more. File 0: nothing of them is kept.
    Sealed {
        file: u64,
        replaces: Vec<u64>,
    },
    /// The snapshot counts.
    Snapshot {
        file: u64,
        sequence: u64,
    },
    /// A recovery found that what is from `from` (inclusive) to `to` (exclusive) had been synced and cannot be read.
    Damage {
        from: u64,
        to: u64,
    },
    /// What the groups of a topic did before this is not known; of all topics', if it is the broker's.
    Lost {
        topic: TopicId,
    },
}

/// Where one record is in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub crc: u32,
    pub len: u32,
    pub kind: u8,
    pub topic: TopicId,
    pub offset: Offset,
}

impl Frame {
    /// Reads the first record's header; its length is at least a header's and within `bytes`.
    #[inline]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        // Of a length that is known: read without looking at it again for each field.
        let mut take = Take(bytes.first_chunk::<HEADER>()?);
        let (crc, len) = (take.u32()?, take.u32()?);
        let kind = take.u8()?;
        take.bytes(7)?;
        let (topic, offset) = (TopicId(take.u64()?), take.u64()?);
        (len as usize >= HEADER).then_some(Self { crc, len, kind, topic, offset })
    }

    /// True if `bytes`, which begin with this record, hold it whole and as it was written.
    pub(crate) fn is_intact(&self, bytes: &[u8]) -> bool {
        bytes.get(4..self.len as usize).is_some_and(|rest| crc32c::crc32c(rest) == self.crc)
    }

    pub(crate) fn is_message(&self) -> bool {
        self.kind == MESSAGE
    }

    /// True if a message was here: see [`lost`].
    pub(crate) fn is_lost(&self) -> bool {
        self.kind == LOST
    }
}

const MESSAGE: u8 = 1;
const SKIP: u8 = 2;
const PROGRESS: u8 = 3;
const SEEK: u8 = 4;
const TOPIC: u8 = 5;
const DELETE_TOPIC: u8 = 6;
const GROUP: u8 = 7;
const DELETE_GROUP: u8 = 8;
const TRIM: u8 = 9;
const PUT: u8 = 10;
const REMOVE: u8 = 11;
const RESERVE: u8 = 12;
const SEALED: u8 = 13;
const SNAPSHOT: u8 = 14;
const DAMAGE: u8 = 15;
/// Never in a commit group, so no [`Record`]: see [`lost`].
const LOST: u8 = 16;
const GROUPS_LOST: u8 = 17;

const NO_DEDUP: u8 = 0;
const BY_SEQUENCE: u8 = 1;
const BY_ID: u8 = 2;

impl Record<'_> {
    /// The topic whose state it changes; [`TopicId::BROKER`] for those that are the log's own.
    pub(crate) fn topic(&self) -> TopicId {
        match self {
            Self::Message { topic, .. }
            | Self::Skip { topic, .. }
            | Self::Progress { topic, .. }
            | Self::Seek { topic, .. }
            | Self::Topic { topic, .. }
            | Self::DeleteTopic { topic }
            | Self::Group { topic, .. }
            | Self::DeleteGroup { topic, .. }
            | Self::Trim { topic, .. }
            | Self::Put { topic, .. }
            | Self::Remove { topic, .. }
            | Self::Reserve { topic, .. }
            | Self::Lost { topic } => *topic,
            Self::Sealed { .. } | Self::Snapshot { .. } | Self::Damage { .. } => TopicId::BROKER,
        }
    }

    /// Appends the record to `out`.
    ///
    /// # Panics
    /// If it is longer than 4 GiB, which no caller lets it be.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 16]);
        out.u64(self.topic().0);
        let (kind, flags, offset) = match self {
            Self::Message { offset, dedup, .. } => (MESSAGE, dedup_flag(*dedup), *offset),
            Self::Skip { .. } => (SKIP, 0, 0),
            Self::Progress { .. } => (PROGRESS, 0, 0),
            Self::Seek { .. } => (SEEK, 0, 0),
            Self::Topic { .. } => (TOPIC, 0, 0),
            Self::DeleteTopic { .. } => (DELETE_TOPIC, 0, 0),
            Self::Group { .. } => (GROUP, 0, 0),
            Self::DeleteGroup { .. } => (DELETE_GROUP, 0, 0),
            Self::Trim { to, .. } => (TRIM, 0, *to),
            Self::Put { .. } => (PUT, 0, 0),
            Self::Remove { .. } => (REMOVE, 0, 0),
            Self::Reserve { head, .. } => (RESERVE, 0, *head),
            Self::Sealed { .. } => (SEALED, 0, 0),
            Self::Snapshot { .. } => (SNAPSHOT, 0, 0),
            Self::Damage { .. } => (DAMAGE, 0, 0),
            Self::Lost { .. } => (GROUPS_LOST, 0, 0),
        };
        out.u64(offset);
        self.encode_body(out);
        let len = u32::try_from(out.len() - start).expect("a record is far shorter than 4 GiB");
        let record = &mut out[start..];
        record[4..8].copy_from_slice(&len.to_le_bytes());
        record[8] = kind;
        record[9] = flags;
        let crc = crc32c::crc32c(&record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message { timestamp, dedup, content, .. } => {
                out.u64(*timestamp);
                match dedup {
                    None => {}
                    Some(Dedup::Sequence { producer, sequence }) => {
                        out.u128(*producer);
                        out.u64(*sequence);
                    }
                    Some(Dedup::Id(id)) => out.u128(*id),
                }
                out.extend_from_slice(content);
            }
            Self::Skip { producer, sequence, .. } => {
                out.u128(*producer);
                out.u64(*sequence);
            }
            Self::Progress { group, progress, .. } => {
                out.u64(group.0);
                encode_progress(progress, out);
            }
            Self::Seek { group, next, .. } => {
                out.u64(group.0);
                out.u64(*next);
            }
            Self::Topic { settings, .. } => encode_settings(settings, out),
            Self::DeleteTopic { .. } | Self::Trim { .. } | Self::Lost { .. } => {}
            Self::Group { group, settings, start, .. } => {
                out.u64(group.0);
                out.u64(*start);
                out.extend_from_slice(settings);
            }
            Self::DeleteGroup { group, .. } => out.u64(group.0),
            Self::Put { key, value, .. } => {
                out.text(key);
                out.extend_from_slice(value);
            }
            Self::Remove { key, .. } => out.extend_from_slice(key),
            Self::Reserve { reserved, .. } => out.u64(*reserved),
            Self::Sealed { file, replaces } => {
                out.u64(*file);
                replaces.iter().for_each(|file| out.u64(*file));
            }
            Self::Snapshot { file, sequence } => {
                out.u64(*file);
                out.u64(*sequence);
            }
            Self::Damage { from, to } => {
                out.u64(*from);
                out.u64(*to);
            }
        }
    }
}

impl<'a> Record<'a> {
    /// Reads a record whose checksum is right: nothing, if this version does not know it.
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let frame = Frame::read(bytes)?;
        let flags = *bytes.get(9)?;
        let (topic, offset) = (frame.topic, frame.offset);
        let mut take = Take(bytes.get(HEADER..frame.len as usize)?);
        let record = match frame.kind {
            MESSAGE => {
                let timestamp = take.u64()?;
                let dedup = match flags {
                    NO_DEDUP => None,
                    BY_SEQUENCE => Some(Dedup::Sequence { producer: take.u128()?, sequence: take.u64()? }),
                    BY_ID => Some(Dedup::Id(take.u128()?)),
                    _ => return None,
                };
                Self::Message { topic, offset, timestamp, dedup, content: Cow::Borrowed(take.0) }
            }
            SKIP => Self::Skip { topic, producer: take.u128()?, sequence: take.u64()? },
            PROGRESS => Self::Progress { topic, group: GroupId(take.u64()?), progress: decode_progress(&mut take)? },
            SEEK => Self::Seek { topic, group: GroupId(take.u64()?), next: take.u64()? },
            TOPIC => Self::Topic { topic, settings: decode_settings(&mut take)? },
            DELETE_TOPIC => Self::DeleteTopic { topic },
            GROUP => {
                let (group, start) = (GroupId(take.u64()?), take.u64()?);
                Self::Group { topic, group, settings: take.0.to_vec(), start }
            }
            DELETE_GROUP => Self::DeleteGroup { topic, group: GroupId(take.u64()?) },
            TRIM => Self::Trim { topic, to: offset },
            PUT => Self::Put { topic, key: take.text()?.to_vec(), value: take.0.to_vec() },
            REMOVE => Self::Remove { topic, key: take.0.to_vec() },
            RESERVE => Self::Reserve { topic, head: offset, reserved: take.u64()? },
            SEALED => {
                let file = take.u64()?;
                let mut replaces = Vec::with_capacity(take.0.len() / 8);
                while !take.is_empty() {
                    replaces.push(take.u64()?);
                }
                Self::Sealed { file, replaces }
            }
            SNAPSHOT => Self::Snapshot { file: take.u64()?, sequence: take.u64()? },
            DAMAGE => Self::Damage { from: take.u64()?, to: take.u64()? },
            GROUPS_LOST => Self::Lost { topic },
            _ => return None,
        };
        Some(record)
    }
}

/// What a message's record holds: its timestamp and where its content begins. The record has been checked.
pub(crate) fn message_parts(record: &[u8]) -> Option<(u64, usize)> {
    let before = match *record.get(9)? {
        NO_DEDUP => HEADER + 8,
        BY_SEQUENCE => HEADER + 32,
        BY_ID => HEADER + 24,
        _ => return None,
    };
    let timestamp = Take(record.get(HEADER..before)?).u64()?;
    Some((timestamp, before))
}

/// What a sealed file holds in the place of a message whose bytes are damaged, for good: it is never forgotten that one was
/// there. The timestamp stands where a message's does.
pub(crate) fn lost(topic: TopicId, offset: Offset, timestamp: u64) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER + 8);
    record.u32(0);
    record.u32(HEADER as u32 + 8);
    record.u64(u64::from(LOST));
    record.u64(topic.0);
    record.u64(offset);
    record.u64(timestamp);
    let crc = crc32c::crc32c(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    record
}

fn dedup_flag(dedup: Option<Dedup>) -> u8 {
    match dedup {
        None => NO_DEDUP,
        Some(Dedup::Sequence { .. }) => BY_SEQUENCE,
        Some(Dedup::Id(_)) => BY_ID,
    }
}

pub(crate) fn encode_settings(settings: &TopicSettings, out: &mut Vec<u8>) {
    out.u8(settings.durability.code());
    out.u64(settings.dedup_window);
    out.text(settings.name.as_bytes());
    out.text(&settings.rest);
}

pub(crate) fn decode_settings(take: &mut Take<'_>) -> Option<TopicSettings> {
    let durability = Durability::from_code(take.u8()?)?;
    let dedup_window = take.u64()?;
    let name = String::from_utf8(take.text()?.to_vec()).ok()?;
    Some(TopicSettings { name, durability, dedup_window, rest: take.text()?.to_vec().into() })
}

/// Offsets as distances from the one before: most are small.
fn encode_progress(progress: &Progress, out: &mut Vec<u8>) {
    out.u64(progress.from);
    out.u64(progress.next);
    out.varint(progress.handed.len() as u64);
    let mut before = 0;
    for hand in &progress.handed {
        out.varint(hand.run.first.wrapping_sub(before));
        out.varint(hand.run.count);
        out.varint(u64::from(hand.attempt));
        out.varint(hand.due);
        before = hand.run.first;
    }
    out.varint(progress.settled.len() as u64);
    let mut before = 0;
    for run in &progress.settled {
        out.varint(run.first.wrapping_sub(before));
        out.varint(run.count);
        before = run.first;
    }
}

fn decode_progress(take: &mut Take<'_>) -> Option<Progress> {
    let (from, next) = (take.u64()?, take.u64()?);
    let (mut handed, mut settled) = (Vec::new(), Vec::new());
    let mut before = 0u64;
    for _ in 0..take.varint()? {
        before = before.wrapping_add(take.varint()?);
        let run = Run { first: before, count: take.varint()? };
        handed.push(Hand { run, attempt: u32::try_from(take.varint()?).ok()?, due: take.varint()? });
    }
    let mut before = 0u64;
    for _ in 0..take.varint()? {
        before = before.wrapping_add(take.varint()?);
        settled.push(Run { first: before, count: take.varint()? });
    }
    Some(Progress { from, next, handed, settled })
}
