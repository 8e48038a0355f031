//! One who takes messages of a group: a stream of deliveries, each taken only when asked for.

use super::seats::SeatId;
use super::{Dispatcher, Outcome};
use crate::mq::group::Holder;
use futures::Stream;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use tokio::time::{Duration, timeout};
use towline_service_api::RpcError;
use towline_service_api::builtin::{Delivery, GroupMode, QueueError, Settle};

/// How what a member takes is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    /// By the member itself, on its channel.
    Channel,
    /// By being handed over.
    Delivery,
    /// By `settle`, for this instance.
    Lease(String),
}

/// See the module. Dropped, it takes nothing more; what it has is its own until [`Settling::leave`] or its deadline.
#[derive(Debug)]
pub(crate) struct Member {
    dispatcher: Arc<Dispatcher>,
    seat: SeatId,
    holder: Holder,
    is_settled_at_once: bool,
    fault: Arc<OnceLock<QueueError>>,
}

/// The other half of a member: what became of what it has taken.
#[derive(Debug)]
pub(crate) struct Settling {
    dispatcher: Arc<Dispatcher>,
    seat: SeatId,
    holder: Holder,
    /// Why the member ends.
    fault: Arc<OnceLock<QueueError>>,
}

impl Dispatcher {
    /// Takes a member.
    ///
    /// # Errors
    /// `member-exists`, `mode-differs`, or why the group has ended.
    pub(crate) fn join(self: &Arc<Self>, ack: Ack, is_patient: bool) -> Result<Member, QueueError> {
        let mut state = self.state.lock();
        if let Some(end) = &state.end {
            return Err(end.clone());
        }
        if state.is_finished {
            return Err(QueueError::Rpc(RpcError::rejected("this broker is shutting down", None)));
        }
        let is_exclusive = state.options.mode == Some(GroupMode::Exclusive);
        if is_exclusive && ack != Ack::Channel {
            let (topic, group) = (self.topic.to_string(), self.name.clone());
            let why = "it is consumed by a channel only, see towline.Queue.consume".to_owned();
            return Err(QueueError::ModeDiffers { topic, group, mode: "exclusive".to_owned(), why });
        }
        if is_exclusive && !is_patient && state.seats.members() > 0 {
            return Err(QueueError::MemberExists { topic: self.topic.to_string(), group: self.name.clone() });
        }
        let holder = match &ack {
            Ack::Channel | Ack::Delivery => state.new_holder(),
            Ack::Lease(instance) => state.lease_holder(instance),
        };
        let seat = state.seats.join(holder, !matches!(ack, Ack::Lease(_)));
        self.ensure_running(&mut state);
        let (dispatcher, is_settled_at_once) = (self.clone(), ack == Ack::Delivery);
        Ok(Member { dispatcher, seat, holder, is_settled_at_once, fault: Arc::default() })
    }

    /// Settles leases of an instance; the receipt says when that is recorded.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn settle_leases(
        self: &Arc<Self>,
        instance: &str,
        settles: &[Settle],
    ) -> Result<Outcome, QueueError> {
        let holder = self.state.lock().lease_holder(instance);
        let outcome = self.settle(holder, settles);
        self.flush().await?;
        Ok(outcome)
    }

    /// Records what the group did, and waits until that is as durable as its topic.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn flush(&self) -> Result<(), QueueError> {
        let refused = |error| crate::mq::refusal::of_store(&self.topic, error);
        let ticket = self.append(&mut self.state.lock(), Vec::new(), None).map_err(refused)?;
        if let Some(ticket) = ticket {
            ticket.receipt.await.map_err(refused)?;
        }
        Ok(())
    }
}

impl super::State {
    fn lease_holder(&mut self, instance: &str) -> Holder {
        if let Some(holder) = self.instances.get(instance) {
            return *holder;
        }
        // Instances that hold nothing are forgotten before there are too many.
        if self.instances.len() >= 1024 {
            let group = &self.group;
            self.instances.retain(|_, holder| group.held_by(*holder) > 0);
        }
        let holder = self.new_holder();
        self.instances.insert(instance.to_owned(), holder);
        holder
    }
}

impl Member {
    /// The half that settles; of a member that settles on its channel.
    pub(crate) fn settling(&self) -> Settling {
        let (dispatcher, fault) = (self.dispatcher.clone(), self.fault.clone());
        Settling { dispatcher, seat: self.seat, holder: self.holder, fault }
    }

    /// Takes at most `most` messages and `bytes` of them, and waits so long for the first.
    ///
    /// # Errors
    /// Why the group has ended.
    pub(crate) async fn fetch(
        mut self,
        most: usize,
        bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let mut taken = Vec::new();
        let mut size = 0;
        let first = timeout(wait, std::future::poll_fn(|cx| Pin::new(&mut self).poll_next(cx))).await;
        let mut next = first.ok().flatten();
        while let Some(delivery) = next {
            let delivery = delivery?;
            size += delivery.body.len();
            taken.push(delivery);
            if taken.len() >= most || size >= bytes {
                break;
            }
            next = match Pin::new(&mut self).poll_next(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(next) => next,
                Poll::Pending => None,
            };
        }
        Ok(taken)
    }
}

impl Stream for Member {
    type Item = Result<Delivery, QueueError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = match self.dispatcher.poll_take(self.seat, cx) {
            Poll::Ready(None) => Poll::Ready(self.fault.get().cloned().map(Err)),
            polled => polled,
        };
        if self.is_settled_at_once
            && let Poll::Ready(Some(Ok(delivery))) = &polled
        {
            self.dispatcher.settle(self.holder, &[Settle::ack(delivery.offset)]);
        }
        polled
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.dispatcher.unseat(self.seat);
    }
}

impl Settling {
    pub(crate) fn settle(&self, settle: Settle) {
        let outcome = self.dispatcher.settle(self.holder, &[settle]);
        for (offset, refusal) in outcome.refused {
            tracing::debug!(offset, code = crate::mq::refusal::code(refusal), "a settle came too late");
        }
    }

    /// It settles no more: it gets nothing more, and what it has goes to another one at its deadline.
    pub(crate) fn retire(self) {
        let Self { dispatcher, seat, holder, .. } = self;
        dispatcher.state.lock().group.retire(holder);
        dispatcher.unseat(seat);
    }

    /// It is gone: what it has goes to another one at once. Why, if it can still be told.
    pub(crate) fn leave(self, why: Option<RpcError>) {
        let Self { dispatcher, seat, holder, fault } = self;
        if let Some(why) = why {
            let _ = fault.set(QueueError::Rpc(why));
        }
        {
            let mut state = dispatcher.state.lock();
            state.group.leave(holder);
            dispatcher.touched(&mut state);
        }
        dispatcher.unseat(seat);
    }
}

impl Dispatcher {
    /// Takes a seat away: what waits for it goes to others.
    fn unseat(&self, seat: SeatId) {
        let mut state = self.state.lock();
        let left = state.seats.leave(seat);
        // The next of an exclusive group.
        let is_exclusive = state.options.mode == Some(GroupMode::Exclusive);
        let wakers = if is_exclusive { state.seats.wake_all() } else { Vec::new() };
        drop(state);
        left.into_iter().chain(wakers).for_each(Waker::wake);
        self.work.notify_one();
    }
}
