//! Messages: their order, batches as wholes, and reading.

use super::Engine;
use super::subject::{NOW, PLENTY, Subject, confirmed, offset, progress, publish, put, put_group, settings};
use crate::store::{Durability, GroupId, Limits, Offset, Op, Placed, StoreError, Stored, Tickets, TopicId};
use bytes::Bytes;
use std::sync::Arc;

/// Offsets grow from call to call, and a read brings messages in that order.
pub async fn offsets_grow_in_the_order_of_the_appends(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    assert_eq!(subject.view(topic).head, 0, "offsets of a new topic start at 0");
    let mut expected = Vec::new();
    let mut tickets = Vec::new();
    for number in 0..100 {
        let ticket = subject.append([publish(topic, format!("{number}a")), publish(topic, format!("{number}b"))]);
        for (placed, letter) in ticket.placed.iter().zip(["a", "b"]) {
            let offset = offset(&[*placed]);
            let is_above = expected.last().is_none_or(|(before, _)| *before < offset);
            assert!(is_above, "offset {offset} does not grow");
            expected.push((offset, format!("{number}{letter}")));
        }
        tickets.push(ticket);
    }
    for ticket in tickets {
        confirmed(ticket).await;
    }
    assert_eq!(expected.len(), 200, "every publish has a place");
    assert_eq!(subject.contents(topic).await, expected, "a topic reads in the order of the appends");
    assert!(subject.view(topic).head > expected[199].0, "the head is above the last message");
}

/// One batch creates topics and groups, publishes to all of them, and sets entries.
pub async fn a_batch_over_many_topics_is_kept_whole(engine: &dyn Engine) {
    let subject = Subject::open(engine).await;
    let topics: Vec<_> = (0..50).map(|_| TopicId(subject.store.fresh_id())).collect();
    let group = GroupId(subject.store.fresh_id());
    let mut ops = Vec::new();
    for &topic in &topics {
        ops.push(Op::PutTopic { topic, settings: settings(Durability::Disk) });
        ops.push(publish(topic, "first"));
    }
    ops.extend(topics.iter().map(|topic| publish(*topic, "second")));
    ops.push(put_group(topics[0], group, 0));
    ops.push(progress((topics[0], group), (0, 1), &[], &[]));
    ops.push(put(TopicId::BROKER, "key", "value"));
    let placed = subject.keep(ops).await;
    assert_eq!(placed.len(), 100, "every publish has a place");
    for (number, topic) in topics.iter().enumerate() {
        let (first, second) = (offset(&placed[number..=number]), offset(&placed[50 + number..=50 + number]));
        let expected = [(first, "first".to_owned()), (second, "second".to_owned())];
        assert_eq!(subject.contents(*topic).await, expected, "topic {number} of the batch");
    }
    assert_eq!(subject.group_view(topics[0], group).next, 1, "the group's progress was in the batch");
    assert_eq!(subject.store.entry(TopicId::BROKER, b"key"), Some(Bytes::from_static(b"value")), "and the entry");
}

/// What is refused of them leaves the others; one receipt is for all that are kept.
pub async fn operations_that_come_together_are_kept_each_by_itself(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let unknown = TopicId(subject.store.fresh_id());
    let ops = [publish(topic, "a"), publish(unknown, "lost"), put(topic, "key", "value"), publish(topic, "b")];
    let Tickets { placed, receipt } = subject.store.append_each(&ops, NOW, Durability::Disk);
    subject.store.commit();
    assert_eq!(placed.len(), 4, "each has an outcome");
    assert_eq!(placed[1], Err(StoreError::UnknownTopic(unknown)), "refused by itself");
    assert_eq!(placed[2], Ok(None), "it has no place");
    assert!(receipt.await.is_ok(), "what is kept is confirmed");
    let kept: Vec<_> = placed.iter().flatten().flatten().map(|placed| offset(&[*placed])).collect();
    assert!(kept.is_sorted() && kept.len() == 2, "{kept:?}");
    let expected: Vec<_> = kept.into_iter().zip(["a", "b"].map(str::to_owned)).collect();
    assert_eq!(subject.contents(topic).await, expected, "in their order, and visible");
    assert!(subject.store.entry(topic, b"key").is_some(), "the entry too");
    let Tickets { placed, receipt } = subject.store.append_each(&[publish(unknown, "lost")], NOW, Durability::Disk);
    assert!(placed[0].is_err() && receipt.await.is_ok(), "nothing is waited for if nothing is kept");
    let Tickets { placed, receipt } = subject.store.append_each(&[], NOW, Durability::Disk);
    assert!(placed.is_empty() && receipt.await.is_ok(), "nor for nothing");
}

