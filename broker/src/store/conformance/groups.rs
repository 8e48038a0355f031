//! Groups: where they are, and what is kept for them.

use super::Engine;
use super::subject::{PLENTY, Subject, hand, offset, progress, publish, put, run, settings};
use crate::store::{Durability, GroupId, Hand, Offset, Op, Placed, StoreError, TopicId};
use bytes::Bytes;

/// A new group starts there; what is there already goes on where it is, with its new settings.
pub async fn a_group_starts_where_it_is_told(engine: &dyn Engine) {
    let (subject, topic, first) = Subject::with_group(engine, 5).await;
    let second = subject.group(topic, 3).await;
    assert_eq!(subject.cursor(topic, first), (0, vec![]), "a group from the start on");
    assert_eq!(subject.cursor(topic, second), (3, vec![]), "a group from 3 on");
    let view = subject.group_view(topic, second);
    assert_eq!(view.settings.as_deref(), Some(&b"words of the group"[..]), "its settings");
    assert!(!view.is_lost, "a new group is not lost");
    let group = second;
    let changed = Op::PutGroup { topic, group, settings: Bytes::from_static(b"others"), start: 0 };
    subject.keep([changed]).await;
    let view = subject.group_view(topic, second);
    assert_eq!((view.next, view.settings.as_deref()), (3, Some(&b"others"[..])), "after its settings changed");
    let mut groups = subject.view(topic).groups;
    groups.sort_unstable();
    assert_eq!(groups, [first, second], "the topic's groups");
}

/// What is handed over and not settled is a hole, with its attempt and due time; handing over again changes both.
pub async fn progress_moves_next_and_keeps_holes(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 10).await;
    let at = (topic, group);
    subject.keep([progress(at, (0, 5), &[hand(0, 5, 1)], &[run(1, 2)])]).await;
    let expected = (5, vec![hand(0, 1, 1), hand(3, 2, 1)]);
    assert_eq!(subject.cursor(topic, group), expected, "five handed over, two of them settled");
    subject.keep([progress(at, (5, 6), &[hand(3, 1, 2), hand(5, 1, 1)], &[run(0, 1), run(5, 1)])]).await;
    let expected = (6, vec![hand(3, 1, 2), hand(4, 1, 1)]);
    assert_eq!(subject.cursor(topic, group), expected, "one again, one new that is settled at once");
    subject.keep([progress(at, (6, 6), &[], &[run(3, 2)])]).await;
    assert_eq!(subject.cursor(topic, group), (6, vec![]), "all settled");
    subject.keep([progress(at, (6, 9), &[hand(6, 3, 1)], &[])]).await;
    subject.keep([progress(at, (9, 9), &[Hand { due: 7, ..hand(7, 1, 1) }], &[])]).await;
    let expected = vec![hand(6, 1, 1), Hand { due: 7, ..hand(7, 1, 1) }, hand(8, 1, 1)];
    assert_eq!(subject.cursor(topic, group), (9, expected), "one with a due time of its own");
}

/// As a filter does it.
pub async fn what_is_passed_over_is_settled(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 10).await;
    subject.keep([progress((topic, group), (0, 8), &[hand(2, 1, 1)], &[run(5, 1)])]).await;
    assert_eq!(subject.cursor(topic, group), (8, vec![hand(2, 1, 1)]), "of eight, one was handed over");
}

/// The record between was damaged: what it covered is delivered again.
pub async fn where_progress_does_not_join_nothing_is_settled(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 10).await;
    subject.keep([progress((topic, group), (0, 2), &[], &[])]).await;
    subject.keep([progress((topic, group), (5, 7), &[hand(6, 1, 1)], &[])]).await;
    let (next, holes) = subject.cursor(topic, group);
    let unsettled: Vec<Offset> = offsets(&holes);
    assert_eq!((next, unsettled), (7, vec![2, 3, 4, 6]), "between 2 and 5 nothing is known");
}

