//! What a group does by itself: reads ahead, watches the time, records what it did, and buries what nobody could handle.

use super::{Dispatcher, State};
use crate::mq::group::Death;
use crate::mq::shared::AHEAD;
use crate::mq::{dead_letter, refusal};
use crate::store::{Batch, Durability, Limits, Offset, Op, Progress, Run, StoreError, Ticket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use tokio::time::{Duration, sleep, sleep_until};

/// Below so many messages read ahead, more are read.
pub(super) const LOW: usize = 256;
/// Read ahead at once.
const PAGE: usize = 1_024;
/// Holes whose bytes are read ahead.
const LOAD: usize = 32;
/// How long what happened waits to be recorded with more of it, milliseconds.
const RECORD: u64 = 50;
/// How long what the store did not do waits to be tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// What is to be done next.
enum Step {
    End,
    Record,
    Bury(Death),
    Load(Vec<Offset>),
    Read(Offset, Limits),
    /// Nothing, until then.
    Wait(Option<u64>),
}

impl Dispatcher {
    /// Starts the task, unless it runs.
    pub(super) fn ensure_running(self: &Arc<Self>, state: &mut State) {
        self.work.notify_one();
        if !std::mem::replace(&mut state.is_running, true) {
            self.shared.readers.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(self.clone().run());
        }
    }

    async fn run(self: Arc<Self>) {
        loop {
            match self.plan() {
                Step::End => break,
                Step::Record => self.record().await,
                Step::Bury(death) => self.bury(death).await,
                Step::Load(offsets) => self.load(offsets).await,
                Step::Read(from, limits) => self.read(from, limits).await,
                Step::Wait(until) => {
                    let alarm = async {
                        match until {
                            Some(time) => sleep_until(self.shared.clock.instant(time)).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = self.work.notified() => {}
                        () = alarm => {}
                    }
                }
            }
        }
        self.shared.readers.fetch_sub(1, Ordering::Relaxed);
    }

    fn plan(&self) -> Step {
        let now = self.shared.clock.now();
        let mut state = self.state.lock();
        state.group.tick(now);
        self.touched_by_time(&mut state, now);
        let wakers = state.call();
        let step = self.next_step(&mut state, now);
        if matches!(step, Step::End) {
            state.is_running = false;
            // An idle group holds nothing.
            state.forget_read();
            state.fresh.shrink_to_fit();
            state.loaded.shrink_to_fit();
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        step
    }

    fn next_step(&self, state: &mut State, now: u64) -> Step {
        if state.end.is_some() {
            return Step::End;
        }
        let record_at = state.dirty_since.map(|since| since + RECORD);
        if record_at.is_some_and(|at| at <= now || state.seats.is_empty()) {
            return Step::Record;
        }
        if let Some(death) = state.group.dying() {
            return Step::Bury(death.clone());
        }
        if state.is_idle() {
            return Step::End;
        }
        if !state.seats.is_empty() {
            if state.loaded.len() < LOAD {
                let missing = state.group.ready().filter(|offset| !state.loaded.contains_key(offset));
                let missing: Vec<Offset> = missing.take(LOAD - state.loaded.len()).collect();
                if !missing.is_empty() {
                    return Step::Load(missing);
                }
            }
            if state.fresh.len() < LOW {
                let most = self.shared.ahead();
                // Hungry again only if nobody has published since nothing was found.
                if state.fresh_bytes < most && !(state.at_end && self.is_hungry.load(Ordering::SeqCst)) {
                    let limits = Limits { messages: PAGE, bytes: most - state.fresh_bytes };
                    return Step::Read(state.read_next, limits);
                }
            }
        }
        Step::Wait(record_at.into_iter().chain(state.group.alarm()).min())
    }

    fn touched_by_time(&self, state: &mut State, now: u64) {
        state.keep_up();
        self.mirror(state);
        if state.dirty_since.is_none() && !state.group.is_recorded() {
            state.dirty_since = Some(now);
        }
    }

    async fn read(&self, from: Offset, limits: Limits) {
        self.is_hungry.store(true, Ordering::SeqCst);
        let page = self.shared.store.read(self.topic_id, from, limits).await;
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.not_read(error).await,
        };
        let mut state = self.state.lock();
        // A seek came between.
        if state.read_next != from {
            return;
        }
        self.shared.meters.damaged.increment(page.damaged.len() as u64);
        state.at_end = page.messages.is_empty() && page.next == from;
        state.read_next = page.next;
        state.fresh_bytes += page.messages.iter().map(|stored| stored.content.len()).sum::<usize>();
        state.fresh.extend(page.messages);
        self.touched_by_time(&mut state, self.shared.clock.now());
    }

    /// Reads holes that can be handed over, neighbours at once.
    async fn load(&self, offsets: Vec<Offset>) {
        for run in offsets.chunk_by(|a, b| a + 1 == *b) {
            let limits = Limits { messages: run.len(), bytes: AHEAD.1 };
            let page = match self.shared.store.read(self.topic_id, run[0], limits).await {
                Ok(page) => page,
                Err(StoreError::Unreadable(why)) => {
                    tracing::warn!(
                        topic = &*self.topic,
                        offset = run[0],
                        why,
                        "messages cannot be read, later they may"
                    );
                    let until = self.shared.clock.now() + AGAIN.as_millis() as u64;
                    let mut state = self.state.lock();
                    run.iter().for_each(|offset| state.group.postpone(*offset, until));
                    continue;
                }
                Err(error) => return self.end(refusal::of_store(&self.topic, error)),
            };
            let mut state = self.state.lock();
            let mut found = page.messages.into_iter().peekable();
            for &offset in run.iter().filter(|offset| **offset < page.next) {
                while found.next_if(|stored| stored.offset < offset).is_some() {}
                let stored = found.next_if(|stored| stored.offset == offset);
                if !state.group.is_hole(offset) {
                    continue;
                }
                match stored {
                    Some(stored) => {
                        state.loaded.insert(offset, stored);
                    }
                    // Damaged, or given up: nothing will ever be read there.
                    None => state.group.drop_message(offset),
                }
            }
            self.touched_by_time(&mut state, self.shared.clock.now());
        }
    }

    async fn not_read(&self, error: StoreError) {
        match error {
            StoreError::Unreadable(_) => sleep(AGAIN).await,
            error => self.end(refusal::of_store(&self.topic, error)),
        }
    }

    /// Records what the group did; nobody waits for it.
    async fn record(&self) {
        let recorded = {
            let mut state = self.state.lock();
            self.append(&mut state, Vec::new(), None).map(drop)
        };
        if let Err(error) = recorded {
            self.not_recorded(error).await;
        }
    }

    /// Appends `ops`, and with them what the group did, `also` settled.
    pub(super) fn append(
        &self,
        state: &mut State,
        mut ops: Vec<Op>,
        also: Option<Offset>,
    ) -> Result<Option<Ticket>, StoreError> {
        let mut progress = state.group.progress();
        if let Some(first) = also {
            let next = state.group.next();
            progress.get_or_insert_with(|| Progress { from: next, next, ..Default::default() });
            progress.iter_mut().for_each(|progress| progress.settled.push(Run { first, count: 1 }));
        }
        if let Some(progress) = progress {
            ops.push(Op::Progress { topic: self.topic_id, group: self.id, progress });
        }
        state.dirty_since = None;
        if ops.is_empty() {
            return Ok(None);
        }
        let batch = Batch { ops, now: self.shared.clock.now() };
        let ticket = self.shared.store.append(batch, Durability::Memory);
        if ticket.is_ok() {
            if let Some(offset) = also {
                state.group.drop_message(offset);
            }
            state.group.recorded();
            self.mirror(state);
        }
        ticket.map(Some)
    }

    pub(super) async fn not_recorded(&self, error: StoreError) {
        match error {
            StoreError::Full { .. } => {
                tracing::warn!(topic = &*self.topic, group = self.name, %error, "what a group did is not recorded yet");
                self.state.lock().dirty_since = Some(self.shared.clock.now());
                sleep(AGAIN).await;
            }
            error => self.end(refusal::of_store(&self.topic, error)),
        }
    }

    /// Copies a message to the group's dead-letter topic and settles it, in one batch.
    async fn bury(&self, death: Death) {
        let _on_its_way = self.burying.lock().await;
        let limits = Limits { messages: 1, bytes: 1 };
        let page = match self.shared.store.read(self.topic_id, death.offset, limits).await {
            Ok(page) => page,
            Err(error) => return self.not_read(error).await,
        };
        let Some(stored) = page.messages.into_iter().next().filter(|stored| stored.offset == death.offset) else {
            self.state.lock().group.drop_message(death.offset);
            return;
        };
        let Some(queues) = self.shared.queues() else { return };
        let dead_letters = match queues.dead_letters(&self.topic, &self.name).await {
            Ok(topic) => topic,
            Err(error) => return self.end(error),
        };
        let content = dead_letter::copy(&stored, &death, &self.topic, &self.name);
        let buried = {
            let mut state = self.state.lock();
            // It was settled meanwhile, or the group was sent elsewhere.
            if state.group.dying() != Some(&death) {
                return;
            }
            let buried = dead_letters.append_with(&content, |op| self.append(&mut state, vec![op], Some(death.offset)));
            state.dead += u64::from(buried.is_ok());
            buried
        };
        match buried {
            Ok(receipt) => {
                self.shared.meters.dead.increment(1);
                if let Some(receipt) = receipt {
                    let _ = receipt.await;
                }
                dead_letters.published();
            }
            Err(error) => self.not_recorded(error).await,
        }
    }
}

impl Dispatcher {
    /// Settles a message together with `op`, in whatever order; nothing if it is settled already.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn settle_with(&self, offset: Offset, op: Op) -> Result<Option<Ticket>, StoreError> {
        let mut state = self.state.lock();
        state.group.open_up([offset], offset + 1);
        state.keep_up();
        if !state.group.is_hole(offset) {
            return Ok(None);
        }
        state.loaded.remove(&offset);
        self.append(&mut state, vec![op], Some(offset))
    }

    /// Leaves a message for later, though those behind it are settled. False: there are too many of those.
    pub(crate) fn leave_out(&self, offset: Offset) -> bool {
        let mut state = self.state.lock();
        let is_left_out = state.group.open_up([offset], offset + 1);
        state.keep_up();
        is_left_out
    }

    /// Whether a message is not settled.
    pub(crate) fn is_open(&self, offset: Offset) -> bool {
        let state = self.state.lock();
        offset >= state.group.next() || state.group.is_hole(offset)
    }
}

impl State {
    /// Calls those that wait, as far as there is something.
    fn call(&mut self) -> Vec<Waker> {
        if !self.seats.has_waiting() {
            return Vec::new();
        }
        if self.end.is_some() {
            return self.seats.wake_all();
        }
        let (there, quantum) = (self.fresh.len() + self.loaded.len(), self.quantum());
        self.seats.call(there, quantum)
    }
}
