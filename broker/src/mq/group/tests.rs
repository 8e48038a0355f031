use super::*;
use crate::store::{Batch, Durability, Hand, MemoryStore, Op, Publish, Store, TopicId, TopicSettings};
use crate::store::{GroupId, Run};
use futures::FutureExt;
use proptest::prelude::*;
use std::collections::BTreeMap;

const RULES: Rules = Rules { ack_deadline: 100, max_in_flight: 4, max_attempts: 4, max_holes: 12 };
const TOPIC: TopicId = TopicId(1);
const GROUP: GroupId = GroupId(2);
const HEAD: Offset = 60;

fn empty() -> GroupView {
    GroupView { settings: None, next: 0, holes: Vec::new(), is_lost: false }
}

fn group() -> Group {
    Group::restore(&empty(), RULES, 0, 0)
}

fn append(store: &MemoryStore, op: Op) {
    let ticket = store.append(Batch { ops: vec![op], now: 0 }, Durability::Memory).expect("it is taken");
    ticket.receipt.now_or_never().expect("at once").expect("kept");
}

/// A store with a topic of [`HEAD`] messages and a group.
fn store() -> MemoryStore {
    let store = MemoryStore::new();
    let settings =
        TopicSettings { name: "t".to_owned(), durability: Durability::Disk, dedup_window: 0, rest: Default::default() };
    append(&store, Op::PutTopic { topic: TOPIC, settings });
    append(&store, Op::PutGroup { topic: TOPIC, group: GROUP, settings: Default::default(), start: 0 });
    (0..HEAD).for_each(|_| {
        append(&store, Op::Publish(Publish { topic: TOPIC, content: Default::default(), dedup: None }));
    });
    store
}

/// What is not settled of what was handed over, as it is recorded.
fn unsettled(group: &Group) -> BTreeMap<Offset, (u32, u64)> {
    group.holes.iter().map(|(offset, hole)| (*offset, hole.recorded())).collect()
}

/// The same as the store has it; that time has made something ready is not recorded.
fn stored(holes: &[Hand], now: u64) -> BTreeMap<Offset, (u32, u64)> {
    let offsets = |run: Run| run.first..run.first + run.count;
    let due = |due| if due <= now { 0 } else { due };
    holes.iter().flat_map(|hand| offsets(hand.run).map(move |offset| (offset, (hand.attempt, due(hand.due))))).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Take(u64),
    Ack(u64, Offset),
    AckTo(u64, Offset),
    Nack(u64, Offset, Option<u64>),
    Extend(u64, Offset),
    Kill(u64, Offset),
    Leave(u64),
    Retire(u64),
    Bury,
    Pass(u64),
    Drop(Offset),
    Time(u64),
    Record,
    Restart,
    Seek(Offset),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0u64..3;
    let offset = 0..HEAD;
    prop_oneof![
        8 => who.clone().prop_map(Step::Take),
        3 => (who.clone(), offset.clone()).prop_map(|(who, offset)| Step::Ack(who, offset)),
        1 => (who.clone(), offset.clone()).prop_map(|(who, offset)| Step::AckTo(who, offset)),
        3 => (who.clone(), offset.clone(), prop::option::of(0u64..200))
            .prop_map(|(who, offset, delay)| Step::Nack(who, offset, delay)),
        1 => (who.clone(), offset.clone()).prop_map(|(who, offset)| Step::Extend(who, offset)),
        1 => (who.clone(), offset.clone()).prop_map(|(who, offset)| Step::Kill(who, offset)),
        2 => who.clone().prop_map(Step::Leave),
        1 => who.prop_map(Step::Retire),
        2 => Just(Step::Bury),
        1 => (1u64..4).prop_map(Step::Pass),
        1 => offset.clone().prop_map(Step::Drop),
        3 => (1u64..200).prop_map(Step::Time),
        3 => Just(Step::Record),
        1 => Just(Step::Restart),
        1 => offset.prop_map(Step::Seek),
    ]
}

