//! Records on their way into another file.

use super::super::{MOST_BYTES, Memory, Piece, merge, sort};
use super::*;
use crate::store::log::disk::{Disk, File};

fn collected(stream: impl Iterator<Item = io::Result<Bytes>>) -> Vec<Bytes> {
    stream.collect::<io::Result<_>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_keeps_what_is_kept_in_order(model in a_model(), split in any::<u64>(), floor in 0u64..9000, holes in any::<u64>()) {
        let disk = Simulated::new(1);
        // Each message is in one of three files, some in two.
        let places = |key: &(TopicId, Offset)| {
            let hash = (key.0.0 ^ key.1).wrapping_mul(split | 1) >> 13;
            [hash % 3, hash % 4].map(|place| place.min(2))
        };
        let sources: Vec<Sealed> = (0..3).map(|source| {
            let mut part = model.clone();
            part.retain(|key, _| places(key).contains(&source));
            seal(&disk, source + 1, &part)
        }).collect();
        let is_kept = |offset: Offset| offset >= floor || holes >> (offset % 64) & 1 == 1;
        let keep = |_: TopicId, offsets: std::ops::RangeInclusive<Offset>| {
            let (first, last) = (*offsets.start(), *offsets.end());
            if first >= floor {
                Kept::All
            } else if first == last || (first..=last).count() > 20 && last < floor && holes == 0 {
                if is_kept(first) { Kept::All } else { Kept::Nothing }
            } else {
                Kept::Some
            }
        };
        let mut expected = model.clone();
        expected.retain(|(_, offset), _| is_kept(*offset));
        let merged = merge(sources.iter().map(|source| source.records(&keep)).collect());
        write(&disk, &directories(1 << 20), file(9), &[1, 2, 3], 0, merged).unwrap();
        let sealed = reopen(&disk, 9);
        prop_assert_eq!(contents(&sealed, &topics(&model)), expected);
        for source in &sources {
            let kept = source.records(&keep).map(|record| record.unwrap().len() as u64).sum::<u64>();
            prop_assert_eq!(source.live_bytes(&keep).unwrap(), kept);
        }
    }

    #[test]
    fn segments_are_sorted_whatever_fits_in_memory(model in a_model(), bytes in 1usize..100_000, record in 0usize..2000, seed in any::<u64>()) {
        let disk = Simulated::new(1);
        let (segments, pieces) = segments(&disk, &model, seed);
        // Each twice: the first one counts.
        let pieces = pieces.into_iter().flat_map(|piece| [piece, Piece { position: 0, ..piece }]);
        let mut sorted = sort(&segments, pieces, Memory { bytes, record });
        let longest = records(&model).map(|record| record.unwrap().len()).max().unwrap_or(0);
        let sorted = collected(std::iter::from_fn(|| {
            let record = sorted.next();
            assert!(sorted.held() <= bytes.max(longest), "{} bytes are held", sorted.held());
            record
        }));
        prop_assert_eq!(sorted, records(&model).map(Result::unwrap).filter(|record| record[8] == 1).collect::<Vec<_>>());
    }
}

/// The messages of a model in two segments, in any order, with other bytes between.
fn segments(disk: &Simulated, model: &Model, seed: u64) -> (Vec<Arc<dyn File>>, Vec<Piece>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut messages: Vec<_> = model.iter().filter_map(|(key, message)| Some((key, message.as_ref()?))).collect();
    random.shuffle(&mut messages);
    let mut contents = [Vec::new(), Vec::new()];
    let mut pieces = Vec::new();
    for ((topic, offset), message) in messages {
        let segment = random.usize(..2);
        let (record, content) = (record(*topic, message), &mut contents[segment]);
        content.resize(content.len() + random.usize(..100), 0xAB);
        let position = content.len() as u32;
        pieces.push(Piece { topic: *topic, offset: *offset, segment: segment as u32, position });
        content.extend_from_slice(&record);
    }
    pieces.sort_unstable();
    let files = contents.iter().zip(["segment-0", "segment-1"]).map(|(content, name)| {
        let file = disk.create(name, content.len() as u64).unwrap();
        file.write_at(content, 0).unwrap();
        file
    });
    (files.collect(), pieces)
}

