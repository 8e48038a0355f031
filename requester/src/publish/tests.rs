use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::task::noop_waker_ref;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, oneshot};
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError, Receipt};
use towline_service_api::{CallError, RpcError};

use super::error::PublishError;
use super::flight::{Entry, Flight};

type Waits = oneshot::Receiver<Result<Confirmation, PublishError>>;

fn stored(n: u64, offset: u64) -> Receipt {
    let (topic, durability) = (String::new(), Durability::Disk);
    Receipt::stored(
        n,
        &Confirmation { topic, offset: Some(offset), timestamp: 0, durability, duplicate: false, due: None },
    )
}

/// Any order of sending, receipts and lost channels: every message has one outcome, what the broker confirmed is
/// confirmed with its own receipt, only what the broker knows again is sent twice, and each channel keeps the order.
#[test]
fn every_message_has_exactly_one_outcome_whatever_becomes_of_its_channels() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let cx = Context::from_waker(noop_waker_ref());
        let room = Arc::new(Semaphore::new(1000));
        let mut flight = Flight::default();
        let mut waits: Vec<(bool, Waits)> = Vec::new();
        let mut times_sent: HashMap<usize, u32> = HashMap::new();
        let mut confirmed: HashMap<usize, u64> = HashMap::new();
        let mut channel = flight.open();
        // Items of this channel, and how many have a receipt.
        let (mut items, mut receipts, mut offset): (Vec<usize>, usize, u64) = (Vec::new(), 0, 0);
        for _ in 0..200 {
            match random.u32(0..10) {
                0..4 => {
                    let (outcome, wait) = oneshot::channel();
                    let name = waits.len().to_string();
                    let is_known = random.bool();
                    let message = Message::text(name.clone());
                    let message = if is_known { message.id(name) } else { message };
                    let permit = Arc::clone(&room).try_acquire_owned().unwrap();
                    flight.push(Entry::new(message, outcome, permit));
                    waits.push((is_known, wait));
                }
                4..7 => {
                    if let Poll::Ready(message) = flight.poll_item(channel, &cx) {
                        let name: usize = message.unwrap().text.unwrap().parse().unwrap();
                        *times_sent.entry(name).or_default() += 1;
                        assert!(items.last().is_none_or(|last| *last < name), "seed {seed}: out of order");
                        items.push(name);
                    }
                }
                7..9 if receipts < items.len() => {
                    flight.receipt("", stored(receipts as u64, offset)).unwrap();
                    confirmed.insert(items[receipts], offset);
                    receipts += 1;
                    offset += 1;
                }
                9 => {
                    if random.bool() {
                        flight.lost("lost");
                    } else {
                        flight.failed(&RpcError::connection_lost("lost").into());
                    }
                    assert!(matches!(flight.poll_item(channel, &cx), Poll::Ready(None)), "an old channel gets nothing");
                    channel = flight.open();
                    (items, receipts) = (Vec::new(), 0);
                }
                _ => {}
            }
        }
        flight.shut();
        flight.lost("over");
        flight.failed(&RpcError::connection_lost("over").into());
        assert!(flight.is_done());
        assert_eq!(room.available_permits(), 1000, "seed {seed}: all room is free again");
        for (name, (is_known, mut wait)) in waits.into_iter().enumerate() {
            let times = times_sent.get(&name).copied().unwrap_or_default();
            assert!(is_known || times <= 1, "seed {seed}: {name} was sent {times} times");
            match wait.try_recv() {
                Ok(Ok(confirmation)) => assert_eq!(confirmation.offset, confirmed.get(&name).copied(), "seed {seed}"),
                Ok(Err(PublishError::InDoubt { .. })) => assert!(times > 0, "seed {seed}: {name} was not sent"),
                Ok(Err(_)) => assert!(is_known || times == 0, "seed {seed}: {name} was sent {times} times"),
                Err(TryRecvError::Closed | TryRecvError::Empty) => panic!("seed {seed}: {name} has no outcome"),
            }
        }
    }
}

#[test]
fn what_a_failed_call_means_for_its_message() {
    let topic = || "orders".to_owned();
    let full = QueueError::TopicFull { topic: topic(), depth: 1, limit: 1, unit: "messages".to_owned() };
    let failed = QueueError::StoreFailed { why: "it broke".to_owned() };
    let newer = RpcError::application(r#"{"code":"newer","message":"of a newer broker"}"#);
    let not_allowed = RpcError::application("RST-900401: not allowed");
    for (error, is_in_doubt, code) in [
        (CallError::App(full), false, Some("topic-full")),
        (CallError::App(failed), true, None),
        (newer.into(), false, Some("newer")),
        (not_allowed.into(), false, None),
        (RpcError::not_connected("away").into(), false, None),
        (RpcError::rejected("busy", None).into(), false, None),
        (RpcError::invalid("RST-201404: no such method").into(), false, None),
        (RpcError::connection_lost("lost").into(), true, None),
        (RpcError::canceled("deadline exceeded").into(), true, None),
        (RpcError::application("a panic").into(), true, None),
    ] {
        let error = PublishError::of_call(error);
        assert_eq!((error.is_in_doubt(), error.code()), (is_in_doubt, code), "{error}");
    }
}
