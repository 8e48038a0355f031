use super::super::MAX_BATCH;
use super::*;

fn refusal(state: &State, ops: impl Into<Vec<Op>>) -> Option<StoreError> {
    state.check(&ops.into()).err()
}

#[test]
fn a_batch_may_create_a_topic_and_use_it() {
    let mut state = State::default();
    let ops = [put_topic(TOPIC), put_group(TOPIC, GROUP), publish(TOPIC, None), progress(0, 1, &[hand(0, 1, 1)], &[])];
    assert_eq!(keep(&mut state, ops), Ok(vec![Placed::At(0)]));
    assert_eq!(state.group(TOPIC, GROUP).unwrap().holes, [hand(0, 1, 1)]);
}

#[test]
fn what_is_not_there_refuses_the_batch() {
    let state = filled(1);
    let unknown = TopicId(9);
    for op in [publish(unknown, None), Op::DeleteTopic(unknown), Op::Trim { topic: unknown, to: 0 }] {
        assert_eq!(refusal(&state, [publish(TOPIC, None), op]), Some(StoreError::UnknownTopic(unknown)));
    }
    let (key, value) = (Bytes::from_static(b"k"), Bytes::new());
    let put = |topic| Op::Put { topic, key: key.clone(), value: value.clone() };
    assert_eq!(refusal(&state, [put(unknown)]), Some(StoreError::UnknownTopic(unknown)));
    assert_eq!(refusal(&state, [put(TopicId::BROKER)]), None);
    assert_eq!(refusal(&state, [publish(TopicId::BROKER, None)]), Some(StoreError::UnknownTopic(TopicId::BROKER)));
    let group = GroupId(9);
    let seek = Op::Seek { topic: TOPIC, group, next: 0 };
    assert_eq!(refusal(&state, [seek]), Some(StoreError::UnknownGroup(TOPIC, group)));
    let gone = [Op::DeleteTopic(TOPIC), publish(TOPIC, None)];
    assert_eq!(refusal(&state, gone), Some(StoreError::UnknownTopic(TOPIC)));
    let gone = [Op::DeleteGroup { topic: TOPIC, group: GROUP }, Op::Seek { topic: TOPIC, group: GROUP, next: 0 }];
    assert_eq!(refusal(&state, gone), Some(StoreError::UnknownGroup(TOPIC, GROUP)));
}

#[test]
fn an_id_in_use_is_refused() {
    let mut state = filled(0);
    let other = TopicId(2);
    keep(&mut state, [put_topic(other)]).unwrap();
    for op in [
        put_group(other, GROUP),
        put_group(other, GroupId(TOPIC.0)),
        put_topic(TopicId(GROUP.0)),
        put_topic(TopicId::BROKER),
        Op::PutTopic { topic: TOPIC, settings: settings("orders", Durability::Os) },
    ] {
        assert!(matches!(refusal(&state, [op.clone()]), Some(StoreError::IdInUse(_))), "{op:?}");
    }
    assert_eq!(refusal(&state, [Op::DeleteTopic(TOPIC), put_topic(TOPIC)]), Some(StoreError::IdInUse(TOPIC.0)));
    let new = GroupId(60);
    assert_eq!(refusal(&state, [put_group(TOPIC, new), put_group(other, new)]), Some(StoreError::IdInUse(new.0)));
    assert_eq!(refusal(&state, [put_topic(TOPIC), put_group(TOPIC, GROUP)]), None, "a change of what is there");
}

#[test]
fn ids_are_above_all_that_were_ever_used() {
    let mut state = filled(0);
    let (first, second) = (state.fresh_id(), state.fresh_id());
    assert!(first > GROUP.0 && second > first);
    keep(&mut state, [put_topic(TopicId(200))]).unwrap();
    keep(&mut state, [Op::DeleteTopic(TopicId(200))]).unwrap();
    assert_eq!(State::thaw(state.freeze(), 0).fresh_id(), 201);
    assert_eq!(state.fresh_id(), 201);
}

#[test]
fn an_empty_batch_and_one_that_is_too_large_are_refused() {
    let state = filled(0);
    assert_eq!(refusal(&state, []), Some(StoreError::BatchSize { bytes: 0, max: MAX_BATCH }));
    let large = |bytes| Op::Publish(Publish { topic: TOPIC, content: vec![0; bytes].into(), dedup: None });
    assert_eq!(refusal(&state, [large(MAX_BATCH - 128)]), None);
    assert!(matches!(refusal(&state, [large(MAX_BATCH)]), Some(StoreError::BatchSize { .. })));
    let value = vec![0; (1 << 20) + 1].into();
    let put = Op::Put { topic: TOPIC, key: Bytes::from_static(b"key"), value };
    assert!(matches!(refusal(&state, [put]), Some(StoreError::BatchSize { .. })));
}