/// What must be so at any time.
fn check(group: &Group, now: u64) {
    let (mut held, mut waiting) = (BTreeMap::new(), 0);
    for (offset, hole) in &group.holes {
        assert!(*offset < group.next, "{offset} was never handed over");
        let is_ready = group.ready.contains(offset) || group.alone.contains(offset);
        assert_eq!(is_ready, hole.state == State::Ready, "{offset} is ready or not");
        assert_eq!(group.alone.contains(offset), is_ready && hole.is_alone(), "{offset}");
        let is_dying = group.dying.iter().any(|death| death.offset == *offset);
        assert_eq!(is_dying, hole.state == State::Dying, "{offset} is dying or not");
        match hole.state {
            State::Held { by, deadline } => {
                held.entry(by).or_insert_with(BTreeSet::new).insert(*offset);
                assert!(group.times.contains(&(deadline, *offset)), "the deadline of {offset} is watched");
                waiting += 1;
            }
            State::Waiting { due } => {
                assert!(group.times.contains(&(due, *offset)), "the due time of {offset} is watched");
                waiting += 1;
            }
            State::Ready | State::Dying => {}
        }
    }
    assert_eq!(group.times.len(), waiting, "nothing else is watched");
    let known = group.holders.iter().filter(|(_, hands)| !hands.held.is_empty());
    let known: BTreeMap<Holder, BTreeSet<Offset>> = known.map(|(by, hands)| (*by, hands.held.clone())).collect();
    assert_eq!(known, held, "who holds what");
    for (by, offsets) in &held {
        assert!(offsets.len() <= RULES.max_in_flight, "{by:?} holds {offsets:?}");
        let alone = offsets.iter().filter(|offset| group.holes[*offset].is_alone()).count();
        assert!(alone == 0 || offsets.len() == 1, "{by:?} holds {offsets:?}, one of which must be alone");
    }
    assert!(group.alarm().is_none_or(|time| time > now), "what is due has happened");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Nothing is handed to two, nothing settled comes back, and what is recorded says what is.
    #[test]
    fn every_message_is_in_one_place_and_the_record_says_which(steps in prop::collection::vec(step(), 1..120)) {
        let store = store();
        let (mut group, mut now, mut settled) = (group(), 1, BTreeSet::<Offset>::new());
        for step in steps {
            let before = unsettled(&group);
            match step {
                Step::Take(who) => {
                    let has_new = group.next() < HEAD;
                    let offset = match group.offer(Holder(who), |_| true, has_new) {
                        Offer::Again(offset) => Some(offset),
                        Offer::New => Some(group.next()),
                        Offer::Full | Offer::Nothing => None,
                    };
                    if let Some(offset) = offset {
                        prop_assert!(!settled.contains(&offset), "{} was settled", offset);
                        let handed = group.hand(Holder(who), offset, now);
                        prop_assert_eq!(handed.is_redelivered, handed.attempt > 1);
                    }
                }
                Step::Ack(who, offset) => { let _ = group.ack(Holder(who), offset); }
                Step::AckTo(who, offset) => { let _ = group.ack_to(Holder(who), offset); }
                Step::Nack(who, offset, delay) => { let _ = group.nack(Holder(who), offset, delay, Some("no"), now); }
                Step::Extend(who, offset) => { let _ = group.extend(Holder(who), offset, None, now); }
                Step::Kill(who, offset) => { let _ = group.kill(Holder(who), offset, None); }
                Step::Leave(who) => group.leave(Holder(who)),
                Step::Retire(who) => group.retire(Holder(who)),
                Step::Bury => {
                    if let Some(offset) = group.dying().map(|death| death.offset) {
                        group.drop_message(offset);
                    }
                }
                Step::Pass(more) => group.pass((group.next() + more).min(HEAD)),
                Step::Drop(offset) => {
                    if group.is_hole(offset) {
                        group.drop_message(offset);
                    }
                }
                Step::Time(more) => { now += more; group.tick(now); }
                Step::Record | Step::Restart => {
                    if let Some(progress) = group.progress() {
                        append(&store, Op::Progress { topic: TOPIC, group: GROUP, progress });
                        group.recorded();
                    }
                    prop_assert!(group.is_recorded());
                    let view = store.group(TOPIC, GROUP).expect("it is there");
                    prop_assert_eq!((view.next, stored(&view.holes, now)), (group.next(), unsettled(&group)));
                    if matches!(step, Step::Restart) {
                        group = Group::restore(&view, RULES, 0, now);
                        prop_assert_eq!(stored(&view.holes, now).into_keys().collect::<Vec<_>>(), group.holes.keys().copied().collect::<Vec<_>>());
                    }
                }
                Step::Seek(next) => {
                    append(&store, Op::Seek { topic: TOPIC, group: GROUP, next });
                    group.seek(next);
                    settled.clear();
                }
            }
            if matches!(step, Step::Seek(_)) {
                prop_assert_eq!(group.holes(), 0);
            } else {
                settled.extend(before.keys().filter(|offset| !group.is_hole(**offset)));
            }
            group.tick(now);
            check(&group, now);
        }
    }
}

