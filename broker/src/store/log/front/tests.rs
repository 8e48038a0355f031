//! Messages that are added as a run are what they are one by one.

use super::super::reserved::RESERVE;
use super::*;
use crate::store::record::Record;
use crate::store::{Dedup, Publish, TopicSettings};
use proptest::prelude::*;
use std::collections::BTreeMap;

const GROUP_MAX: usize = 4096;
const TOPICS: [(TopicId, Durability); 3] =
    [(TopicId(1), Durability::Disk), (TopicId(2), Durability::Os), (TopicId(3), Durability::Memory)];

fn front() -> Front {
    let mut front = Front::new(State::default(), BTreeSet::new(), GROUP_MAX);
    for (topic, durability) in TOPICS {
        let settings =
            TopicSettings { name: format!("t{}", topic.0), durability, dedup_window: 60_000, rest: Default::default() };
        let batch = Batch { ops: vec![Op::PutTopic { topic, settings }], now: 1 };
        front.append(&batch, Durability::Memory).placed.expect("it is taken");
    }
    front
}

/// Each through [`Front::add`], as what is no run is.
fn one_by_one(front: &mut Front, ops: &[Op]) -> Vec<Result<Option<Placed>, StoreError>> {
    let add = |op: &Op| {
        let added = front.receive(Durability::Memory, |front, shown, wait| {
            let mut placed = Vec::new();
            front.add(std::slice::from_ref(op), 5, Durability::Memory, &mut placed, shown, wait)?;
            Ok(placed.pop())
        });
        added.placed
    };
    ops.iter().map(add).collect()
}

/// What is to be written, without what is reserved: when that is done differs.
fn written(front: &Front) -> Vec<Vec<u8>> {
    let all = front.closed.iter().chain([&front.open]).flat_map(|open| group::frames(&open.bytes[group::HEADER..]));
    let records = all
        .map(|(_, record)| record)
        .filter(|record| !matches!(Record::decode(record).expect("it was just written"), Record::Reserve { .. }));
    records.map(<[u8]>::to_vec).collect()
}

/// Up to where each topic may be read, once what is to be written is written, and once it is synced.
fn shown(front: &Front) -> [BTreeMap<TopicId, Offset>; 2] {
    let all = || front.closed.iter().chain([&front.open]);
    let last = |shown: Vec<&Shown>| shown.into_iter().flatten().copied().collect();
    [last(all().map(|open| &open.shown_written).collect()), last(all().map(|open| &open.shown_synced).collect())]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let publish = (1u64..5, 0usize..400, prop::option::weighted(0.1, 0u128..3)).prop_map(|(topic, len, id)| {
        // The fourth topic is not there.
        let (topic, content) = (TopicId(topic), vec![7; len].into());
        Op::Publish(Publish { topic, content, dedup: id.map(Dedup::Id) })
    });
    // Most often some for one topic come one after the other.
    prop::collection::vec((publish, 1usize..6), 0..20)
        .prop_map(|runs| runs.into_iter().flat_map(|(op, count)| vec![op; count]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_is_what_its_messages_are_one_by_one(batches in prop::collection::vec(ops(), 1..4), is_full in any::<bool>()) {
        let (mut runs, mut singles) = (front(), front());
        for (nth, ops) in batches.iter().enumerate() {
            if is_full && nth == 1 {
                let full = StoreError::Full { free: 1, watermark: 2 };
                (runs.full, singles.full) = (Some(full.clone()), Some(full));
            }
            let placed = runs.append_each(ops, 5, Durability::Memory).placed;
            prop_assert_eq!(placed, one_by_one(&mut singles, ops));
        }
        prop_assert_eq!(written(&runs), written(&singles));
        prop_assert_eq!(shown(&runs), shown(&singles));
        prop_assert!(runs.closed.iter().chain([&runs.open]).all(|open| open.bytes.len() <= GROUP_MAX));
        let messages = |front: &Front| front.closed.iter().chain([&front.open]).map(|open| open.messages).sum::<u64>();
        prop_assert_eq!(messages(&runs), messages(&singles));
        for (topic, _) in TOPICS {
            prop_assert_eq!(runs.state.head(topic), singles.state.head(topic));
            prop_assert_eq!(runs.ring(topic), singles.ring(topic));
        }
    }
}

/// A run may begin below what is reserved and end above it.
#[test]
fn a_run_that_goes_beyond_what_is_reserved_is_synced_before_it_is_shown() {
    let (topic, mut front) = (TopicId(2), front());
    let publish =
        |count: u64| vec![Op::Publish(Publish { topic, content: Default::default(), dedup: None }); count as usize];
    let (mut certain, mut head, mut asked, mut late) = (0, 0, Shown::new(), 0);
    for (nth, count) in [1, 20, 3, 25, 1, 30].into_iter().cycle().take(13_000).enumerate() {
        front.append_each(&publish(count), 5, Durability::Memory);
        head += count;
        while let Taken::Group(open) = front.take(u64::MAX, &mut Vec::new()) {
            let below = |shown: &Shown| shown.iter().filter(|(of, _)| *of == topic).map(|(_, next)| *next).max();
            if let Some(next) = below(&open.shown_written) {
                assert!(next <= certain, "{next} is shown with the write, and {certain} are reserved");
            }
            if below(&open.shown_synced).is_some() {
                assert!(!open.synced.is_empty(), "whoever published waits for the sync");
                late += 1;
            }
            asked.extend(open.reserved);
        }
        // A sync comes now and then: sometimes only once what was reserved is used.
        if nth % 6_000 == 0 {
            front.reserved(&asked);
            certain = asked.drain(..).map(|(_, reserved)| reserved).fold(certain, u64::max);
        }
    }
    assert!(certain > RESERVE && late > 100, "{head} messages, {certain} reserved, {late} groups waited for a sync");
}
