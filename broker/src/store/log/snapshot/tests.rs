use super::*;
use crate::store::Hand;
use crate::store::log::disk::Disk;
use crate::store::log::disk::simulated::{Operation, Simulated};
use crate::store::log::file::{FileId, Kind};
use crate::store::log::keeper::Snapshot;
use crate::store::record::Record;
use crate::store::state::State;
use crate::store::state::tests::{batches, records};
use crate::store::{Dedup, Progress, Run};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SEED: u64 = 0x1234_5678_9abc_def0;
const AT: Sequence = Sequence(77);
const BUDGET: usize = usize::MAX;

fn message(topic: u64, offset: Offset, dedup: Option<Dedup>) -> Record<'static> {
    Record::Message { topic: TopicId(topic), offset, timestamp: 9, dedup, content: b"x".into() }
}

/// Three topics, one of them with more than one part, and entries of the broker.
fn filled() -> State {
    let mut state = State::default();
    let put = |topic, len: usize| Record::Put { topic: TopicId(topic), key: b"key".into(), value: vec![7; len] };
    state.apply(&put(0, 10));
    state.apply(&put(2, 4_200));
    for topic in 1..4 {
        for offset in 0..5 {
            state.apply(&message(topic, offset, Some(Dedup::Sequence { producer: 5, sequence: offset })));
            state.apply(&message(topic, 5 + offset, Some(Dedup::Id(u128::from(offset) << 100))));
        }
        let hand = Hand { run: Run { first: 1, count: 2 }, attempt: 3, due: 99 };
        let progress = Progress { from: 0, next: 4, handed: vec![hand], settled: Vec::new() };
        state.apply(&Record::Progress { topic: TopicId(topic), group: GroupId(topic * 10), progress });
    }
    state.apply(&Record::Trim { topic: TopicId(3), to: 2 });
    state
}

/// The topics whose parts a position hits; the broker's entries are one.
fn hit(bytes: &[u8], at: usize) -> Option<TopicId> {
    let (index, pages, _) = read_index(bytes, SEED).unwrap();
    let mut take = Take(&index);
    for _ in 0..3 {
        take.varint().unwrap();
    }
    for _ in 0..take.varint().unwrap() {
        take.varint().unwrap();
    }
    let mut from = pages * PAGE;
    for _ in 0..take.varint().unwrap() {
        let entry = Entry::decode(&mut take).unwrap();
        let to = from + entry.len + entry.len.div_ceil(PAGE - PART_HEADER) * PART_HEADER;
        if (from..to).contains(&at) {
            return Some(entry.topic);
        }
        from = to;
    }
    None
}

#[test]
fn every_flipped_bit_is_noticed_and_costs_the_topic_it_hits_at_most() {
    let state = filled();
    let mut bytes = write(&state.freeze(), AT, &[3, 4, 9], SEED);
    let whole = read(&bytes, SEED).unwrap();
    assert!(whole.is_whole && whole.lost.is_empty());
    assert_eq!((whole.sequence, &*whole.files, whole.next_id), (AT, &[3, 4, 9][..], state.freeze().next_id));
    assert_eq!(whole.topics, state.freeze().topics);
    let clean = bytes.clone();
    let mut lost = hashbrown::HashSet::new();
    let places: Vec<_> = (0..bytes.len()).map(|at| hit(&clean, at)).collect();
    // Of long stretches of one byte, one bit in every fourth is enough.
    let is_dull = |at: usize| clean.get(at.wrapping_sub(1)..at + 2).is_some_and(|near| near == [clean[at]; 3]);
    let bits = (0..bytes.len() * 8).filter(|bit| !is_dull(bit / 8) || bit % 32 == bit / 32 % 8);
    for bit in bits {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let found = read(&bytes, SEED).unwrap_or_else(|| panic!("bit {bit} costs everything"));
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!found.is_whole, "bit {bit} was not noticed");
        let hit = places[bit / 8];
        assert_eq!(found.lost.iter().map(|(id, _)| *id).collect::<Vec<_>>(), Vec::from_iter(hit), "bit {bit}");
        let others = whole.topics.iter().filter(|(id, _)| Some(*id) != hit);
        assert!(found.topics.iter().eq(others), "bit {bit}");
        let rest = Loaded { topics: whole.topics.clone(), lost: Vec::new(), is_whole: true, ..found };
        assert_eq!(rest, whole, "bit {bit}");
        lost.extend(hit);
    }
    assert_eq!(lost.len(), 4);
}

#[test]
fn of_a_lost_topic_head_floor_and_groups_are_known() {
    let state = filled();
    let mut bytes = write(&state.freeze(), AT, &[], SEED);
    let at = (0..bytes.len()).find(|at| hit(&bytes, *at) == Some(TopicId(3))).unwrap();
    bytes[at + 20] ^= 1;
    let base = Base::combine(read(&bytes, SEED).unwrap(), None, BUDGET);
    assert_eq!(base.lost, [TopicId(3)]);
    let view = base.state.view(TopicId(3)).unwrap();
    assert_eq!((view.settings, view.head, view.floor, view.groups), (None, 10, 2, vec![GroupId(30)]));
    let group = base.state.group(TopicId(3), GroupId(30)).unwrap();
    assert!(group.is_lost && group.next == 2 && group.holes.is_empty());
    assert!(!base.state.group(TopicId(1), GroupId(10)).unwrap().is_lost);
}

