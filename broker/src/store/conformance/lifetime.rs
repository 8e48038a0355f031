//! Ids, entries, closing and opening again.

use super::Engine;
use super::subject::{
    NOW, PLENTY, Subject, confirmed, hand, offset, progress, publish, publish_once, put, put_group, run, settings,
};
use crate::store::{Batch, Dedup, Durability, GroupId, Op, Placed, StoreError, TopicId};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Not those of what was deleted, and not two at the same time.
pub async fn ids_are_never_given_twice(engine: &dyn Engine) {
    let mut subject = Subject::open(engine).await;
    let mut given = BTreeSet::from([TopicId::BROKER.0]);
    for _ in 0..3 {
        for _ in 0..5 {
            let (topic, group) = (TopicId(subject.store.fresh_id()), GroupId(subject.store.fresh_id()));
            assert!(given.insert(topic.0) && given.insert(group.0), "{topic:?} or {group:?} was given before");
            subject
                .keep([Op::PutTopic { topic, settings: settings(Durability::Disk) }, put_group(topic, group, 0)])
                .await;
            subject.keep([Op::DeleteGroup { topic, group }, Op::DeleteTopic(topic)]).await;
        }
        if engine.is_durable() {
            subject = subject.reopen(engine).await;
        }
    }
}

/// By another topic's group, or by the broker's own.
pub async fn ids_in_use_are_refused(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 0).await;
    let other = subject.topic(Durability::Disk).await;
    let refused = subject.refusal([put_group(other, group, 0)]);
    assert_eq!(refused, StoreError::IdInUse(group.0), "a group of another topic has that id");
    let broker = TopicId::BROKER;
    let refused = subject.refusal([Op::PutTopic { topic: broker, settings: settings(Durability::Disk) }]);
    assert_eq!(refused, StoreError::IdInUse(broker.0), "that is always there");
    assert_eq!(subject.view(other).groups, [], "a refused group is there");
    assert_eq!(subject.view(topic).groups, [group]);
}

/// Of topics, and of the broker itself.
pub async fn entries_are_kept_in_the_order_of_their_keys(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let broker = TopicId::BROKER;
    for owner in [topic, broker] {
        subject.keep([put(owner, "b/2", "two"), put(owner, "b/1", "one"), put(owner, "c", "x")]).await;
        subject.keep([put(owner, "a", ""), put(owner, "b/1", "changed")]).await;
        subject
            .keep([Op::Remove { topic: owner, key: "c".into() }, Op::Remove { topic: owner, key: "d".into() }])
            .await;
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        let below_b = vec![(text("b/1"), text("changed")), (text("b/2"), text("two"))];
        assert_eq!(subject.store.entries(owner, b"b/"), below_b, "entries of {owner:?} by the start of their keys");
        assert_eq!(subject.store.entries(owner, b"").len(), 3, "all entries of {owner:?}");
        assert_eq!(subject.store.entry(owner, b"a"), Some(Bytes::new()), "an empty value is a value");
        assert_eq!(subject.store.entry(owner, b"c"), None, "it was removed");
        assert_eq!(subject.store.entry(owner, b"b/"), None, "the start of a key is no key");
        let large = vec![7; 1 << 20];
        subject.keep([Op::Put { topic: owner, key: vec![7; 64 << 10].into(), value: large.clone().into() }]).await;
        assert_eq!(
            subject.store.entry(owner, &[7; 64 << 10]),
            Some(Bytes::from(large)),
            "the largest entry there may be"
        );
    }
}

/// Those that are there, whatever was in between; the broker's own is none.
pub async fn topics_are_listed(engine: &dyn Engine) {
    let subject = Subject::open(engine).await;
    assert_eq!(subject.store.topics(), [], "a new store has no topics");
    let mut topics = Vec::new();
    for _ in 0..5 {
        topics.push(subject.topic(Durability::Disk).await);
    }
    subject.keep([Op::DeleteTopic(topics.remove(2))]).await;
    let mut listed = subject.store.topics();
    listed.sort_unstable();
    topics.sort_unstable();
    assert_eq!(listed, topics);
    let stats = subject.store.stats();
    assert_eq!((stats.topics, stats.is_poisoned, stats.is_full), (4, false, false));
}

/// Closing twice is no error.
pub async fn a_closed_store_refuses_appends(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    subject.store.close().await;
    assert_eq!(subject.refusal([publish(topic, "late")]), StoreError::Closed);
    subject.store.close().await;
    assert_eq!(subject.refusal([publish(topic, "late")]), StoreError::Closed);
}

/// Each, before [`super::super::Store::close`] comes back.
pub async fn what_was_appended_before_closing_is_confirmed(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let tickets: Vec<_> = (0..50).map(|number| subject.append([publish(topic, number.to_string())])).collect();
    subject.store.close().await;
    for (number, mut ticket) in tickets.into_iter().enumerate() {
        let outcome = ticket.receipt.try_get();
        assert!(matches!(outcome, Some(Ok(_))), "the store is closed, batch {number} is {outcome:?}");
    }
    if engine.is_durable() {
        let subject = subject.reopen(engine).await;
        assert_eq!(subject.contents(topic).await.len(), 50, "messages after closing and opening");
    }
}