/// Whatever else was in it.
pub async fn a_refused_batch_leaves_nothing(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 3).await;
    let before = (subject.view(topic), subject.group_view(topic, group), subject.store.topics());
    let (new, unknown) = (TopicId(subject.store.fresh_id()), TopicId(subject.store.fresh_id()));
    let ops = [
        Op::PutTopic { topic: new, settings: settings(Durability::Disk) },
        publish(topic, "lost"),
        put(topic, "key", "value"),
        progress((topic, group), (0, 2), &[], &[]),
        Op::Trim { topic, to: 2 },
        publish(unknown, "nowhere"),
    ];
    assert_eq!(subject.refusal(ops), StoreError::UnknownTopic(unknown));
    let after = (subject.view(topic), subject.group_view(topic, group), subject.store.topics());
    assert_eq!(after, before, "a refused batch changed something");
    assert_eq!(subject.store.entry(topic, b"key"), None, "a refused batch set an entry");
    let next = offset(&subject.keep([publish(topic, "kept")]).await);
    let last = subject.contents(topic).await.split_off(3);
    assert_eq!(last, [(next, "kept".to_owned())], "a refused batch stored a message");
}

/// With the reason that says so, and the store goes on.
pub async fn a_batch_that_is_empty_or_too_large_is_refused(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let refused = subject.refusal([]);
    assert!(matches!(refused, StoreError::BatchSize { .. }), "an empty batch was refused with {refused:?}");
    let StoreError::BatchSize { max, .. } = refused else { return };
    let refused = subject.refusal([publish(topic, vec![7; max + 1])]);
    assert!(matches!(refused, StoreError::BatchSize { .. }), "a large batch was refused with {refused:?}");
    let half = vec![7; max / 2 + 1];
    let refused = subject.refusal([publish(topic, half.clone()), publish(topic, half.clone())]);
    assert!(matches!(refused, StoreError::BatchSize { .. }), "a large batch was refused with {refused:?}");
    let placed = subject.keep([publish(topic, half)]).await;
    assert!(matches!(*placed, [Placed::At(_)]), "half of the most is no large batch");
    assert_eq!(subject.read(topic, 0, PLENTY).await.len(), 1, "a refused batch stored a message");
}

/// Topics and groups that are not there, in batches and in reads.
pub async fn what_is_not_there_is_named(engine: &dyn Engine) {
    let (subject, topic, group) = Subject::with_group(engine, 1).await;
    let (unknown, nobody) = (TopicId(subject.store.fresh_id()), GroupId(subject.store.fresh_id()));
    let ops = [
        publish(unknown, "x"),
        Op::Skip { topic: unknown, producer: 1, sequence: 1 },
        progress((unknown, group), (0, 1), &[], &[]),
        put_group(unknown, nobody, 0),
        Op::DeleteTopic(unknown),
        Op::Trim { topic: unknown, to: 1 },
        put(unknown, "key", "value"),
    ];
    for op in ops {
        assert_eq!(subject.refusal([op.clone()]), StoreError::UnknownTopic(unknown), "{op:?}");
    }
    let ops = [
        progress((topic, nobody), (0, 1), &[], &[]),
        Op::Seek { topic, group: nobody, next: 0 },
        Op::DeleteGroup { topic, group: nobody },
    ];
    for op in ops {
        assert_eq!(subject.refusal([op.clone()]), StoreError::UnknownGroup(topic, nobody), "{op:?}");
    }
    let refused = subject.refusal([publish(TopicId::BROKER, "x")]);
    assert_eq!(refused, StoreError::UnknownTopic(TopicId::BROKER), "the broker's own takes no messages");
    let read = subject.store.read(unknown, 0, PLENTY).await;
    assert_eq!(read.err(), Some(StoreError::UnknownTopic(unknown)), "reading a topic that is not there");
    let found = subject.store.offset_at(unknown, NOW).await;
    assert_eq!(found.err(), Some(StoreError::UnknownTopic(unknown)), "looking for a time in it");
    assert_eq!((subject.store.topic(unknown), subject.store.group(topic, nobody)), (None, None));
}