/// Progress that comes from behind takes nothing back.
pub async fn next_never_goes_back_but_by_a_seek(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 10).await;
    let at = (topic, group);
    subject.keep([progress(at, (0, 8), &[], &[])]).await;
    subject.keep([progress(at, (2, 3), &[hand(2, 1, 2)], &[])]).await;
    assert_eq!(subject.cursor(topic, group), (8, vec![hand(2, 1, 2)]), "after progress from 2 to 3");
    subject.keep([Op::Seek { topic, group, next: 4 }]).await;
    assert_eq!(subject.cursor(topic, group), (4, vec![]), "after a seek to 4");
    subject.keep([progress(at, (4, 5), &[hand(4, 1, 1)], &[])]).await;
    assert_eq!(subject.cursor(topic, group), (5, vec![hand(4, 1, 1)]), "and on from there");
}

/// Forwards and backwards.
pub async fn a_seek_drops_holes(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 10).await;
    let other = subject.group(topic, 0).await;
    for group in [group, other] {
        subject.keep([progress((topic, group), (0, 4), &[hand(0, 4, 1)], &[])]).await;
    }
    subject.keep([Op::Seek { topic, group, next: 9 }]).await;
    assert_eq!(subject.cursor(topic, group), (9, vec![]), "after a seek to 9");
    subject.keep([Op::Seek { topic, group, next: 0 }]).await;
    assert_eq!(subject.cursor(topic, group), (0, vec![]), "after a seek to 0");
    assert_eq!(subject.cursor(topic, other), (4, vec![hand(0, 4, 1)]), "the other group");
}

/// A copy to a dead letter and the settle that belongs to it are in one batch; if that is refused, neither is there.
pub async fn a_publish_and_a_settle_are_one(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 3).await;
    let dead = subject.topic(Durability::Disk).await;
    subject.keep([progress((topic, group), (0, 1), &[hand(0, 1, 1)], &[])]).await;
    let settle = progress((topic, group), (1, 1), &[], &[run(0, 1)]);
    let nobody = GroupId(subject.store.fresh_id());
    subject.refusal([publish(dead, "copy"), settle.clone(), Op::DeleteGroup { topic, group: nobody }]);
    assert_eq!(subject.cursor(topic, group), (1, vec![hand(0, 1, 1)]), "the settle was refused with its batch");
    assert_eq!(subject.contents(dead).await, [], "and so was the copy");
    subject.keep([publish(dead, "copy"), settle]).await;
    assert_eq!(subject.cursor(topic, group), (1, vec![]), "settled");
    assert_eq!(subject.contents(dead).await.len(), 1, "copied");
}

/// Groups go on at the floor; a lower floor than before changes nothing, and one above the head gives up everything.
pub async fn trimming_gives_up_what_is_below(engine: &dyn Engine) {
    let (subject, topic, behind) = Subject::with_group(engine, 10).await;
    let ahead = subject.group(topic, 7).await;
    let later = subject.read(topic, 5, PLENTY).await;
    subject.keep([Op::Trim { topic, to: 5 }]).await;
    assert_eq!(subject.view(topic).floor, 5);
    assert_eq!(subject.cursor(topic, behind), (5, vec![]), "a group that was behind goes on at the floor");
    assert_eq!(subject.cursor(topic, ahead), (7, vec![]), "one that was ahead stays");
    assert!(subject.read(topic, 5, PLENTY).await == later, "what is from the floor on is kept");
    subject.keep([Op::Trim { topic, to: 3 }]).await;
    assert_eq!(subject.view(topic).floor, 5, "a lower floor changes nothing");
    let head = subject.view(topic).head;
    subject.keep([Op::Trim { topic, to: head }]).await;
    assert_eq!(subject.read(topic, head, PLENTY).await, [], "all was given up");
    assert_eq!(subject.view(topic).head, head, "to give up messages takes no offset back");
    let next = offset(&subject.keep([publish(topic, "next")]).await);
    assert!(next >= head, "offset {next} was given before");
    assert_eq!(subject.contents(topic).await, [(next, "next".to_owned())], "the message after all that was given up");
}

