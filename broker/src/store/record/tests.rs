//! See the parent.

use super::*;
use proptest::prelude::*;

fn records() -> impl Strategy<Value = Record<'static>> {
    let (topic, bytes) = (any::<u64>().prop_map(TopicId), prop::collection::vec(any::<u8>(), 0..80));
    let dedup = prop_oneof![
        Just(None),
        any::<u128>().prop_map(|id| Some(Dedup::Id(id))),
        (any::<u128>(), any::<u64>()).prop_map(|(producer, sequence)| Some(Dedup::Sequence { producer, sequence })),
    ];
    let run = || (any::<u64>(), any::<u64>()).prop_map(|(first, count)| Run { first, count });
    let hands = prop::collection::vec(
        (run(), any::<u32>(), any::<u64>()).prop_map(|(run, attempt, due)| Hand { run, attempt, due }),
        0..5,
    );
    let progress = (any::<u64>(), any::<u64>(), hands, prop::collection::vec(run(), 0..5))
        .prop_map(|(from, next, handed, settled)| Progress { from, next, handed, settled });
    (topic, any::<u64>(), any::<u64>(), bytes, dedup, progress, prop::collection::vec(any::<u64>(), 0..5), 0..17u8)
        .prop_map(|(topic, a, b, bytes, dedup, progress, replaces, kind)| match kind {
            0 => Record::Message { topic, offset: a, timestamp: b, dedup, content: bytes.into() },
            1 => Record::Skip { topic, producer: u128::from(a) << 64, sequence: b },
            2 => Record::Progress { topic, group: GroupId(a), progress },
            3 => Record::Seek { topic, group: GroupId(a), next: b },
            4 => {
                let settings = TopicSettings {
                    name: format!("{a:x}"),
                    durability: Durability::Os,
                    dedup_window: b,
                    rest: bytes.into(),
                };
                Record::Topic { topic, settings }
            }
            5 => Record::DeleteTopic { topic },
            6 => Record::Group { topic, group: GroupId(a), settings: bytes, start: b },
            7 => Record::DeleteGroup { topic, group: GroupId(a) },
            8 => Record::Trim { topic, to: a },
            9 => Record::Put { topic, key: bytes.clone(), value: bytes },
            10 => Record::Remove { topic, key: bytes },
            11 => Record::Reserve { topic, head: a, reserved: b },
            12 => Record::Sealed { file: a, replaces },
            13 => Record::Snapshot { file: a, sequence: b },
            14 => Record::Damage { from: a, to: b },
            _ => Record::Lost { topic },
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_read_as_it_was_written(record in records(), bit in any::<prop::sample::Index>()) {
        let mut bytes = vec![1, 2, 3];
        record.encode(&mut bytes);
        let bytes = &bytes[3..];
        let frame = Frame::read(bytes).unwrap();
        prop_assert!(frame.is_intact(bytes) && frame.len as usize == bytes.len());
        prop_assert_eq!(Record::decode(bytes), Some(record));
        let (mut flipped, bit) = (bytes.to_vec(), bit.index(8 * bytes.len()));
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!Frame::read(&flipped).is_some_and(|frame| frame.is_intact(&flipped)));
    }

    #[test]
    fn bytes_that_are_no_record_are_none(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..20u8) {
        let mut bytes = bytes;
        if let Some(byte) = bytes.get_mut(8) {
            *byte = kind;
        }
        // Whatever it says of it, it does not panic.
        let _ = Record::decode(&bytes);
    }
}