/// Once the receipt is there a read brings it; a read never brings what is not visible.
pub async fn a_message_is_visible_once_it_is_confirmed(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    for number in 0..50 {
        let ticket = subject.append([publish(topic, number.to_string())]);
        let view = subject.view(topic);
        let at = offset(&ticket.placed);
        assert!(view.head > at, "a message that was appended is below the head");
        assert!(view.visible <= view.head, "what is visible ends at the head");
        let page = subject.store.read(topic, 0, PLENTY).await.expect("a topic can be read while it is written");
        let visible = subject.view(topic).visible;
        let is_early = page.messages.iter().any(|message| message.offset >= visible);
        assert!(!is_early, "a read brought a message that is not visible yet");
        assert!(page.next <= visible, "a read that ends at {} leaves out what comes before {visible}", page.next);
        confirmed(ticket).await;
        assert!(subject.view(topic).visible > at, "a confirmed message is not visible");
        let page = subject.store.read(topic, at, PLENTY).await.expect("a confirmed message can be read");
        assert_eq!(page.messages.len(), 1, "a confirmed message is not there");
    }
}

/// At least what was asked, and at least what the topic wants; an engine that is not durable says so.
pub async fn a_receipt_says_what_was_reached(engine: &dyn Engine) {
    let subject = Subject::open(engine).await;
    for of_topic in [Durability::Os, Durability::Disk] {
        let topic = subject.topic(of_topic).await;
        for asked in [Durability::Os, Durability::Disk] {
            let ticket = subject.append_at([publish(topic, "x")], NOW, asked);
            let reached = ticket.receipt.await.expect("a message is confirmed");
            let is_enough = reached >= asked.max(of_topic);
            assert!(is_enough || !engine.is_durable(), "{asked:?} was asked of a topic with {of_topic:?}: {reached:?}");
            assert!(engine.is_durable() || reached == Durability::Memory, "without a disk nothing reaches {reached:?}");
        }
    }
}

/// The batch is kept all the same.
pub async fn a_dropped_receipt_takes_nothing_back(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    for number in 0..20 {
        drop(subject.append([publish(topic, number.to_string())]));
    }
    subject.keep([publish(topic, "last")]).await;
    let contents = subject.contents(topic).await;
    assert_eq!(contents.len(), 21, "messages whose receipt was dropped are missing");
}

/// Messages and bytes are limits, but one message comes always.
pub async fn a_read_keeps_its_limits_but_brings_one_message(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let large = vec![b'x'; 100_000];
    let all: Vec<_> = (0..10).map(|_| publish(topic, large.clone())).collect();
    subject.keep(all).await;
    let count = async |messages, bytes| {
        let page = subject.store.read(topic, 0, Limits { messages, bytes }).await;
        page.expect("a topic can be read").messages.len()
    };
    assert_eq!(count(3, 10 << 20).await, 3, "three messages were asked for");
    assert_eq!(count(100, 1).await, 1, "one message comes, however large");
    assert_eq!(count(100, 99_999).await, 1, "one message comes, however large");
    let some = count(100, 350_000).await;
    assert!((1..=3).contains(&some), "350,000 bytes hold three messages of 100,000, not {some}");
    assert_eq!(count(100, 10 << 20).await, 10, "there is room for all");
}

