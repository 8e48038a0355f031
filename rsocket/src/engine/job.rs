use crate::credit::Credit;
use parking_lot::Mutex;
use std::task::{Context, Waker};

/// What a task that produces for a stream obeys: the peer's credit, and the order to stop.
#[derive(Debug)]
pub(super) struct Job {
    state: Mutex<JobState>,
}

#[derive(Debug)]
struct JobState {
    credit: Credit,
    stop: Option<Stop>,
    waker: Option<Waker>,
}

/// Why a task stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Drop everything.
    Now,
    /// The requester failed: one more poll, in which the items it sent yield the error.
    AfterPoll,
}

/// What a task may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Stopped(Stop),
    Credit(u64),
}

impl Job {
    pub(super) fn new(credit: u32) -> Self {
        Self { state: Mutex::new(JobState { credit: Credit::new(credit.into()), stop: None, waker: None }) }
    }

    /// Tells what may be done; a change of that wakes the task.
    pub(super) fn gate(&self, cx: &Context<'_>) -> Gate {
        let mut state = self.state.lock();
        if let Some(stop) = state.stop {
            return Gate::Stopped(stop);
        }
        let mut replaced = None;
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            replaced = state.waker.replace(cx.waker().clone());
        }
        let left = state.credit.left();
        drop(state);
        drop(replaced);
        Gate::Credit(left)
    }

    /// Spends the credit of one item.
    #[must_use]
    pub(super) fn spend(&self) -> bool {
        self.state.lock().credit.spend()
    }

    /// REQUEST_N came.
    pub(super) fn grant(&self, n: u32) {
        let mut state = self.state.lock();
        state.credit.grant(n.into());
        drop(state);
        self.wake();
    }

    /// Makes the task look again: it may have nothing left to send but its end.
    pub(super) fn wake(&self) {
        let waker = self.state.lock().waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Makes the task end and drop what it runs.
    pub(super) fn stop(&self, stop: Stop) {
        let mut state = self.state.lock();
        if state.stop != Some(Stop::Now) {
            state.stop = Some(stop);
        }
        drop(state);
        self.wake();
    }
}