#[test]
fn a_message_damaged_before_it_was_sealed_is_lost_in_all_files_after() {
    let (disk, mut model) = (Simulated::new(1), wide(2, 5, 30));
    let (segments, pieces) = segments(&disk, &model, 3);
    let hit = pieces.iter().find(|piece| (piece.topic, piece.offset) == (TopicId(2), 3)).unwrap();
    disk.flip(&format!("segment-{}", hit.segment), (u64::from(hit.position) + 41) * 8);
    let sorted = sort(&segments, pieces.into_iter(), Memory { bytes: MOST_BYTES, record: 64 });
    let first = write(&disk, &directories(0), file(1), &[7, 9], 0, sorted).unwrap();
    model.insert((TopicId(2), 3), None);
    assert_eq!(contents(&first, &topics(&model)), model);
    assert_eq!((first.lost_count(), first.verify().unwrap().is_none()), (1, true));
    // Another one is damaged there, and both are in the next.
    let end = first.footer.records_to;
    disk.flip(&file(1).to_string(), (end - 1) * 8);
    model.insert((TopicId(2), 4), None);
    let keep = |_: TopicId, _: std::ops::RangeInclusive<Offset>| Kept::All;
    let mut stream = first.records(&keep);
    let second = write(&disk, &directories(0), file(2), &[1], 0, stream.by_ref()).unwrap();
    assert_eq!((stream.damaged(), second.lost_count()), (1, 2));
    assert_eq!(contents(&second, &topics(&model)), model);
    assert_eq!(second.offset_at(TopicId(2), 6).unwrap(), Some(4), "the directory knew when it was");
}

/// A bit of its header, its length among them: the others are sealed all the same.
#[test]
fn whatever_bit_of_a_message_is_damaged_it_is_marked_as_lost() {
    for bit in 0..8 * 48 {
        let (disk, mut model) = (Simulated::new(1), wide(2, 5, 30));
        let (segments, pieces) = segments(&disk, &model, 3);
        let hit = pieces.iter().find(|piece| (piece.topic, piece.offset) == (TopicId(2), 3)).unwrap();
        disk.flip(&format!("segment-{}", hit.segment), u64::from(hit.position) * 8 + bit);
        let sorted = sort(&segments, pieces.into_iter(), Memory { bytes: 100, record: 64 });
        let sealed = write(&disk, &directories(0), file(1), &[7, 9], 0, sorted).expect("it is sealed");
        model.insert((TopicId(2), 3), None);
        assert_eq!(contents(&sealed, &topics(&model)), model, "bit {bit}");
    }
}

#[test]
fn a_failed_read_ends_a_merge_and_a_seal() {
    let (disk, model) = (Simulated::new(1), wide(2, 5, 30));
    let sealed = seal(&disk, 1, &model);
    disk.fail(crate::store::log::disk::simulated::Operation::Read, "sealed", Some(1));
    let keep = |_: TopicId, _: std::ops::RangeInclusive<Offset>| Kept::All;
    let mut merged = merge(vec![sealed.records(&keep)]);
    assert!(merged.next().unwrap().is_err());
    assert!(merged.next().is_none(), "nothing comes after what is missing");
    disk.fail(crate::store::log::disk::simulated::Operation::Read, "sealed", Some(1));
    // The directory is in memory by now, the records are not.
    write(&disk, &directories(0), file(2), &[1], 0, sealed.records(&keep)).unwrap_err();
    assert!(matches!(open(&disk, &directories(0), file(2), &file(2).to_string()).unwrap(), Opened::Incomplete(_)));
}