#[test]
fn what_a_batch_is_said_to_take_is_not_less_than_it_takes() {
    let most = Hand { run: run(u64::MAX, u64::MAX), attempt: u32::MAX, due: u64::MAX };
    let from_zero = Hand { run: run(0, u64::MAX), ..most };
    let handed: Vec<_> = [most, from_zero].repeat(30_000);
    let settled: Vec<_> = handed.iter().map(|hand| hand.run).collect();
    let state = filled(0);
    let ops = vec![progress(u64::MAX, u64::MAX, &handed, &settled); 6];
    let Some(StoreError::BatchSize { bytes, .. }) = refusal(&state, ops.clone()) else { panic!("it is too large") };
    let mut written = Vec::new();
    let mut copy = state.clone();
    append(&mut copy, &batch(ops), &mut |record| record.encode(&mut written));
    assert!(written.len() <= bytes, "{} > {bytes}", written.len());
}

#[test]
fn timestamps_never_go_back() {
    let mut state = filled(0);
    let mut stamps = Vec::new();
    for now in [500, 400, 600] {
        let batch = Batch { ops: vec![publish(TOPIC, None)], now };
        append(&mut state, &batch, &mut |record| {
            if let crate::store::record::Record::Message { timestamp, .. } = record {
                stamps.push(*timestamp);
            }
        });
    }
    assert_eq!(stamps, [500, 500, 600]);
}

#[test]
fn entries_are_found_by_key_and_by_the_start_of_it() {
    let mut state = filled(0);
    let put = |key: &'static str, value: &'static str| Op::Put { topic: TOPIC, key: key.into(), value: value.into() };
    keep(&mut state, [put("b/2", "two"), put("b/1", "one"), put("a", "x"), put("c", "y")]).unwrap();
    keep(&mut state, [Op::Remove { topic: TOPIC, key: "c".into() }, put("a", "z")]).unwrap();
    assert_eq!(state.entry(TOPIC, b"a"), Some("z".into()));
    assert_eq!(state.entry(TOPIC, b"c"), None);
    assert_eq!(state.entries(TOPIC, b"b/"), [("b/1".into(), "one".into()), ("b/2".into(), "two".into())]);
    assert_eq!(state.entries(TopicId::BROKER, b""), []);
}

#[test]
fn trimming_keeps_holes_and_moves_groups_up() {
    let mut state = filled(10);
    keep(&mut state, [progress(0, 3, &[hand(1, 1, 1)], &[])]).unwrap();
    keep(&mut state, [Op::Trim { topic: TOPIC, to: 5 }]).unwrap();
    keep(&mut state, [Op::Trim { topic: TOPIC, to: 4 }]).unwrap();
    let group = state.group(TOPIC, GROUP).unwrap();
    assert_eq!((state.view(TOPIC).unwrap().floor, group.next, group.holes), (5, 5, vec![hand(1, 1, 1)]));
    let live: Vec<_> = (0..10).filter(|offset| state.is_live(TOPIC, *offset)).collect();
    assert_eq!(live, [1, 5, 6, 7, 8, 9]);
    keep(&mut state, [Op::Seek { topic: TOPIC, group: GROUP, next: 2 }]).unwrap();
    assert_eq!(state.group(TOPIC, GROUP).unwrap().next, 5, "below the floor nothing is kept");
    assert!(!state.is_live(TOPIC, 1) && !state.is_live(TopicId(9), 1));
    keep(&mut state, [Op::Trim { topic: TOPIC, to: 99 }]).unwrap();
    assert_eq!(state.view(TOPIC).unwrap().floor, 10, "there is nothing above the head to give up");
}

#[test]
fn a_copy_does_not_see_what_is_done_later() {
    let mut state = filled(3);
    let copy = state.freeze();
    keep(&mut state, [publish(TOPIC, sequence(1, 1)), progress(0, 2, &[hand(0, 1, 1)], &[])]).unwrap();
    let copy = State::thaw(copy, 0);
    assert_eq!((copy.view(TOPIC).unwrap().head, copy.group(TOPIC, GROUP).unwrap().next), (3, 0));
    assert_ne!(copy, state);
    let copy = State::thaw(state.freeze(), 0);
    keep(&mut state, [publish(TOPIC, None)]).unwrap();
    let [before, after] = [&copy, &state].map(|state| state.topic(TOPIC).unwrap());
    assert!(before.head < after.head && std::sync::Arc::ptr_eq(&before.rest, &after.rest), "a message copies nothing");
    assert_eq!(State::thaw(state.freeze(), 0), state);
}

#[test]
fn an_idle_group_and_an_empty_topic_are_small() {
    use super::super::{GroupState, Rest, TopicState};
    // Twice its place in the list, for the room a list keeps; two counts of an Arc; what an allocator adds.
    let group = 2 * size_of::<(GroupId, std::sync::Arc<GroupState>)>() + size_of::<GroupState>() + 16 + 16;
    assert!(group <= 200, "{group}");
    let topic = size_of::<TopicState>() + size_of::<Rest>() + 16 + 16;
    assert!(topic <= 300, "{topic}");
    assert_eq!(size_of::<Option<TopicState>>(), 64, "what a message needs of it is one line of the cache");
}