/// A message that a group has not settled can be read, wherever the floor is.
pub async fn trimming_keeps_holes(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 10).await;
    let all = subject.contents(topic).await;
    let at = (topic, group);
    subject.keep([progress(at, (0, 6), &[hand(1, 2, 1), hand(4, 1, 1)], &[])]).await;
    subject.keep([Op::Trim { topic, to: 8 }]).await;
    assert_eq!(subject.cursor(topic, group), (8, vec![hand(1, 2, 1), hand(4, 1, 1)]), "holes stay below the floor");
    let found = subject.contents(topic).await;
    for at in [1, 2, 4, 8, 9] {
        assert!(found.contains(&all[at]), "message {at}, which is a hole or above the floor, is not there");
    }
    subject.keep([progress(at, (8, 8), &[hand(1, 1, 2)], &[run(2, 1)])]).await;
    assert_eq!(subject.cursor(topic, group), (8, vec![hand(1, 1, 2), hand(4, 1, 1)]), "one again, one settled");
    assert!(subject.contents(topic).await.contains(&all[1]), "a hole that was handed over again is not there");
}

/// With its progress; the topic's other groups stay.
pub async fn a_deleted_group_is_gone(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 3).await;
    let other = subject.group(topic, 1).await;
    subject.keep([progress((topic, group), (0, 1), &[hand(0, 1, 1)], &[])]).await;
    subject.keep([Op::DeleteGroup { topic, group }]).await;
    assert_eq!(subject.store.group(topic, group), None);
    assert_eq!(subject.view(topic).groups, [other]);
    assert_eq!(subject.refusal([go_on(topic, group)]), StoreError::UnknownGroup(topic, group));
    assert_eq!(subject.cursor(topic, other), (1, vec![]), "the other group");
    assert_eq!(subject.contents(topic).await.len(), 3, "messages are the topic's");
}

fn go_on(topic: TopicId, group: GroupId) -> Op {
    progress((topic, group), (1, 2), &[], &[])
}

/// With its messages, groups and entries; other topics stay.
pub async fn a_deleted_topic_is_gone(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 3).await;
    let other = subject.topic(Durability::Disk).await;
    subject.keep([put(topic, "key", "value"), put(other, "key", "value"), publish(other, "x")]).await;
    subject.keep([Op::DeleteTopic(topic)]).await;
    assert_eq!((subject.store.topic(topic), subject.store.group(topic, group)), (None, None));
    assert_eq!(subject.store.entry(topic, b"key"), None, "its entries went with it");
    assert_eq!(subject.store.topics(), [other]);
    assert_eq!(subject.store.read(topic, 0, PLENTY).await.err(), Some(StoreError::UnknownTopic(topic)));
    assert_eq!(subject.refusal([publish(topic, "x")]), StoreError::UnknownTopic(topic));
    assert_eq!(subject.contents(other).await.len(), 1, "the other topic's message");
    assert_eq!(subject.store.entry(other, b"key"), Some(Bytes::from_static(b"value")), "the other topic's entry");
}

/// Messages and groups stay as they are.
pub async fn settings_change_but_not_durability(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 2).await;
    assert_eq!(subject.view(topic).settings, Some(settings(Durability::Disk)));
    let mut changed = settings(Durability::Disk);
    (changed.rest, changed.dedup_window) = (Bytes::from_static(b"others"), 5);
    let placed = subject.keep([Op::PutTopic { topic, settings: changed.clone() }, publish(topic, "x")]).await;
    assert!(matches!(*placed, [Placed::At(_)]), "{placed:?}");
    assert_eq!(subject.view(topic).settings, Some(changed.clone()));
    assert_eq!((subject.contents(topic).await.len(), subject.view(topic).groups), (3, vec![group]));
    let weaker = settings(Durability::Os);
    assert_eq!(subject.refusal([Op::PutTopic { topic, settings: weaker }]), StoreError::IdInUse(topic.0));
    assert_eq!(subject.view(topic).settings, Some(changed), "a refused change changed something");
}

fn offsets(holes: &[Hand]) -> Vec<Offset> {
    holes.iter().flat_map(|hand| hand.run.first..hand.run.first + hand.run.count).collect()
}
