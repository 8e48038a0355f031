use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;
use towline_service_api::builtin::Settle;

/// Offsets in one item.
const BATCH: usize = 1024;

/// What a member says of its deliveries, until the channel takes it. It waits for the broker's credit, and meanwhile becomes
/// fewer and larger items: never more than there are unsettled deliveries.
#[derive(Debug, Default)]
pub(super) struct Settles {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The channel it goes by now.
    channel: u64,
    waiting: VecDeque<Settle>,
    /// The broker has asked for the first item: this is a member.
    is_joined: bool,
    /// Everything was taken and sent.
    is_sent: bool,
    waker: Option<Waker>,
}

impl Settles {
    /// A new channel begins. What waits for the old one goes by it, as far as it counts there.
    pub(super) fn open(&self) -> u64 {
        let mut state = self.state.lock();
        state.channel += 1;
        let channel = state.channel;
        state.waiting.retain(counts_from_anybody);
        (state.is_joined, state.is_sent, state.waker) = (false, false, None);
        channel
    }

    /// Says something of a delivery that came by this channel.
    pub(super) fn push(&self, channel: u64, settle: Settle) {
        let mut state = self.state.lock();
        if channel != state.channel && !counts_from_anybody(&settle) {
            return;
        }
        if is_extend(&settle) && settle.extend.iter().all(|offset| state.is_extended(*offset)) {
            return;
        }
        let rest = match state.waiting.back_mut() {
            Some(last) => merge(last, settle),
            None => Some(settle),
        };
        state.waiting.extend(rest);
        state.is_sent = false;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll_item(&self, channel: u64, cx: &Context<'_>) -> Poll<Option<Settle>> {
        let mut state = self.state.lock();
        if state.channel != channel {
            return Poll::Ready(None);
        }
        let is_news = !state.is_joined;
        state.is_joined = true;
        let item = state.waiting.pop_front();
        if item.is_none() {
            state.is_sent = true;
            state.waker = Some(cx.waker().clone());
        }
        let is_sent = state.is_sent;
        drop(state);
        if is_news || is_sent {
            self.changed.notify_waiters();
        }
        item.map_or(Poll::Pending, |item| Poll::Ready(Some(item)))
    }

    /// Waits until the broker has made the one behind this channel a member.
    pub(super) async fn joined(&self) {
        self.until(|state| state.is_joined).await;
    }

    /// Waits until everything was sent.
    pub(super) async fn sent(&self) {
        self.until(|state| state.is_sent).await;
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl State {
    /// It is said already, and counts from when it arrives.
    fn is_extended(&self, offset: u64) -> bool {
        self.waiting.iter().any(|settle| settle.extend.contains(&offset))
    }
}

/// An ack, or a dead letter, counts from whoever says it as long as nobody else has the delivery; `ack_to` and the rest mean
/// what the member itself has.
fn counts_from_anybody(settle: &Settle) -> bool {
    settle.ack_to.is_none() && settle.nack.is_empty() && settle.extend.is_empty()
}

/// Adds to an item what can be said in one; what cannot is given back.
fn merge(last: &mut Settle, settle: Settle) -> Option<Settle> {
    if is_ack(last) && is_ack(&settle) && last.ack.len() < BATCH {
        last.ack.extend(settle.ack);
        None
    } else if is_extend(last) && is_extend(&settle) && last.by_ms == settle.by_ms && last.extend.len() < BATCH {
        last.extend.extend(settle.extend);
        None
    } else {
        Some(settle)
    }
}

fn is_ack(settle: &Settle) -> bool {
    counts_from_anybody(settle) && settle.dead.is_empty()
}

fn is_extend(settle: &Settle) -> bool {
    settle.ack_to.is_none() && settle.ack.is_empty() && settle.nack.is_empty() && settle.dead.is_empty()
}

/// The items of one channel.
pub(super) struct Items {
    settles: Arc<Settles>,
    channel: u64,
}

impl Items {
    pub(super) fn new(settles: &Arc<Settles>, channel: u64) -> Self {
        Self { settles: Arc::clone(settles), channel }
    }
}

impl Stream for Items {
    type Item = Settle;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Settle>> {
        self.settles.poll_item(self.channel, cx)
    }
}
