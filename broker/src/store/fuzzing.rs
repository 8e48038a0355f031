//! See [`crate::fuzzing`].

use super::log::{GroupFound, check_group, finish_group, sequence_at, snapshot_pages};
use super::record::{HEADER, Record};
use super::state::State;
use super::{Batch, Dedup, Durability, GroupId, Hand, Op, Progress, Publish, Run, TopicId, TopicSettings};
use bytes::Bytes;

const SEED: u64 = 0x5EED;

/// A record but for its checksum and length: what can be read is written the same.
pub fn record(bytes: &[u8]) {
    let bytes = completed(bytes);
    let Some(record) = Record::decode(&bytes) else { return };
    let mut again = Vec::new();
    record.encode(&mut again);
    assert_eq!(Record::decode(&again).as_ref(), Some(&record));
    State::default().apply(&record);
}

/// A place of a bit, then records as of [`record`]: the group is found as it was written, and with that bit changed it is
/// not, but for the zeros behind it.
pub fn group(bytes: &[u8]) {
    let Some((place, rest)) = bytes.split_at_checked(2) else { return };
    let mut group = vec![0; 64];
    rest.chunks(80).for_each(|piece| group.extend(completed(piece)));
    let end = group.len();
    finish_group(&mut group, SEED);
    let found = check_group(&group, sequence_at(), SEED);
    assert!(matches!(found, GroupFound::Group { len, .. } if len == group.len()), "{found:?}");
    let bit = usize::from(place[0]) << 8 | usize::from(place[1]);
    let at = bit / 8 % group.len();
    group[at] ^= 1 << (bit % 8);
    let found = check_group(&group, sequence_at(), SEED);
    assert!(at >= end || !matches!(found, GroupFound::Group { .. }), "a changed bit was not noticed");
}

/// A snapshot but for the checksums of its first and its last page, or the state of a topic: whatever they say is read or not.
pub fn snapshot(bytes: &[u8]) {
    if let Some(state) = snapshot_pages(bytes, SEED) {
        let topics = state.topics();
        topics.into_iter().for_each(|topic| drop(state.view(topic)));
    }
}

/// What the corpus of a target begins with.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let mut state = State::default();
    let mut records = Vec::new();
    let sample = sample();
    state.append(&sample.ops, sample.now, &mut Vec::new(), &mut |record| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        records.push(bytes);
    });
    match target {
        "record" => records,
        "group" => vec![[&[1, 7][..], &records.concat()].concat()],
        _ => vec![super::log::snapshot_contents(&state, SEED)],
    }
}

fn sample() -> Batch {
    let (topic, group) = (TopicId(3), GroupId(4));
    let settings = TopicSettings {
        name: "orders".to_owned(),
        durability: Durability::Os,
        dedup_window: 120_000,
        rest: Bytes::from_static(b"{}"),
    };
    let publish = |dedup| Op::Publish(Publish { topic, content: Bytes::from_static(b"content"), dedup });
    let handed = vec![Hand { run: Run { first: 0, count: 2 }, attempt: 1, due: 99 }];
    let progress = Progress { from: 0, next: 2, handed, settled: vec![Run { first: 1, count: 1 }] };
    let ops = vec![
        Op::PutTopic { topic, settings },
        Op::PutGroup { topic, group, settings: Bytes::from_static(b"g"), start: 0 },
        publish(None),
        publish(Some(Dedup::Id(7))),
        publish(Some(Dedup::Sequence { producer: 8, sequence: 1 })),
        Op::Skip { topic, producer: 8, sequence: 2 },
        Op::Progress { topic, group, progress },
        Op::Put { topic, key: Bytes::from_static(b"k"), value: Bytes::from_static(b"v") },
        Op::Seek { topic, group, next: 1 },
        Op::Trim { topic, to: 1 },
    ];
    Batch { ops, now: 5 }
}

/// A record with the length and the checksum that fit it.
fn completed(bytes: &[u8]) -> Vec<u8> {
    let mut record = bytes.to_vec();
    record.resize(record.len().max(HEADER), 0);
    let len = record.len() as u32;
    record[4..8].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    record
}