/// Nothing twice, nothing left out; at the head there is nothing, and that is no error.
pub async fn a_read_goes_on_where_the_last_one_ended(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let page = subject.store.read(topic, 0, PLENTY).await.expect("an empty topic can be read");
    assert!(page.messages.is_empty() && page.next == 0, "an empty topic has {page:?}");
    for number in 0..30 {
        let ops: Vec<_> = (0..7).map(|part| publish(topic, format!("{number}.{part}"))).collect();
        subject.keep(ops).await;
    }
    let whole = subject.read(topic, 0, PLENTY).await;
    assert_eq!(whole.len(), 210, "all that was published");
    for messages in [1, 2, 8, 64] {
        let found = subject.read(topic, 0, Limits { messages, bytes: 1 << 20 }).await;
        assert!(found == whole, "reading {messages} at a time brings something else");
    }
    let middle = whole[100].offset;
    assert!(subject.read(topic, middle, PLENTY).await == whole[100..], "reading from {middle} on");
    let head = subject.view(topic).head;
    let page = subject.store.read(topic, head, PLENTY).await.expect("the head can be read");
    assert!(page.messages.is_empty() && page.next == head, "at the head there is {page:?}");
}

/// Whatever the batches say.
pub async fn timestamps_never_go_back(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    for (now, expected) in [(500, 500), (400, 500), (600, 600), (0, 600)] {
        let at = offset(&confirmed(subject.append_at([publish(topic, "x")], now, Durability::Disk)).await);
        let read = subject.read(topic, at, PLENTY).await;
        assert_eq!(read[0].timestamp, expected, "a message of {now} after one of {expected}");
    }
}

/// The first message that is as young; the head if there is none.
pub async fn an_offset_is_found_by_time(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let found = subject.store.offset_at(topic, 0).await;
    assert_eq!(found, Ok(0), "in an empty topic the head");
    let mut placed: Vec<(u64, Offset)> = Vec::new();
    for number in 0..50 {
        // Three with each time.
        let now = 1_000 + number / 3 * 10;
        let ticket = subject.append_at([publish(topic, "x")], now, Durability::Disk);
        placed.push((now, offset(&confirmed(ticket).await)));
    }
    let head = subject.view(topic).head;
    for time in 990..1_180 {
        let expected = placed.iter().find(|(now, _)| *now >= time).map_or(head, |(_, offset)| *offset);
        assert_eq!(subject.store.offset_at(topic, time).await, Ok(expected), "the first message as young as {time}");
    }
}

/// What each of them appends stays in its order, and nothing is lost between them.
pub async fn appenders_at_the_same_time_keep_their_own_order(engine: &dyn Engine) {
    const EACH: usize = 200;
    let (subject, topic) = Subject::with_topic(engine).await;
    let subject = Arc::new(subject);
    let appenders = (0..4).map(|appender| {
        let subject = subject.clone();
        tokio::spawn(async move {
            let mut places = Vec::new();
            for number in 0..EACH {
                let ticket = subject.append([publish(topic, format!("{appender}:{number}"))]);
                places.push(offset(&ticket.placed));
                // Some wait for each, some run ahead.
                if appender % 2 == 0 || number + 1 == EACH {
                    confirmed(ticket).await;
                } else {
                    tokio::task::yield_now().await;
                }
            }
            places
        })
    });
    let mut expected = Vec::new();
    for (appender, task) in appenders.collect::<Vec<_>>().into_iter().enumerate() {
        let places = task.await.expect("an appender ends well");
        assert!(places.is_sorted(), "appender {appender} was given offsets out of order");
        expected.extend(places.into_iter().enumerate().map(|(number, at)| (at, format!("{appender}:{number}"))));
    }
    expected.sort();
    assert!(subject.contents(topic).await == expected, "what is read is not what the appenders were told");
}

/// Empty ones, large ones, any bytes.
pub async fn contents_come_back_as_they_were(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let contents: Vec<Bytes> = [0, 1, 63, 64, 65, 4_095, 4_096, 70_000, 3 << 20]
        .into_iter()
        .map(|len: usize| (0..len).map(|at| (at * 31 + len) as u8).collect())
        .collect();
    for content in &contents {
        subject.keep([publish(topic, content.clone())]).await;
    }
    let read: Vec<_> = subject.read(topic, 0, PLENTY).await.into_iter().map(|Stored { content, .. }| content).collect();
    assert!(read == contents, "contents changed");
}
