//! Hands the messages of a topic to the members of one group.
//!
//! ```text
//!  store --page--> fresh   \                      poll (with credit)
//!        --one---> loaded  /--> offer, hand -----------------------> member --> its channel
//!                                  ^ group (pure) <---- settle ----- member <-- its channel
//!                                  | progress, every 50 ms; dead letters
//!                               the store
//! ```
//! A member takes, nothing is pushed: it is polled only while it has credit. One task a group reads ahead, watches the time and
//! records; it ends when the group is idle. Invariant: what is in `fresh` are the next messages after `group.next()`, in order.

mod member;
mod seats;
mod task;

pub(crate) use member::{Ack, Member, Settling};

use super::group::{Group, Holder, Offer, Refusal};
use super::message::Content;
use super::settings::{self, GroupRest};
use super::shared::Shared;
use super::{filter::Filter, refusal};
use crate::store::{Batch, GroupId, GroupView, Limits, Offset, Op, StoreError, Stored, TopicId};
use parking_lot::Mutex;
use seats::{SeatId, Seats};
use smol_str::SmolStr;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use towline_service_api::builtin::{ConsumeOptions, Delivery, GroupMode, GroupStatus, QueueError, Settle};

/// How long it is waited for those that died, and how often it is looked whether one begins its way.
const BURIED_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(1);

/// See the module.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) topic: SmolStr,
    pub(crate) name: String,
    pub(crate) topic_id: TopicId,
    pub(crate) id: GroupId,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// There is something to do for its task.
    work: Notify,
    /// Its task has read all there was: who publishes is to say so.
    is_hungry: AtomicBool,
    /// Held while a message is on its way to the dead letter.
    burying: tokio::sync::Mutex<()>,
    /// The first offset that was never handed over, and how many holes there are below it, for who must not wait for the
    /// other lock: both of one moment, as what is handed over leaves the one and joins the other.
    place: Mutex<(Offset, u64)>,
}

#[derive(Debug)]
struct State {
    group: Group,
    options: ConsumeOptions,
    filter: Option<Filter>,
    fresh: VecDeque<Stored>,
    fresh_bytes: usize,
    /// Where to read on.
    read_next: Offset,
    /// The last read found nothing behind it.
    at_end: bool,
    loaded: HashMap<Offset, Stored>,
    seats: Seats,
    /// The leases of those that fetch are their instance's.
    instances: HashMap<String, Holder>,
    next_holder: u64,
    is_running: bool,
    /// Since when there is something to record.
    dirty_since: Option<u64>,
    /// The broker drains: nobody joins any more.
    is_finished: bool,
    /// Why nothing is handed over any more.
    end: Option<QueueError>,
    /// The oldest message that was not settled when it was last looked, and when it was stored.
    oldest: Option<(Offset, u64)>,
    /// Messages that went to the dead letter.
    dead: u64,
}

/// What a settle did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) settled: u64,
    pub(crate) refused: Vec<(Offset, Refusal)>,
}

