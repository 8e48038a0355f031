use super::super::TopicState;
use super::super::seen::REMEMBERED;
use super::*;
use crate::store::wire::Take;
use std::collections::BTreeMap;

fn id(id: u128) -> Option<Dedup> {
    Some(Dedup::Id(id))
}

fn send(state: &mut State, dedup: Option<Dedup>) -> Result<Placed, StoreError> {
    keep(state, [publish(TOPIC, dedup)]).map(|placed| placed[0])
}

fn gap(expected: u64) -> Result<Placed, StoreError> {
    Err(StoreError::SequenceGap { expected })
}

#[test]
fn the_next_sequence_is_new_what_is_below_a_duplicate_and_above_a_gap() {
    let mut state = filled(0);
    assert_eq!(send(&mut state, sequence(1, 70)), Ok(Placed::At(0)), "a producer that is not known starts anywhere");
    assert_eq!(send(&mut state, sequence(1, 72)), gap(71));
    assert_eq!(send(&mut state, sequence(1, 71)), Ok(Placed::At(1)));
    assert_eq!(send(&mut state, sequence(1, 70)), Ok(Placed::Duplicate(Some(0))));
    assert_eq!(send(&mut state, sequence(1, 69)), Ok(Placed::Duplicate(None)));
    assert_eq!(send(&mut state, sequence(2, 1)), Ok(Placed::At(2)), "another producer");
    assert_eq!(state.view(TOPIC).unwrap().head, 3);
}

#[test]
fn a_batch_may_carry_consecutive_sequences() {
    let mut state = filled(0);
    let ops = [1, 2, 2, 3].map(|number| publish(TOPIC, sequence(1, number)));
    let placed = [Placed::At(0), Placed::At(1), Placed::Duplicate(Some(1)), Placed::At(2)];
    assert_eq!(keep(&mut state, ops), Ok(placed.to_vec()));
    let ops = [4, 6].map(|number| publish(TOPIC, sequence(1, number)));
    assert_eq!(keep(&mut state, ops), Err(StoreError::SequenceGap { expected: 5 }));
    assert_eq!(state.view(TOPIC).unwrap().head, 3, "a batch that is refused leaves nothing");
}

#[test]
fn offsets_of_the_last_1024_sequences_are_known() {
    let mut state = filled(0);
    for number in 0..2_000 {
        assert_eq!(send(&mut state, sequence(1, number)), Ok(Placed::At(number)));
    }
    for number in 0..2_000 {
        let known = (number + REMEMBERED as u64 >= 2_000).then_some(number);
        assert_eq!(send(&mut state, sequence(1, number)), Ok(Placed::Duplicate(known)), "{number}");
    }
}

#[test]
fn a_skipped_sequence_is_used_up_and_has_no_offset() {
    let mut state = filled(0);
    let skip = |sequence| Op::Skip { topic: TOPIC, producer: 1, sequence };
    send(&mut state, sequence(1, 1)).unwrap();
    assert_eq!(keep(&mut state, [skip(3)]), Err(StoreError::SequenceGap { expected: 2 }));
    keep(&mut state, [skip(2), publish(TOPIC, sequence(1, 3))]).unwrap();
    keep(&mut state, [skip(2)]).unwrap();
    assert_eq!(send(&mut state, sequence(1, 2)), Ok(Placed::Duplicate(None)));
    assert_eq!(send(&mut state, sequence(1, 1)), Ok(Placed::Duplicate(Some(0))));
    assert_eq!(send(&mut state, sequence(1, 3)), Ok(Placed::Duplicate(Some(1))));
}

#[test]
fn an_id_is_known_by_its_offset() {
    let mut state = filled(0);
    for number in 0..3_000 {
        assert_eq!(send(&mut state, id(number << 70 | 5)), Ok(Placed::At(number as u64)));
    }
    for number in 0..3_000 {
        assert_eq!(send(&mut state, id(number << 70 | 5)), Ok(Placed::Duplicate(Some(number as u64))));
    }
    let copy = State::thaw(state.freeze(), 0);
    let bytes = copy.topic(TOPIC).unwrap().rest.seen.as_ref().unwrap().bytes();
    assert!(bytes <= 3_000 * 36, "{bytes}");
}

