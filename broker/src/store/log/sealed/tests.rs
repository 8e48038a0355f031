//! What sealed files promise.

mod damage;
mod streams;

use super::{Directories, Kept, Opened, Sealed, open, write};
use crate::store::log::disk::simulated::Simulated;
use crate::store::log::file::{FileId, Kind};
use crate::store::record::{self, Record};
use crate::store::{Dedup, Limits, Offset, Stored, TopicId};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Messages as they should be found: `None` for one that is lost.
type Model = BTreeMap<(TopicId, Offset), Option<Stored>>;

const EVERYTHING: Limits = Limits { messages: usize::MAX, bytes: usize::MAX };

fn file(id: u64) -> FileId {
    FileId { kind: Kind::Sealed, id, seed: 0x5eed_0000 + id }
}

fn directories(bytes: usize) -> Arc<Directories> {
    Arc::new(Directories::new(bytes))
}

fn stored(offset: Offset, timestamp: u64, len: usize) -> Stored {
    let content: Vec<u8> = (0..len).map(|at| (offset as usize * 31 + at * 7) as u8).collect();
    Stored { offset, timestamp, content: content.into() }
}

fn record(topic: TopicId, message: &Stored) -> Bytes {
    let dedup = match message.offset % 3 {
        0 => None,
        1 => Some(Dedup::Id(u128::from(message.offset))),
        _ => Some(Dedup::Sequence { producer: 1, sequence: message.offset }),
    };
    let Stored { offset, timestamp, content } = message;
    let mut out = Vec::new();
    let content = content[..].into();
    Record::Message { topic, offset: *offset, timestamp: *timestamp, dedup, content }.encode(&mut out);
    out.into()
}

fn records(model: &Model) -> impl Iterator<Item = io::Result<Bytes>> + '_ {
    model.iter().map(|((topic, offset), message)| {
        Ok(match message {
            Some(message) => record(*topic, message),
            None => record::lost(*topic, *offset, 0).into(),
        })
    })
}

fn seal(disk: &Simulated, id: u64, model: &Model) -> Sealed {
    write(disk, &directories(1 << 20), file(id), &[7, 9], 1000, records(model)).unwrap()
}

fn reopen(disk: &Simulated, id: u64) -> Sealed {
    match open(disk, &directories(1 << 20), file(id), &file(id).to_string()).unwrap() {
        Opened::Complete(sealed) => sealed,
        other => panic!("{other:?}"),
    }
}

fn topics(model: &Model) -> Vec<TopicId> {
    let mut topics: Vec<_> = model.keys().map(|(topic, _)| *topic).collect();
    topics.dedup();
    topics
}

/// All of a topic, read at once.
fn read_all(sealed: &Sealed, topic: TopicId) -> (Vec<Stored>, Vec<Offset>) {
    let (mut out, mut damaged) = (Vec::new(), Vec::new());
    sealed.read(topic, 0, EVERYTHING, &mut out, &mut damaged).unwrap();
    (out, damaged)
}

/// All that a file gives out.
fn contents(sealed: &Sealed, topics: &[TopicId]) -> Model {
    let mut model = Model::new();
    for topic in topics {
        let (messages, damaged) = read_all(sealed, *topic);
        model.extend(messages.into_iter().map(|message| ((*topic, message.offset), Some(message))));
        model.extend(damaged.into_iter().map(|offset| ((*topic, offset), None)));
    }
    model
}

/// What a read should bring.
fn naive_read(model: &Model, topic: TopicId, from: Offset, limits: Limits) -> (Vec<Stored>, Vec<Offset>, Offset) {
    let (mut out, mut damaged, mut next) = (Vec::<Stored>::new(), Vec::new(), from);
    for ((_, offset), message) in model.range((topic, from)..=(topic, Offset::MAX)) {
        let bytes: usize = out.iter().map(|message| message.content.len()).sum();
        let is_full = out.len() + damaged.len() >= limits.messages.max(1);
        let is_over = message.as_ref().is_some_and(|message| bytes + message.content.len() > limits.bytes);
        if is_full || is_over && !out.is_empty() {
            break;
        }
        match message {
            Some(message) => out.push(message.clone()),
            None => damaged.push(*offset),
        }
        next = offset + 1;
    }
    (out, damaged, next)
}