impl Dispatcher {
    /// A group as the store knows it.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        topic: (SmolStr, TopicId),
        id: GroupId,
        view: &GroupView,
        rest: GroupRest,
    ) -> Self {
        let now = shared.clock.now();
        let suspect = shared.suspect(topic.1);
        let group = Group::restore(view, settings::rules(&rest.options), suspect, now);
        let filter = rest.options.filter.as_deref().and_then(|text| Filter::parse(text).ok());
        let state = State {
            filter,
            options: rest.options,
            fresh: VecDeque::new(),
            fresh_bytes: 0,
            read_next: group.next(),
            at_end: false,
            loaded: HashMap::new(),
            seats: Seats::default(),
            instances: HashMap::new(),
            next_holder: 0,
            is_running: false,
            is_finished: false,
            dirty_since: None,
            end: view.is_lost.then(|| refusal::of_store(&topic.0, StoreError::GroupLost(topic.1, id))),
            oldest: None,
            dead: 0,
            group,
        };
        let place = Mutex::new((state.group.next(), state.group.holes() as u64));
        Self {
            topic: topic.0,
            name: rest.name,
            topic_id: topic.1,
            id,
            shared: shared.clone(),
            state: Mutex::new(state),
            work: Notify::new(),
            is_hungry: AtomicBool::new(false),
            burying: tokio::sync::Mutex::default(),
            place,
        }
    }

    /// Waits until those that died are in the dead letter, so that whoever has seen one die finds it there: for a while, as
    /// there may be no room for them.
    pub(crate) async fn buried(&self) {
        let all = async {
            loop {
                drop(self.burying.lock().await);
                if self.state.lock().group.dying().is_none() {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        let _ = timeout(BURIED_WITHIN, all).await;
    }

    /// Messages have become visible.
    pub(crate) fn published(&self) {
        if self.is_hungry.load(Ordering::SeqCst) && self.is_hungry.swap(false, Ordering::SeqCst) {
            self.work.notify_one();
        }
    }

    /// The first offset that was never handed over.
    pub(crate) fn next(&self) -> Offset {
        self.place().0
    }

    /// That offset, and how many messages below it are not settled.
    pub(crate) fn place(&self) -> (Offset, u64) {
        *self.place.lock()
    }

    pub(crate) fn options(&self) -> ConsumeOptions {
        self.state.lock().options.clone()
    }

    /// Other options, which are in the store already.
    pub(crate) fn set_options(&self, options: ConsumeOptions) {
        let mut state = self.state.lock();
        state.group.set_rules(settings::rules(&options));
        state.filter = options.filter.as_deref().and_then(|text| Filter::parse(text).ok());
        state.options = options;
        drop(state);
        self.work.notify_one();
    }

    /// `messages_from`: how many messages there are from an offset on.
    pub(crate) fn status(&self, messages_from: impl FnOnce(Offset) -> u64) -> GroupStatus {
        let state = self.state.lock();
        let fresh = messages_from(state.group.next());
        let in_flight = state.group.in_flight() as u64;
        GroupStatus {
            topic: self.topic.to_string(),
            group: self.name.clone(),
            options: state.options.clone(),
            next: state.group.next(),
            depth: fresh + state.group.holes() as u64,
            in_flight,
            waiting: state.group.holes() as u64 - in_flight,
            members: state.seats.members(),
            oldest: None,
            redelivered: state.group.redelivered(),
            dead: state.dead,
            dead_letter_topic: super::names::dead_letter(&self.topic, &self.name),
        }
    }

    /// The oldest offset it has not settled.
    pub(crate) fn oldest(&self) -> Offset {
        self.state.lock().group.oldest()
    }

    /// When that was stored, if it is known.
    pub(crate) fn oldest_known(&self) -> Option<u64> {
        self.state.lock().oldest.map(|(_, time)| time)
    }

    /// Looks when the oldest message it has not settled was stored.
    pub(crate) async fn look_at_oldest(&self, head: Offset) {
        let oldest = {
            let mut state = self.state.lock();
            let oldest = state.group.oldest();
            if oldest >= head {
                state.oldest = None;
            }
            if oldest >= head || state.oldest.is_some_and(|(known, _)| known == oldest) {
                return;
            }
            oldest
        };
        let limits = Limits { messages: 1, bytes: 1 };
        if let Ok(page) = self.shared.store.read(self.topic_id, oldest, limits).await {
            self.state.lock().oldest = page.messages.first().map(|stored| (oldest, stored.timestamp));
        }
    }

    /// Hands nothing over any more: its members end well, and may settle what they have.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock();
        state.is_finished = true;
        let wakers = state.seats.clear();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.work.notify_one();
    }

    /// Ends all members: with an error, if there is one to tell.
    pub(crate) fn end(&self, why: QueueError) {
        let mut state = self.state.lock();
        state.end.get_or_insert(why);
        let wakers = state.seats.wake_all();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.work.notify_one();
    }

    /// Goes on at `next`: what it has handed over before is nobody's.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn seek(&self, next: Offset) -> Result<(), QueueError> {
        let refused = |error| refusal::of_store(&self.topic, error);
        let ticket = {
            let mut state = self.state.lock();
            let seek = Op::Seek { topic: self.topic_id, group: self.id, next };
            let batch = Batch { ops: vec![seek], now: self.shared.clock.now() };
            let ticket = self.shared.store.append(batch, crate::store::Durability::Disk).map_err(refused)?;
            // In one step: what the group did before is not recorded behind it.
            state.group.seek(next);
            state.dirty_since = None;
            state.forget_read();
            // A group whose state was lost is found again.
            state.end = state.end.take().filter(|end| !matches!(end, QueueError::StoreFailed { .. }));
            self.mirror(&state);
            ticket
        };
        self.work.notify_one();
        ticket.receipt.await.map(drop).map_err(refused)
    }

    /// Settles what is not kept any more below `floor`; how many messages it had not settled.
    pub(crate) fn give_up(self: &Arc<Self>, floor: Offset) -> u64 {
        let mut state = self.state.lock();
        let holes: Vec<Offset> = state.group.holes_below(floor);
        holes.iter().for_each(|offset| state.group.drop_message(*offset));
        let skipped = floor.saturating_sub(state.group.next());
        state.group.pass(floor);
        self.touched(&mut state);
        skipped + holes.len() as u64
    }

    /// Takes what `seat` may have now; `None` once it gets nothing any more.
    fn poll_take(self: &Arc<Self>, seat: SeatId, cx: &Context<'_>) -> Poll<Option<Result<Delivery, QueueError>>> {
        let now = self.shared.clock.now();
        let mut state = self.state.lock();
        if let Some(end) = &state.end {
            return Poll::Ready(Some(Err(end.clone())));
        }
        let is_exclusive = state.options.mode == Some(GroupMode::Exclusive);
        let quantum = state.quantum();
        let Some(holder) = state.seats.arrive(seat) else { return Poll::Ready(None) };
        if is_exclusive && !state.seats.is_first(seat) {
            state.seats.park(seat, cx.waker());
            return Poll::Pending;
        }
        if state.seats.must_yield(seat, quantum) {
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let offer = state.offer(holder);
            let stored = match offer {
                Offer::Again(offset) => state.loaded.remove(&offset),
                Offer::New => state.pop_fresh(),
                Offer::Full => {
                    state.seats.park(seat, cx.waker());
                    return Poll::Pending;
                }
                Offer::Nothing => {
                    state.seats.wait(seat, cx.waker());
                    return Poll::Pending;
                }
            };
            let Some(stored) = stored else { continue };
            if self.is_skipped(&mut state, &stored, now) {
                continue;
            }
            let handed = state.group.hand(holder, stored.offset, now);
            self.shared.meters.redelivered.increment(u64::from(handed.attempt > 1));
            state.seats.took(seat);
            self.touched(&mut state);
            let is_low = state.fresh.len() < task::LOW && !state.at_end;
            let is_low = is_low || state.loaded.is_empty() && state.group.has_ready();
            drop(state);
            if is_low {
                self.work.notify_one();
            }
            let mut delivery = Content::delivery(&stored.content, &self.topic, stored.offset, stored.timestamp);
            (delivery.attempt, delivery.redelivered) = (handed.attempt, handed.is_redelivered);
            return Poll::Ready(Some(Ok(delivery)));
        }
    }

    /// A message that nobody is to get: it is settled.
    fn is_skipped(self: &Arc<Self>, state: &mut State, stored: &Stored, now: u64) -> bool {
        let is_expired = Content::expires(&stored.content).is_some_and(|expires| expires <= now);
        let is_wanted = || match &state.filter {
            None => true,
            Some(filter) => {
                let content = Content::decode(&stored.content);
                filter.wants(content.as_ref().and_then(|content| content.tag.as_deref()))
            }
        };
        if !is_expired && is_wanted() {
            return false;
        }
        self.shared.meters.expired.increment(u64::from(is_expired));
        state.group.drop_message(stored.offset);
        self.touched(state);
        true
    }

    /// Settles what `holder` says.
    pub(crate) fn settle(self: &Arc<Self>, holder: Holder, settles: &[Settle]) -> Outcome {
        let now = self.shared.clock.now();
        let mut outcome = Outcome::default();
        let mut state = self.state.lock();
        let group = &mut state.group;
        for settle in settles {
            let reason = settle.reason.as_deref();
            for &offset in &settle.ack {
                outcome.add(offset, group.ack(holder, offset));
            }
            if let Some(offset) = settle.ack_to {
                match group.ack_to(holder, offset) {
                    Ok(settled) => outcome.settled += settled,
                    Err(refusal) => outcome.refused.push((offset, refusal)),
                }
            }
            for &offset in &settle.nack {
                outcome.add(offset, group.nack(holder, offset, settle.delay_ms, reason, now));
            }
            for &offset in &settle.extend {
                outcome.add(offset, group.extend(holder, offset, settle.by_ms, now));
            }
            for &offset in &settle.dead {
                outcome.add(offset, group.kill(holder, offset, reason));
            }
        }
        let is_urgent =
            state.group.dying().is_some() || settles.iter().any(|it| !it.nack.is_empty() || !it.extend.is_empty());
        self.touched(&mut state);
        let wakers = state.seats.unpark(holder);
        // Some may have waited because the group had as many holes as it may have.
        let is_urgent = is_urgent || state.seats.has_waiting() && state.has_some();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        if is_urgent {
            self.work.notify_one();
        }
        self.shared.meters.settled.increment(outcome.settled);
        self.shared.meters.stale.increment(outcome.refused.len() as u64);
        outcome
    }

    /// Something is to be recorded.
    fn touched(self: &Arc<Self>, state: &mut State) {
        state.keep_up();
        self.mirror(state);
        if state.dirty_since.is_none() && !state.group.is_recorded() {
            state.dirty_since = Some(self.shared.clock.now());
            self.ensure_running(state);
        }
    }

    fn mirror(&self, state: &State) {
        *self.place.lock() = (state.group.next(), state.group.holes() as u64);
    }
}

