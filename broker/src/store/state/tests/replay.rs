use super::*;
use crate::store::record::Record;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Ops on few topics, groups and producers: most batches are kept, some are refused.
fn op() -> impl Strategy<Value = Op> {
    let topic = || (1..4u64).prop_map(TopicId);
    let group = || (1..4u64, 0..2u64).prop_map(|(topic, group)| (TopicId(topic), GroupId(topic * 10 + group)));
    let dedup = prop_oneof![
        Just(None),
        (0..3u128, 0..30u64).prop_map(|(producer, number)| sequence(producer, number)),
        (0..40u128).prop_map(|id| Some(Dedup::Id(id))),
    ];
    let runs = || prop::collection::vec((0..40u64, 1..6u64), 0..4);
    prop_oneof![
        8 => (topic(), dedup).prop_map(|(topic, dedup)| publish(topic, dedup)),
        1 => (topic(), 0..3u128, 0..30u64).prop_map(|(topic, producer, sequence)| Op::Skip { topic, producer, sequence }),
        4 => (group(), 0..30u64, 0..10u64, runs(), runs()).prop_map(|((topic, group), from, more, handed, settled)| {
            let handed = handed.into_iter().map(|(first, count)| hand(first, count, count as u32)).collect();
            let settled = settled.into_iter().map(|(first, count)| run(first, count)).collect();
            Op::Progress { topic, group, progress: Progress { from, next: from + more, handed, settled } }
        }),
        1 => (group(), 0..40u64).prop_map(|((topic, group), next)| Op::Seek { topic, group, next }),
        3 => topic().prop_map(put_topic),
        1 => topic().prop_map(Op::DeleteTopic),
        3 => group().prop_map(|(topic, group)| put_group(topic, group)),
        1 => group().prop_map(|(topic, group)| Op::DeleteGroup { topic, group }),
        1 => (topic(), 0..30u64).prop_map(|(topic, to)| Op::Trim { topic, to }),
        1 => (0..4u64, 0..5u8).prop_map(|(topic, key)| Op::Put {
            topic: TopicId(topic),
            key: vec![key].into(),
            value: vec![key].into(),
        }),
        1 => (0..4u64, 0..5u8).prop_map(|(topic, key)| Op::Remove { topic: TopicId(topic), key: vec![key].into() }),
    ]
}

pub(crate) fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let one = (prop::collection::vec(op(), 1..4), 0..50u64).prop_map(|(ops, now)| Batch { ops, now });
    prop::collection::vec(one, 1..120)
}

/// Appends what is kept, and gives the records.
pub(crate) fn records(state: &mut State, batches: &[Batch]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for batch in batches {
        if state.check(&batch.ops).is_ok() {
            append(state, batch, &mut |record| {
                let mut bytes = Vec::new();
                record.encode(&mut bytes);
                records.push(bytes);
            });
        }
    }
    records
}

fn replay(state: &mut State, records: &[Vec<u8>]) {
    records.iter().for_each(|record| state.apply(&Record::decode(record).unwrap()));
}

/// What a naive reader of the design would keep.
#[derive(Default)]
struct Naive {
    head: u64,
    floor: u64,
    groups: BTreeMap<GroupId, (u64, BTreeMap<u64, u32>)>,
}