#[test]
fn the_window_runs_on_uptime_since_the_last_use() {
    let mut state = filled(0);
    send(&mut state, sequence(1, 5)).unwrap();
    send(&mut state, id(1)).unwrap();
    state.expire(100_000);
    send(&mut state, sequence(2, 5)).unwrap();
    send(&mut state, id(2)).unwrap();
    state.expire(120_000);
    assert_eq!(send(&mut state, id(1)), Ok(Placed::Duplicate(Some(1))));
    assert_eq!(send(&mut state, sequence(1, 9)), gap(6));
    state.expire(140_000);
    assert_eq!(send(&mut state, id(1)), Ok(Placed::At(4)));
    assert_eq!(send(&mut state, sequence(1, 9)), Ok(Placed::At(5)), "it is not known any more");
    assert_eq!(send(&mut state, id(2)), Ok(Placed::Duplicate(Some(3))));
    assert_eq!(send(&mut state, sequence(2, 7)), gap(6));
    let mut frozen = state.freeze();
    for (_, topic) in &mut frozen.topics {
        let mut bytes = Vec::new();
        topic.encode(&mut bytes);
        *topic = TopicState::decode(&mut Take(&bytes)).unwrap();
    }
    let mut reopened = State::thaw(frozen, usize::MAX);
    reopened.expire(119_000);
    assert_eq!(send(&mut reopened, id(2)), Ok(Placed::Duplicate(Some(3))), "windows start anew");
    reopened.expire(240_000);
    assert_eq!(reopened.seen_bytes(), 0);
    assert_eq!(reopened.forgotten(), 0, "that was its time");
}

#[test]
fn beyond_the_budget_the_least_recently_used_go_and_are_counted() {
    let mut state = State::new(64 << 10);
    keep(&mut state, [put_topic(TOPIC), put_topic(TopicId(2))]).unwrap();
    for producer in 0..100 {
        send(&mut state, sequence(producer, 1)).unwrap();
    }
    for number in 0.. {
        keep(&mut state, [publish(TopicId(2), id(number))]).unwrap();
        send(&mut state, sequence(7, number as u64 + 2)).unwrap();
        assert!(state.seen_bytes() <= 64 << 10);
        if state.forgotten() >= 105 {
            break;
        }
    }
    assert!(send(&mut state, sequence(7, 1 << 40)).is_err(), "it is in use all the time");
    assert!(matches!(send(&mut state, sequence(8, 9)), Ok(Placed::At(_))), "it went");
    assert!(matches!(keep(&mut state, [publish(TopicId(2), id(0))]), Ok(placed) if matches!(placed[0], Placed::At(_))));
}

#[test]
fn what_is_counted_is_what_is_there() {
    let mut state = State::new(200 << 10);
    keep(&mut state, [put_topic(TOPIC), put_topic(TopicId(2))]).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let mut next = BTreeMap::new();
    for uptime in 0..3_000 {
        let topic = TopicId(random.u64(1..3));
        if random.bool() {
            keep(&mut state, [publish(topic, id(random.u128(..)))]).unwrap();
        } else {
            let producer = random.u128(..20);
            let number = next.entry((topic, producer)).or_insert(0);
            *number += 1;
            let _ = keep(&mut state, [publish(topic, sequence(producer, *number))]);
        }
        state.expire(uptime * 100);
        let seen = |topic| state.topic(topic).unwrap().rest.seen.as_ref().map_or(0, |seen| seen.bytes());
        assert_eq!(state.seen_bytes(), seen(TOPIC) + seen(TopicId(2)));
    }
    keep(&mut state, [Op::DeleteTopic(TOPIC), Op::DeleteTopic(TopicId(2))]).unwrap();
    assert_eq!(state.seen_bytes(), 0);
}

#[test]
fn after_missing_messages_a_producer_goes_on_anywhere_above() {
    use crate::store::record::Record;
    for is_damage in [true, false] {
        let mut state = filled(0);
        send(&mut state, sequence(1, 5)).unwrap();
        if is_damage {
            state.apply(&Record::Damage { from: 1, to: 2 });
        } else {
            state.raise_heads(1);
        }
        assert!(matches!(send(&mut state, sequence(1, 5)), Ok(Placed::Duplicate(Some(0)))));
        assert!(matches!(send(&mut state, sequence(1, 900)), Ok(Placed::At(_))));
        assert_eq!(send(&mut state, sequence(1, 902)), gap(901));
        assert_eq!(send(&mut state, sequence(1, 899)), Ok(Placed::Duplicate(None)));
    }
}