prop_compose! {
    /// Offsets with gaps, times that stand still and leap, sizes from nothing to more than is read at once.
    fn a_model()(
        topics in prop::collection::btree_map(
            1u64..9,
            prop::collection::vec((1u64..4, prop_oneof![Just(0u64), 1u64..5, 10_000u64..20_000],
                prop_oneof![8 => 0usize..50, 3 => 100usize..3000, 1 => 60_000usize..80_000], 0u8..12), 1..30),
            0..6,
        )
    ) -> Model {
        let mut model = Model::new();
        for (topic, messages) in topics {
            let (mut offset, mut timestamp) = (topic * 1000, 1_700_000_000_000);
            for (step, later, len, luck) in messages {
                (offset, timestamp) = (offset + step, timestamp + later);
                let message = (luck > 0).then(|| stored(offset, timestamp, len));
                model.insert((TopicId(topic << (topic * 6)), offset), message);
            }
        }
        model
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_read_from_any_offset_brings_what_was_sealed(model in a_model(), messages in 0usize..40, bytes in prop_oneof![0usize..500, 0usize..200_000]) {
        let disk = Simulated::new(1);
        drop(seal(&disk, 1, &model));
        let sealed = reopen(&disk, 1);
        prop_assert_eq!(sealed.replaces(), &[7, 9]);
        prop_assert!(sealed.verify().unwrap().is_none());
        let limits = Limits { messages, bytes };
        for topic in topics(&model) {
            let of_topic: Vec<_> = model.range((topic, 0)..=(topic, Offset::MAX)).collect();
            let (first, last) = (of_topic[0].0.1, of_topic[of_topic.len() - 1].0.1);
            prop_assert_eq!(sealed.range(topic).unwrap(), Some((first, last)));
            for from in [0].into_iter().chain(first..=last + 2) {
                let (mut out, mut damaged) = (Vec::new(), Vec::new());
                let next = sealed.read(topic, from, limits, &mut out, &mut damaged).unwrap();
                prop_assert_eq!((out, damaged, next), naive_read(&model, topic, from, limits));
            }
        }
        prop_assert_eq!(sealed.range(TopicId(0)).unwrap(), None);
        prop_assert_eq!(contents(&sealed, &[TopicId(0), TopicId(u64::MAX)]), Model::new());
    }

    #[test]
    fn a_time_finds_the_first_message_as_young(model in a_model(), later in 0u64..50_000) {
        let disk = Simulated::new(1);
        let sealed = seal(&disk, 1, &model);
        let time = 1_700_000_000_000 + later;
        for topic in topics(&model) {
            let mut of_topic = model.range((topic, 0)..=(topic, Offset::MAX));
            let found = of_topic.find(|(_, message)| message.as_ref().is_some_and(|message| message.timestamp >= time));
            let found = found.map(|((_, offset), _)| *offset);
            // A lost one has the time of the one before it.
            let lost_before = sealed.offset_at(topic, time).unwrap();
            prop_assert_eq!(lost_before, found);
        }
    }

    #[test]
    fn accounts_of_topics_are_those_of_their_messages(model in a_model()) {
        let disk = Simulated::new(1);
        let sealed = seal(&disk, 1, &model);
        let runs: Vec<_> = sealed.topics().collect::<io::Result<_>>().unwrap();
        prop_assert_eq!(runs.iter().map(|run| run.topic).collect::<Vec<_>>(), topics(&model));
        for run in &runs {
            let of_topic: Vec<_> = model.range((run.topic, 0)..=(run.topic, Offset::MAX)).collect();
            prop_assert_eq!(run.count as usize, of_topic.len());
            prop_assert_eq!((run.first, run.last), (of_topic[0].0.1, of_topic[of_topic.len() - 1].0.1));
            let newest = of_topic.iter().filter_map(|(_, message)| message.as_ref().map(|message| message.timestamp)).max();
            prop_assert_eq!(run.newest, newest.unwrap_or(0));
        }
        let bytes: usize = records(&model).map(|record| record.unwrap().len()).sum();
        prop_assert_eq!(runs.iter().map(|run| run.bytes).sum::<u64>(), bytes as u64);
        prop_assert_eq!(sealed.record_bytes(), bytes as u64);
        prop_assert_eq!(sealed.record_count() as usize, model.len());
        prop_assert_eq!(sealed.lost_count() as usize, model.values().filter(|message| message.is_none()).count());
    }
}

/// So many topics with so many messages of `len` bytes.
fn wide(topics: u64, each: u64, len: usize) -> Model {
    let keys = (1..=topics).flat_map(|topic| (0..each).map(move |offset| (topic, offset)));
    keys.map(|(topic, offset)| ((TopicId(topic), offset), Some(stored(offset, topic + offset, len)))).collect()
}

#[test]
fn ten_thousand_topics_are_each_found() {
    let disk = Simulated::new(1);
    let model = wide(10_000, 3, 10);
    seal(&disk, 1, &model);
    let sealed = reopen(&disk, 1);
    for topic in (1..=10_000).step_by(13).map(TopicId) {
        let messages: Vec<_> =
            model.range((topic, 0)..=(topic, 9)).filter_map(|(_, message)| message.clone()).collect();
        assert_eq!(read_all(&sealed, topic), (messages, Vec::new()));
    }
    assert_eq!(sealed.topics().count(), 10_000);
    // The directory is a few hundredths of what it is of, but for the least of messages.
    let around = sealed.file_bytes() - sealed.record_bytes();
    assert!(around < 600_000, "{around} bytes around {}", sealed.record_bytes());
}

#[test]
fn a_message_of_many_pieces_is_read_whole() {
    let disk = Simulated::new(1);
    let sizes = [5, 4 << 20, 0, (16 << 20) + 1, 70_000];
    let model: Model =
        (0..).zip(sizes).map(|(offset, len)| ((TopicId(3), offset), Some(stored(offset, 9, len)))).collect();
    let sealed = seal(&disk, 1, &model);
    assert!(contents(&sealed, &[TopicId(3)]) == model);
    let (mut out, mut damaged) = (Vec::new(), Vec::new());
    let next = sealed.read(TopicId(3), 1, Limits { messages: 9, bytes: 10 }, &mut out, &mut damaged).unwrap();
    assert_eq!((next, out.len(), out[0].content.len()), (2, 1, 4 << 20));
    assert!(sealed.verify().unwrap().is_none());
}

#[test]
fn directories_of_many_files_take_no_more_memory_than_they_may() {
    let disk = Simulated::new(1);
    let directories = directories(64 << 10);
    let model = wide(300, 20, 0);
    for id in 1..=10 {
        write(&disk, &directories, file(id), &[], 0, records(&model)).unwrap();
    }
    for id in 1..=10 {
        let Opened::Complete(sealed) = open(&disk, &directories, file(id), &file(id).to_string()).unwrap() else {
            panic!("{id} is not complete")
        };
        for topic in (1..=300).step_by(19).map(TopicId) {
            assert_eq!(read_all(&sealed, topic).0.len(), 20);
        }
        assert!(directories.bytes() <= 64 << 10);
    }
    assert!(directories.bytes() > 32 << 10, "what may be kept is kept");
}

/// A file is read back when it is sealed, and merged later: nobody reads its messages then.
#[test]
fn going_through_a_file_drives_out_no_page_that_readers_want() {
    let disk = Simulated::new(1);
    let directories = directories(64 << 20);
    let model = wide(300, 200, 0);
    let sealed = write(&disk, &directories, file(1), &[], 0, records(&model)).unwrap();
    assert!(sealed.verify().unwrap().is_none());
    let keep = |_: TopicId, offsets: std::ops::RangeInclusive<Offset>| {
        if offsets.start() == offsets.end() { Kept::All } else { Kept::Some }
    };
    assert_eq!(sealed.records(&keep).count(), model.len());
    assert!(sealed.live_bytes(&keep).unwrap() > 0);
    let leaves = sealed.footer.levels[0] as usize;
    assert!(leaves > 20 && directories.bytes() < 10 * 4096, "{} of {leaves} pages", directories.bytes() / 4096);
    contents(&sealed, &topics(&model));
    assert!(directories.bytes() >= leaves * 4096, "a reader's pages stay");
}

#[test]
fn a_hot_page_is_read_once() {
    let disk = Simulated::new(1);
    let model = wide(3, 3, 0);
    let sealed = seal(&disk, 1, &model);
    sealed.range(TopicId(2)).unwrap();
    disk.fail(crate::store::log::disk::simulated::Operation::Read, "sealed", None);
    assert_eq!(sealed.range(TopicId(3)).unwrap(), Some((0, 2)));
}

#[test]
fn records_out_of_order_are_refused() {
    let disk = Simulated::new(1);
    let record = |offset| record(TopicId(1), &stored(offset, 0, 5));
    for (id, pair) in (1..).zip([[2, 1], [1, 1]]) {
        let outcome =
            write(&disk, &directories(0), file(id), &[], 0, pair.map(|offset| Ok(record(offset))).into_iter());
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn an_empty_file_is_complete() {
    let disk = Simulated::new(1);
    seal(&disk, 1, &Model::new());
    let sealed = reopen(&disk, 1);
    assert_eq!((sealed.times(), sealed.topics().count()), (None, 0));
    assert_eq!(sealed.records(&|_, _| Kept::All).count(), 0);
    assert_eq!(sealed.range(TopicId(1)).unwrap(), None);
    assert!(sealed.verify().unwrap().is_none());
}
