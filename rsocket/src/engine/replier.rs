use super::answer::{Answer, Outcome};
use super::job::Job;
use super::payload::Payload;
use super::serve::{first_poll, promise, register};
use super::shared::Shared;
use crate::error::{ErrorCode, StreamError};
use crate::frame::{FrameType, StreamId};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use std::fmt;
use std::sync::Arc;
use std::task::Poll;

/// A request-response that has to be answered. Dropped, it is answered ERROR\[APPLICATION_ERROR\].
#[derive(Debug)]
pub struct Replier(Open);

/// The same, with its stream kept open until it is answered. Dropped, it is answered ERROR\[APPLICATION_ERROR\].
#[derive(Debug)]
pub struct Later(Open);

struct Open {
    shared: Arc<Shared>,
    stream: StreamId,
    /// Of a stream that is kept open.
    promise: Option<u64>,
    is_done: bool,
}

impl Replier {
    pub(super) fn new(shared: Arc<Shared>, stream: StreamId) -> Self {
        Self(Open { shared, stream, promise: None, is_done: false })
    }

    /// Answers with what a future makes: it is polled once now, and if it is not done then, in a task of its own.
    pub fn run(mut self, mut handler: BoxFuture<'static, Result<Option<Payload>, StreamError>>) {
        let Open { shared, stream, .. } = &self.0;
        if let Poll::Ready(outcome) = first_poll(&mut handler) {
            if shared.state.lock().has_room(&shared.config) {
                shared.send_answer(*stream, None, &outcome);
                self.0.is_done = true;
                return;
            }
            handler = ready(outcome).boxed();
        }
        let job = Arc::new(Job::new(1));
        if register(shared, *stream, FrameType::RequestResponse, &job, None, false) {
            let answer = Answer::new(shared.clone(), *stream, job);
            shared.runtime.spawn(answer.run(handler));
        }
        self.0.is_done = true;
    }

    /// Answers later. Until then the request counts as being served, and may be cancelled.
    pub fn later(mut self) -> Later {
        let promise = promise(&self.0.shared, self.0.stream);
        let is_done = std::mem::replace(&mut self.0.is_done, true) || promise.is_none();
        Later(Open { shared: self.0.shared.clone(), stream: self.0.stream, promise, is_done })
    }
}

impl Later {
    /// Answers, unless the request was cancelled. The answer is queued however much waits already, and written together
    /// with others that are given at the same time. `None` completes without a payload.
    pub fn send(mut self, outcome: Result<Option<Payload>, StreamError>) {
        self.0.send(&outcome);
    }
}

impl Open {
    fn send(&mut self, outcome: &Outcome) {
        self.is_done = true;
        match self.promise {
            Some(promise) => self.shared.keep_promise(self.stream, promise, outcome),
            None => {
                self.shared.send_answer(self.stream, None, outcome);
                self.shared.flush();
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.send(&Err(StreamError::new(ErrorCode::APPLICATION_ERROR, "the handler of this request failed")));
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("stream", &self.stream).finish_non_exhaustive()
    }
}