impl Outcome {
    fn add(&mut self, offset: Offset, done: Result<(), Refusal>) {
        match done {
            Ok(()) => self.settled += 1,
            Err(refusal) => self.refused.push((offset, refusal)),
        }
    }
}

impl State {
    fn offer(&mut self, holder: Holder) -> Offer {
        let Self { group, loaded, fresh, .. } = self;
        group.offer(holder, |offset| loaded.contains_key(&offset), !fresh.is_empty())
    }

    /// What was read is what comes next, no less and no more: offsets behind the last message that was read are not there.
    fn keep_up(&mut self) {
        while self.fresh.front().is_some_and(|stored| stored.offset < self.group.next()) {
            self.pop_fresh();
        }
        self.read_next = self.read_next.max(self.group.next());
        if self.fresh.is_empty() {
            self.group.pass(self.read_next);
        }
    }

    fn pop_fresh(&mut self) -> Option<Stored> {
        let stored = self.fresh.pop_front()?;
        self.fresh_bytes -= stored.content.len();
        Some(stored)
    }

    /// What was read ahead is not what comes next any more.
    fn forget_read(&mut self) {
        self.fresh.clear();
        self.loaded.clear();
        self.fresh_bytes = 0;
        self.at_end = false;
        self.read_next = self.group.next();
    }

    /// Messages one member may take while others were told that there are some.
    fn quantum(&self) -> u32 {
        let share = self.fresh.len() / (2 * self.seats.len().max(1));
        u32::try_from(share.clamp(1, 64)).unwrap_or(64)
    }

    /// Nobody is here, and nothing is to be done.
    fn is_idle(&self) -> bool {
        let is_watched = self.group.alarm().is_some() && self.group.in_flight() > 0;
        self.seats.is_empty() && !is_watched && self.group.is_recorded() && self.group.dying().is_none()
    }

    /// Messages are here that could be handed over.
    fn has_some(&self) -> bool {
        !self.fresh.is_empty() || !self.loaded.is_empty()
    }

    fn new_holder(&mut self) -> Holder {
        self.next_holder += 1;
        Holder(self.next_holder)
    }
}
