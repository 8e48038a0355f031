use super::job::{Gate, Job};
use super::payload::Payload;
use super::room::Turn;
use super::shared::Shared;
use crate::error::{ErrorCode, StreamError};
use crate::frame::StreamId;
use futures::future::{BoxFuture, poll_fn};
use std::sync::Arc;
use std::task::{Poll, ready};

/// The outcome of a request-response.
pub(super) type Outcome = Result<Option<Payload>, StreamError>;

/// A request-response that was not done at its first poll, or whose answer found no room.
///
/// Dropped before its end (a panic of the handler), it sends an error.
pub(super) struct Answer {
    shared: Arc<Shared>,
    stream: StreamId,
    job: Arc<Job>,
    turn: Turn,
    is_done: bool,
}

impl Answer {
    pub(super) fn new(shared: Arc<Shared>, stream: StreamId, job: Arc<Job>) -> Self {
        Self { shared, stream, job, turn: Turn::default(), is_done: false }
    }

    /// Runs the handler, waits for room and answers; ends early when the job is stopped.
    pub(super) async fn run(mut self, handler: BoxFuture<'static, Outcome>) {
        if let Some(outcome) = until_stopped(&self.job, handler).await {
            let is_stopped = poll_fn(|cx| match self.job.gate(cx) {
                Gate::Stopped(_) => Poll::Ready(true),
                Gate::Credit(_) if self.shared.poll_room(&mut self.turn, cx) => Poll::Ready(false),
                Gate::Credit(_) => Poll::Pending,
            })
            .await;
            if !is_stopped {
                self.send(&outcome);
            }
        }
        self.is_done = true;
        self.shared.flush_together().await;
    }

    fn send(&self, outcome: &Outcome) {
        self.shared.send_answer(self.stream, Some(&self.job), outcome);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.shared.leave(&mut self.turn);
        if !self.is_done {
            self.send(&Err(StreamError::new(ErrorCode::APPLICATION_ERROR, "the handler of this request failed")));
            self.shared.flush();
        }
    }
}

/// A fire-and-forget that was not done at its first poll.
pub(super) struct Oneway {
    shared: Arc<Shared>,
    key: u64,
    job: Arc<Job>,
}

impl Oneway {
    /// Registers it; `None` if the connection has ended.
    pub(super) fn new(shared: Arc<Shared>) -> Option<Self> {
        let job = Arc::new(Job::new(0));
        let mut state = shared.state.lock();
        if state.ended.is_some() {
            return None;
        }
        state.next_oneway += 1;
        let key = state.next_oneway;
        state.oneways.insert(key, job.clone());
        drop(state);
        Some(Self { shared, key, job })
    }

    pub(super) async fn run(self, handler: BoxFuture<'static, ()>) {
        until_stopped(&self.job, handler).await;
    }
}

impl Drop for Oneway {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let removed = state.oneways.remove(&self.key);
        self.shared.settle(state, None);
        drop(removed);
    }
}

/// Runs a future until it is done or the job is stopped; then it is dropped.
async fn until_stopped<T>(job: &Job, mut future: BoxFuture<'static, T>) -> Option<T> {
    poll_fn(|cx| match job.gate(cx) {
        Gate::Stopped(_) => Poll::Ready(None),
        Gate::Credit(_) => Poll::Ready(Some(ready!(future.as_mut().poll(cx)))),
    })
    .await
}
