//! Messages that come twice.

use super::Engine;
use super::subject::{Subject, confirmed, publish, publish_once};
use crate::store::{Dedup, Durability, Op, Placed, StoreError, TopicId};
use std::sync::Arc;

fn by_sequence(producer: u128, sequence: u64) -> Dedup {
    Dedup::Sequence { producer, sequence }
}

async fn send(subject: &Subject, topic: TopicId, dedup: Dedup) -> Placed {
    subject.keep([publish_once(topic, "x", dedup)]).await[0]
}

fn at(placed: Placed) -> u64 {
    super::subject::offset(&[placed])
}

/// A producer that is not known starts anywhere; its next sequence is new, and those up to it are duplicates.
pub async fn a_sequence_is_stored_once(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let first = at(send(&subject, topic, by_sequence(1, 70)).await);
    let second = at(send(&subject, topic, by_sequence(1, 71)).await);
    let head = subject.view(topic).head;
    for (sequence, known) in [(71, Some(second)), (70, Some(first)), (69, None), (0, None)] {
        let placed = send(&subject, topic, by_sequence(1, sequence)).await;
        assert_eq!(placed, Placed::Duplicate(known), "sequence {sequence} after 70 and 71");
    }
    assert_eq!(subject.view(topic).head, head, "a duplicate takes no offset");
    assert_eq!(subject.contents(topic).await.len(), 2, "a duplicate was stored");
}

/// The gap says what is expected; a refused message's sequence is used up by a skip.
pub async fn a_gap_is_refused_and_a_skip_fills_it(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let skip = |sequence| Op::Skip { topic, producer: 1, sequence };
    let gap = StoreError::SequenceGap { expected: 2 };
    send(&subject, topic, by_sequence(1, 1)).await;
    assert_eq!(subject.refusal([publish(topic, "y"), publish_once(topic, "x", by_sequence(1, 3))]), gap);
    assert_eq!(subject.refusal([skip(3)]), gap, "a skip may leave none out either");
    subject.keep([skip(2)]).await;
    assert_eq!(send(&subject, topic, by_sequence(1, 2)).await, Placed::Duplicate(None), "it was used up");
    at(send(&subject, topic, by_sequence(1, 3)).await);
    assert_eq!(subject.contents(topic).await.len(), 2, "1 and 3 were stored");
    subject.keep([Op::Skip { topic, producer: 2, sequence: 9 }]).await;
    assert_eq!(
        subject.refusal([publish_once(topic, "x", by_sequence(2, 11))]),
        StoreError::SequenceGap { expected: 10 }
    );
}

/// What is older is a duplicate still, without its offset.
pub async fn the_last_1024_sequences_have_offsets(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let ops: Vec<_> = (0..1_500).map(|number| publish_once(topic, "x", by_sequence(1, number))).collect();
    let placed: Vec<_> = subject.keep(ops.clone()).await.into_iter().map(at).collect();
    let again = subject.keep(ops).await;
    for (sequence, (placed, again)) in placed.into_iter().zip(again).enumerate() {
        let is_known = sequence >= 1_500 - 1_024;
        let is_right = match again {
            Placed::Duplicate(Some(offset)) => offset == placed,
            Placed::Duplicate(None) => !is_known,
            Placed::At(_) => false,
        };
        assert!(is_right, "sequence {sequence} of 1,500, at {placed}, is {again:?} the second time");
    }
}

/// Consecutive ones, and the same one twice.
pub async fn one_batch_may_carry_many_sequences(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let ops = [5, 6, 6, 7].map(|number| publish_once(topic, "x", by_sequence(1, number)));
    let placed = subject.keep(ops).await;
    let second = at(placed[1]);
    assert_eq!(placed[2], Placed::Duplicate(Some(second)), "the second 6 of the batch");
    assert!(at(placed[0]) < second && second < at(placed[3]));
    let head = subject.view(topic).head;
    let ops = [8, 10].map(|number| publish_once(topic, "x", by_sequence(1, number)));
    assert_eq!(subject.refusal(ops), StoreError::SequenceGap { expected: 9 });
    assert_eq!(subject.view(topic).head, head, "a refused batch stored its first message");
    at(send(&subject, topic, by_sequence(1, 8)).await);
}

/// In one batch, and in later ones.
pub async fn an_id_is_stored_once(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let ops = [1, 2, 1].map(|id| publish_once(topic, "x", Dedup::Id(id << 90)));
    let placed = subject.keep(ops).await;
    let first = at(placed[0]);
    assert_eq!(placed[2], Placed::Duplicate(Some(first)), "the same id in one batch");
    assert_eq!(send(&subject, topic, Dedup::Id(1 << 90)).await, Placed::Duplicate(Some(first)), "in another one");
    at(send(&subject, topic, Dedup::Id(3 << 90)).await);
    assert_eq!(subject.contents(topic).await.len(), 3, "a duplicate was stored");
}

/// Another topic's producers and ids are others.
pub async fn producers_are_known_per_topic(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let other = subject.topic(Durability::Disk).await;
    for topic in [topic, other] {
        at(send(&subject, topic, by_sequence(1, 5)).await);
        at(send(&subject, topic, by_sequence(2, 1)).await);
        at(send(&subject, topic, Dedup::Id(1)).await);
    }
}

/// Else a producer could take the second answer for the first.
pub async fn a_duplicate_is_confirmed_no_earlier_than_its_original(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    for number in 0..50 {
        let message = publish_once(topic, "x", by_sequence(1, number));
        let mut original = subject.append([message.clone()]);
        let duplicate = subject.append([message]);
        assert!(matches!(*duplicate.placed, [Placed::Duplicate(_)]), "{:?}", duplicate.placed);
        confirmed(duplicate).await;
        let outcome = original.receipt.try_get();
        assert!(matches!(outcome, Some(Ok(_))), "a duplicate was confirmed, its original is {outcome:?}");
    }
}

/// Of several tasks that publish the same, one stores it.
pub async fn publishing_twice_at_the_same_time_stores_once(engine: &dyn Engine) {
    let (subject, topic) = Subject::with_topic(engine).await;
    let subject = Arc::new(subject);
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let subject = subject.clone();
            tokio::spawn(async move {
                let mut new = 0;
                for id in 0..100 {
                    new += usize::from(matches!(send(&subject, topic, Dedup::Id(id)).await, Placed::At(_)));
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += task.await.expect("a publisher ends well");
    }
    assert_eq!((new, subject.contents(topic).await.len()), (100, 100), "new messages, and messages there are");
}
