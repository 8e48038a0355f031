use std::sync::Arc;
use std::time::Duration;

use futures::task::noop_waker_ref;
use futures::{FutureExt, StreamExt};
use std::task::{Context, Poll};
use towline_service_api::builtin::Settle;

use super::nack::Nack;
use super::settles::{Items, Settles};

/// What the channel takes now.
fn taken(items: &mut Items) -> Vec<Settle> {
    let mut cx = Context::from_waker(noop_waker_ref());
    let mut taken = Vec::new();
    while let Poll::Ready(Some(settle)) = items.poll_next_unpin(&mut cx) {
        taken.push(settle);
    }
    taken
}

fn open(settles: &Arc<Settles>) -> (u64, Items) {
    let channel = settles.open();
    (channel, Items::new(settles, channel))
}

#[test]
fn what_waits_becomes_few_items_in_the_order_it_was_said() {
    let settles = Arc::<Settles>::default();
    let (channel, mut items) = open(&settles);
    let nack = || Settle::nack(3).because("no");
    for settle in [Settle::ack(1), Settle::ack(2), nack(), Settle::ack(4), Settle::ack_to(5), Settle::ack(6)] {
        settles.push(channel, settle);
    }
    let acks = Settle { ack: vec![1, 2], ..Settle::default() };
    assert_eq!(taken(&mut items), [acks, nack(), Settle::ack(4), Settle::ack_to(5), Settle::ack(6)]);
}

#[test]
fn extending_again_and_again_takes_no_more_room_than_once() {
    let settles = Arc::<Settles>::default();
    let (channel, mut items) = open(&settles);
    for _ in 0..100 {
        for offset in [1, 2] {
            settles.push(channel, Settle::extend(offset));
        }
        settles.push(channel, Settle::ack(9));
    }
    assert_eq!(taken(&mut items).iter().map(|settle| settle.extend.len()).sum::<usize>(), 2);
    settles.push(channel, Settle::extend(1));
    assert_eq!(taken(&mut items), [Settle::extend(1)]);
}

#[test]
fn batches_have_an_end() {
    let settles = Arc::<Settles>::default();
    let (channel, mut items) = open(&settles);
    (0..3000).for_each(|offset| settles.push(channel, Settle::ack(offset)));
    let lengths: Vec<_> = taken(&mut items).iter().map(|settle| settle.ack.len()).collect();
    assert_eq!(lengths, [1024, 1024, 952]);
}

#[test]
fn an_old_channel_gets_nothing_and_adds_only_what_counts_from_anybody() {
    let settles = Arc::<Settles>::default();
    let (first, mut old) = open(&settles);
    [Settle::ack(1), Settle::nack(2), Settle::dead(3)].into_iter().for_each(|settle| settles.push(first, settle));
    assert!(settles.joined().now_or_never().is_none());
    let (_, mut new) = open(&settles);
    assert_eq!(taken(&mut old), []);
    settles.push(first, Settle::extend(4));
    settles.push(first, Settle::ack(5));
    assert!(settles.joined().now_or_never().is_none(), "only the old one was asked");
    assert!(settles.sent().now_or_never().is_none());
    assert_eq!(taken(&mut new), [Settle::ack(1), Settle::dead(3), Settle::ack(5)]);
    assert!(settles.joined().now_or_never().is_some() && settles.sent().now_or_never().is_some());
}

#[test]
fn a_reason_is_cut_where_a_character_ends() {
    let nack = Nack::new("ä".repeat(1000)).after(Duration::from_secs(1));
    assert_eq!(nack.settle(7), Settle::nack(7).because("ä".repeat(512)).after(Duration::from_secs(1)));
}