fn model(topics: &mut BTreeMap<TopicId, Naive>, op: &Op, is_new: bool) {
    match op {
        Op::Publish(publish) => topics.get_mut(&publish.topic).unwrap().head += u64::from(is_new),
        Op::Progress { topic, group, progress } => {
            let (next, holes) = topics.get_mut(topic).unwrap().groups.get_mut(group).unwrap();
            let is_in =
                |runs: &[Run], offset| runs.iter().any(|run| (run.first..run.first + run.count).contains(&offset));
            holes.extend((*next..progress.from).map(|offset| (offset, 0)));
            *next = (*next).max(progress.next).max(progress.from);
            holes.retain(|offset, _| !(progress.from..progress.next).contains(offset));
            for hand in &progress.handed {
                let run = hand.run.first..hand.run.first + hand.run.count;
                holes.extend(run.filter(|offset| offset < next).map(|offset| (offset, hand.attempt)));
            }
            holes.retain(|offset, _| !is_in(&progress.settled, *offset));
        }
        Op::Seek { topic, group, next } => {
            let topic = topics.get_mut(topic).unwrap();
            topic.groups.insert(*group, ((*next).max(topic.floor), BTreeMap::new()));
        }
        Op::PutTopic { topic, .. } => {
            topics.entry(*topic).or_default();
        }
        Op::DeleteTopic(topic) => {
            topics.remove(topic);
        }
        Op::PutGroup { topic, group, start, .. } => {
            let topic = topics.get_mut(topic).unwrap();
            topic.groups.entry(*group).or_insert(((*start).max(topic.floor), BTreeMap::new()));
        }
        Op::DeleteGroup { topic, group } => {
            topics.get_mut(topic).unwrap().groups.remove(group);
        }
        Op::Trim { topic, to } => {
            let topic = topics.get_mut(topic).unwrap();
            topic.floor = topic.floor.max((*to).min(topic.head));
            topic.groups.values_mut().for_each(|(next, _)| *next = (*next).max(topic.floor));
        }
        Op::Skip { .. } | Op::Put { .. } | Op::Remove { .. } => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_of_the_records_gives_the_same_state(batches in batches(), at in any::<prop::sample::Index>()) {
        let mut state = State::default();
        let records = records(&mut state, &batches);
        let mut replayed = State::default();
        replay(&mut replayed, &records);
        prop_assert_eq!(&replayed, &state);
        // Also if a snapshot was taken anywhere between.
        let (first, rest) = records.split_at(at.index(records.len() + 1));
        let mut before = State::default();
        replay(&mut before, first);
        let mut after = State::thaw(before.freeze(), usize::MAX);
        prop_assert_eq!(&after, &before);
        replay(&mut after, rest);
        prop_assert_eq!(&after, &state);
    }

    #[test]
    fn memory_for_duplicates_is_replayed_the_same_when_it_is_short(batches in batches()) {
        let mut state = State::new(600);
        let records = records(&mut state, &batches);
        let mut replayed = State::new(600);
        replay(&mut replayed, &records);
        prop_assert_eq!(replayed, state);
    }

    #[test]
    fn heads_floors_and_holes_are_what_a_naive_model_says(batches in batches()) {
        let mut state = State::default();
        let mut topics = BTreeMap::new();
        for batch in &batches {
            if state.check(&batch.ops).is_err() {
                continue;
            }
            let mut placed = append(&mut state, batch, &mut |_| {}).into_iter();
            for op in &batch.ops {
                let placed = if matches!(op, Op::Publish(_)) { placed.next() } else { None };
                let is_new = matches!(placed, Some(Placed::At(_)));
                model(&mut topics, op, is_new);
            }
            prop_assert_eq!(placed.next(), None);
            prop_assert_eq!(state.topics(), topics.keys().copied().collect::<Vec<_>>());
            for (id, naive) in &topics {
                let view = state.view(*id).unwrap();
                prop_assert_eq!((view.head, view.floor), (naive.head, naive.floor));
                prop_assert_eq!(view.groups, naive.groups.keys().copied().collect::<Vec<_>>());
                for (group, (next, holes)) in &naive.groups {
                    let view = state.group(*id, *group).unwrap();
                    let of = |hand: &Hand| {
                        let attempt = hand.attempt;
                        (hand.run.first..hand.run.first + hand.run.count).map(move |offset| (offset, attempt))
                    };
                    let found: BTreeMap<_, _> = view.holes.iter().flat_map(of).collect();
                    prop_assert_eq!((view.next, &found), (*next, holes));
                }
            }
        }
    }
}

#[test]
fn where_a_record_is_missing_what_it_covered_is_not_settled() {
    let mut state = filled(20);
    keep(&mut state, [progress(0, 5, &[], &[])]).unwrap();
    // That from 5 to 9 is damaged.
    keep(&mut state, [progress(9, 12, &[hand(10, 1, 1)], &[])]).unwrap();
    let group = state.group(TOPIC, GROUP).unwrap();
    let gap = Hand { run: run(5, 4), attempt: 0, due: 0 };
    assert_eq!((group.next, group.holes), (12, vec![gap, hand(10, 1, 1)]));
}

#[test]
fn handed_over_again_counts_before_settled() {
    let mut state = filled(20);
    keep(&mut state, [progress(0, 5, &[hand(0, 5, 1)], &[])]).unwrap();
    keep(&mut state, [progress(5, 6, &[hand(1, 2, 2), hand(5, 1, 1)], &[run(2, 1), run(5, 1)])]).unwrap();
    let group = state.group(TOPIC, GROUP).unwrap();
    assert_eq!((group.next, group.holes), (6, vec![hand(0, 1, 1), hand(1, 1, 2), hand(3, 2, 1)]));
}

#[test]
fn what_has_lost_its_first_record_is_kept_without_settings() {
    let mut state = State::default();
    let message = Record::Message { topic: TOPIC, offset: 7, timestamp: 1, dedup: None, content: b"x".into() };
    state.apply(&message);
    let progress = Progress { from: 4, next: 6, handed: vec![hand(5, 1, 1)], settled: Vec::new() };
    state.apply(&Record::Progress { topic: TOPIC, group: GROUP, progress });
    let (topic, group) = (state.view(TOPIC).unwrap(), state.group(TOPIC, GROUP).unwrap());
    assert_eq!((topic.settings, topic.head), (None, 8));
    assert_eq!((group.settings, group.next, group.holes), (None, 6, vec![hand(5, 1, 1)]));
    assert!(state.fresh_id() > GROUP.0);
    keep(&mut state, [put_topic(TOPIC), put_group(TOPIC, GROUP)]).unwrap();
    assert_eq!(state.group(TOPIC, GROUP).unwrap().next, 6);
}

#[test]
fn after_damage_every_head_is_above_all_that_is_known() {
    let mut state = filled(3);
    let weak = TopicId(2);
    keep(&mut state, [Op::PutTopic { topic: weak, settings: settings("weak", Durability::Os) }]).unwrap();
    state.apply(&Record::Reserve { topic: weak, head: 0, reserved: 100 });
    keep(&mut state, [Op::Seek { topic: TOPIC, group: GROUP, next: 40 }]).unwrap();
    let mut replayed = state.clone();
    let records = state.raise_heads(1_000);
    assert_eq!((state.view(TOPIC).unwrap().head, state.view(weak).unwrap().head), (1_040, 1_100));
    records.iter().for_each(|record| replayed.apply(record));
    assert_eq!(replayed, state);
}

#[test]
fn after_an_unclean_stop_weak_topics_go_on_above_their_reservation() {
    let mut state = filled(3);
    let weak = TopicId(2);
    keep(&mut state, [Op::PutTopic { topic: weak, settings: settings("weak", Durability::Os) }]).unwrap();
    for topic in [TOPIC, weak] {
        state.apply(&Record::Reserve { topic, head: 0, reserved: 100 });
    }
    assert_eq!(state.restore_weak_heads(), [Record::Reserve { topic: weak, head: 100, reserved: 100 }]);
    assert_eq!((state.view(TOPIC).unwrap().head, state.view(weak).unwrap().head), (3, 100));
}