/// Settings, messages, floors, groups, holes and entries.
pub async fn a_reopened_store_has_everything(engine: &dyn Engine) {
    if !engine.is_durable() {
        return;
    }
    let (subject, topic, group) = Subject::with_group(engine, 20).await;
    let weaker = subject.topic(Durability::Os).await;
    let gone = subject.topic(Durability::Disk).await;
    let moved = subject.group(topic, 0).await;
    subject.keep([progress((topic, group), (0, 9), &[hand(1, 5, 1)], &[run(3, 1)])]).await;
    subject.keep([progress((topic, group), (9, 9), &[hand(2, 1, 2)], &[])]).await;
    subject.keep([Op::Seek { topic, group: moved, next: 15 }, Op::Trim { topic, to: 7 }]).await;
    subject.keep([put(TopicId::BROKER, "key", "of the broker"), put(topic, "key", "of the topic")]).await;
    subject.keep([publish(weaker, "x"), publish(gone, "x"), Op::DeleteTopic(gone)]).await;
    let topics = subject.store.topics();
    let view = subject.view(topic);
    let groups = [group, moved].map(|group| subject.group_view(topic, group));
    let (young, held) = (subject.read(topic, 7, PLENTY).await, subject.read(topic, 1, PLENTY).await);
    let held: Vec<_> = held.into_iter().filter(|message| [1, 2, 4, 5].contains(&message.offset)).collect();
    assert_eq!(held.len(), 4, "holes below the floor");
    let weak = subject.contents(weaker).await;

    let subject = subject.reopen(engine).await;
    assert_eq!(subject.store.topics(), topics, "topics");
    assert_eq!(subject.view(topic), view, "a topic");
    assert_eq!([group, moved].map(|group| subject.group_view(topic, group)), groups, "its groups");
    assert!(subject.read(topic, 7, PLENTY).await == young, "messages from the floor on");
    let below = subject.read(topic, 1, PLENTY).await;
    assert!(held.iter().all(|message| below.contains(message)), "holes below the floor");
    assert_eq!(subject.contents(weaker).await, weak, "messages of a weaker topic, after it was closed well");
    assert_eq!(subject.store.entry(TopicId::BROKER, b"key"), Some(Bytes::from_static(b"of the broker")));
    assert_eq!(subject.store.entry(topic, b"key"), Some(Bytes::from_static(b"of the topic")));
    let found = subject.store.offset_at(topic, NOW).await;
    assert_eq!(found, Ok(7), "offsets are found by time");
}

/// By sequence and by id, with their offsets.
pub async fn a_reopened_store_knows_duplicates(engine: &dyn Engine) {
    if !engine.is_durable() {
        return;
    }
    let (subject, topic) = Subject::with_topic(engine).await;
    let by_sequence = |sequence| publish_once(topic, "x", Dedup::Sequence { producer: 1, sequence });
    let by_id = |id| publish_once(topic, "x", Dedup::Id(id));
    let first = offset(&subject.keep([by_sequence(5)]).await);
    subject.keep([Op::Skip { topic, producer: 1, sequence: 6 }]).await;
    let second = offset(&subject.keep([by_id(9)]).await);
    let subject = subject.reopen(engine).await;
    assert_eq!(subject.keep([by_sequence(5)]).await, [Placed::Duplicate(Some(first))]);
    assert_eq!(subject.keep([by_sequence(6)]).await, [Placed::Duplicate(None)], "it was used up");
    assert_eq!(subject.keep([by_id(9)]).await, [Placed::Duplicate(Some(second))]);
    assert_eq!(subject.refusal([by_sequence(8)]), StoreError::SequenceGap { expected: 7 });
    offset(&subject.keep([by_sequence(7)]).await);
}

/// Whatever the topic's durability, and whether its messages are there still.
pub async fn a_reopened_store_gives_no_offset_twice(engine: &dyn Engine) {
    if !engine.is_durable() {
        return;
    }
    for durability in [Durability::Memory, Durability::Os, Durability::Disk] {
        let mut subject = Subject::open(engine).await;
        let topic = subject.topic(durability).await;
        let mut heads = vec![0];
        for _ in 0..3 {
            let batch = Batch { ops: vec![publish(topic, "x"); 3], now: NOW };
            let ticket = subject.store.append(batch, durability).expect("a batch can be kept");
            for placed in confirmed(ticket).await {
                let at = offset(&[placed]);
                assert!(heads.iter().all(|head| at >= *head), "{durability:?}: offset {at} was given before");
            }
            let head = subject.view(topic).head;
            subject.keep([Op::Trim { topic, to: head }]).await;
            heads.push(head);
            subject = subject.reopen(engine).await;
        }
    }
}

/// Each time it goes on where it was.
pub async fn a_store_may_be_reopened_many_times(engine: &dyn Engine) {
    if !engine.is_durable() {
        return;
    }
    let (mut subject, topic, group) = Subject::with_group(engine, 0).await;
    let mut expected = Vec::new();
    for number in 0..10u64 {
        let at = offset(&subject.keep([publish(topic, number.to_string())]).await);
        expected.push((at, number.to_string()));
        let (next, _) = subject.cursor(topic, group);
        subject.keep([progress((topic, group), (next, at + 1), &[hand(at, 1, 1)], &[])]).await;
        if number % 3 != 0 {
            subject = subject.reopen(engine).await;
        }
        assert_eq!(subject.contents(topic).await, expected, "after {number} times");
        let (_, holes) = subject.cursor(topic, group);
        let offsets: u64 = holes.iter().map(|hand| hand.run.count).sum();
        assert_eq!(offsets, number + 1, "holes after {number} times");
    }
}