#[test]
fn an_index_of_many_pages_survives_a_page_of_either_copy() {
    let mut state = filled();
    let settings = || b"s".to_vec();
    for group in 100..20_000 {
        state.apply(&Record::Group { topic: TopicId(1), group: GroupId(group), settings: settings(), start: 0 });
    }
    let files: Vec<u64> = (0..5_000).collect();
    let bytes = write(&state.freeze(), AT, &files, SEED);
    let (_, pages, _) = read_index(&bytes, SEED).unwrap();
    assert!(pages > 4);
    let whole = read(&bytes, SEED).unwrap();
    assert_eq!(
        State::thaw(Frozen { topics: whole.topics.clone(), next_id: whole.next_id, tick: whole.tick }, BUDGET),
        state
    );
    for page in 0..2 * pages {
        let mut damaged = bytes.clone();
        let at = if page < pages { page * PAGE } else { bytes.len() - (2 * pages - page) * PAGE };
        damaged[at..at + PAGE].fill(0);
        let found = read(&damaged, SEED).unwrap();
        assert_eq!((found.is_whole, &found.topics, &found.files), (false, &whole.topics, &files));
    }
}

/// Lives that were too short to clean up leave many.
#[test]
fn of_many_snapshots_the_newest_two_that_can_be_read_are_read_and_no_others() {
    let disk = Simulated::new(1);
    let id_of = |id| FileId { kind: Kind::Snapshot, id, seed: id };
    for id in 1..7 {
        let snapshot = Snapshot { sequence: Sequence(64 * id), state: filled().freeze(), files: BTreeSet::from([id]) };
        save(&disk, id_of(id), &snapshot).expect("it is saved");
    }
    let overwrite = |id| {
        let file = disk.open(&id_of(id).to_string()).expect("it is there");
        file.write_at(&[0; PAGE], 0).expect("it can be written to");
    };
    overwrite(6);
    overwrite(4);
    // The oldest ones need not even be there to be read.
    (1..3).for_each(|id| disk.fail(Operation::Read, &id_of(id).to_string(), None));
    let loaded = |disk: &Simulated| load(disk, (1..7).map(id_of)).map(|base| base.map(|base| base.sequence));
    assert_eq!(loaded(&disk).expect("the others are not asked"), Some(Sequence(64 * 5)));
    overwrite(3);
    assert!(loaded(&disk).is_err(), "of the second one it is asked whether it is good");
}

#[test]
fn what_another_seed_wrote_or_is_cut_is_no_snapshot() {
    let bytes = write(&filled().freeze(), AT, &[], SEED);
    assert_eq!(read(&bytes, SEED + 1), None);
    assert_eq!(read(&[], SEED), None);
    for len in (0..bytes.len()).step_by(97) {
        assert!(read(&bytes[..len], SEED).is_none_or(|found| !found.is_whole), "{len}");
    }
}

/// Damages all parts of some topics.
fn damage(bytes: &mut [u8], topics: &[u64]) {
    let clean = bytes.to_vec();
    for at in (PAGE..bytes.len().saturating_sub(PAGE)).step_by(16) {
        if hit(&clean, at).is_some_and(|topic| topics.contains(&topic.0)) {
            bytes[at] ^= 0x10;
        }
    }
}

/// What a topic's state means, whenever what is in it was used.
fn meaning(state: &State, id: TopicId) -> (Option<TopicState>, Vec<String>) {
    let topic = state.topic(id);
    let sequences = (0..3).flat_map(|producer| (0..32).map(move |sequence| Dedup::Sequence { producer, sequence }));
    let dedup = sequences.chain((0..40).map(Dedup::Id));
    let seen = topic.and_then(|topic| topic.rest.seen.as_ref());
    let judged = dedup.map(|dedup| format!("{:?}", seen.map(|seen| seen.judge(dedup)))).collect();
    let mut meant = topic.cloned();
    meant.iter_mut().for_each(|topic| topic.rest().seen = None);
    (meant, judged)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn what_one_snapshot_has_lost_comes_from_the_other_and_the_log(
        batches in batches(),
        (first, second) in any::<(prop::sample::Index, prop::sample::Index)>(),
        (older_damage, newer_damage) in prop::array::uniform2(prop::collection::vec(1..4u64, 0..2)).prop_map(|[a, b]| (a, b)),
    ) {
        let mut state = State::default();
        let records = records(&mut state, &batches);
        let (first, second) = (first.index(records.len() + 1), second.index(records.len() + 1));
        let (first, second) = (first.min(second), first.max(second));
        let snapshot = |count: usize, damaged: &[u64]| {
            let mut state = State::default();
            records[..count].iter().for_each(|record| state.apply(&Record::decode(record).unwrap()));
            let mut bytes = write(&state.freeze(), Sequence(count as u64), &[], SEED);
            damage(&mut bytes, damaged);
            (state, read(&bytes, SEED).unwrap())
        };
        let ((older_state, older), (newer_state, newer)) = (snapshot(first, &older_damage), snapshot(second, &newer_damage));
        let mut base = Base::combine(newer, Some(older), BUDGET);
        for (at, record) in records.iter().enumerate().skip(base.from().0 as usize) {
            base.apply(Sequence(at as u64 + 1), &Record::decode(record).unwrap());
        }
        for id in (1..4).map(TopicId) {
            let is_lost = [(&older_state, &older_damage), (&newer_state, &newer_damage)].iter()
                .all(|(state, damaged)| damaged.contains(&id.0) && state.topic(id).is_some());
            prop_assert_eq!(base.lost.contains(&id), is_lost);
            if is_lost {
                // It may be deleted later, or not: the head is known all the same.
                let head = |state: &State| state.view(id).map(|view| view.head);
                prop_assert_eq!(head(&base.state), head(&state));
            } else {
                prop_assert_eq!(meaning(&base.state, id), meaning(&state, id));
            }
        }
        prop_assert_eq!(base.state.entries(TopicId::BROKER, b""), state.entries(TopicId::BROKER, b""));
        prop_assert_eq!(base.state.freeze().next_id, state.freeze().next_id);
    }
}