#[test]
fn a_message_that_costs_links_is_handed_over_alone() {
    let mut group = group();
    for _ in 0..3 {
        assert_eq!(
            group.offer(Holder(1), |_| true, true),
            if group.next() == 0 { Offer::New } else { Offer::Again(0) }
        );
        group.hand(Holder(1), 0, 0);
        group.leave(Holder(1));
    }
    // One who has something else settles that first, and gets nothing meanwhile.
    group.hand(Holder(2), 1, 0);
    assert_eq!(group.offer(Holder(2), |_| true, true), Offer::Full);
    // Others go on.
    assert_eq!(group.offer(Holder(3), |_| true, true), Offer::New);
    group.hand(Holder(3), 2, 0);
    group.ack(Holder(2), 1).expect("it holds it");
    assert_eq!(group.offer(Holder(2), |_| true, true), Offer::Again(0));
    group.hand(Holder(2), 0, 0);
    assert_eq!(group.offer(Holder(2), |_| true, true), Offer::Full, "nothing comes beside it");
    group.leave(Holder(2));
    assert_eq!(group.dying().map(|death| (death.offset, death.reason)), Some((0, Reason::Lost)));
}

#[test]
fn the_ladder_is_climbed_and_ends_in_the_dead_letter() {
    let mut group = Group::restore(&empty(), Rules { max_attempts: 16, ..RULES }, 0, 0);
    let mut now = 0;
    for step in LADDER.iter().take(15) {
        assert_ne!(group.offer(Holder(1), |_| true, true), Offer::Nothing);
        group.hand(Holder(1), 0, now);
        group.nack(Holder(1), 0, None, Some("busy"), now).expect("it holds it");
        assert_eq!(group.alarm(), Some(now + step * 1000));
        now += step * 1000;
        group.tick(now);
    }
    group.hand(Holder(1), 0, now);
    group.nack(Holder(1), 0, None, Some("still"), now).expect("it holds it");
    let death = group.dying().expect("it is dead");
    assert_eq!((death.attempts, death.reason, death.last_error.as_deref()), (16, Reason::Attempts, Some("still")));
}

#[test]
fn who_may_settle() {
    let mut group = group();
    group.hand(Holder(1), 0, 0);
    assert_eq!(group.ack(Holder(2), 0), Err(Refusal::Stale), "another holds it");
    assert_eq!(group.ack(Holder(2), 5), Err(Refusal::Invalid), "it was never handed over");
    group.tick(100);
    assert_eq!(group.nack(Holder(1), 0, None, None, 100), Err(Refusal::Stale), "nobody holds it");
    assert_eq!(group.extend(Holder(1), 0, None, 100), Err(Refusal::Stale));
    assert_eq!(group.ack(Holder(2), 0), Ok(()), "anybody may while nobody holds it");
    assert_eq!(group.ack(Holder(1), 0), Err(Refusal::Stale), "it is settled");
}

#[test]
fn what_was_there_before_an_unclean_stop_may_come_again() {
    let mut group = Group::restore(&empty(), RULES, 2, 0);
    let flags: Vec<bool> = (0..3).map(|offset| group.hand(Holder(1), offset, 0).is_redelivered).collect();
    assert_eq!(flags, [true, true, false]);
}

#[test]
fn a_group_with_as_many_holes_as_it_may_have_gets_nothing_new() {
    let mut group = group();
    for offset in 0..12 {
        let who = Holder(offset / 4);
        assert_eq!(group.offer(who, |_| true, true), Offer::New);
        group.hand(who, offset, 0);
    }
    assert_eq!(group.offer(Holder(9), |_| true, true), Offer::Nothing);
    group.ack(Holder(0), 0).expect("it holds it");
    assert_eq!(group.offer(Holder(9), |_| true, true), Offer::New);
}
