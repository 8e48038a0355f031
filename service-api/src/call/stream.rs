use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, future};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::draft::{Draft, Target, call_options};
use super::outbound::Outbound;
use crate::caller::Answer;
use crate::error::{CallError, RpcError};
use crate::service_error::ServiceError;

/// A call with many answers, also of a method that reads a stream itself. [`start`](Self::start) it.
#[must_use = "a call is not sent before it is started"]
pub struct StreamCall<T, E> {
    draft: Draft,
    outbound: Option<Outbound>,
    types: PhantomData<fn() -> (T, E)>,
}

impl<T, E> StreamCall<T, E> {
    #[doc(hidden)]
    pub fn new(draft: Draft) -> Self {
        Self { draft, outbound: None, types: PhantomData }
    }

    #[doc(hidden)]
    pub fn with_items<I: Serialize + Send + 'static>(
        draft: Draft,
        items: impl Stream<Item = I> + Send + 'static,
    ) -> Self {
        Self { draft, outbound: Some(Outbound::new(items)), types: PhantomData }
    }

    /// Lets this many items be under way before they are read: the credit window. With 0 each is asked for once it is
    /// waited for, so that none comes that nobody takes.
    pub fn prefetch(mut self, items: u32) -> Self {
        self.draft.options.prefetch = Some(items);
        self
    }

    /// Starts the call.
    pub fn start(self) -> AnswerStream<T, E> {
        let Self { draft, outbound, types } = self;
        let target = draft.target;
        let answers = match outbound {
            Some(outbound) => outbound.start(draft),
            None => match draft.finish() {
                Ok((caller, call)) => caller.stream(call),
                Err(error) => stream::once(future::ready(Err(error))).boxed(),
            },
        };
        AnswerStream { answers: Some(answers), target, types }
    }

    call_options!();
}

/// The answers of a [`StreamCall`]; it ends after its first error. Dropping it cancels the call.
#[must_use = "streams do nothing unless polled"]
pub struct AnswerStream<T, E> {
    answers: Option<BoxStream<'static, Result<Answer, RpcError>>>,
    target: Target,
    types: PhantomData<fn() -> (T, E)>,
}

impl<T: DeserializeOwned, E: ServiceError> Stream for AnswerStream<T, E> {
    type Item = Result<T, CallError<E>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(answers) = &mut self.answers else { return Poll::Ready(None) };
        let polled = answers.poll_next_unpin(context);
        let read = polled.map(|answer| answer.map(|answer| self.target.read(answer)));
        if matches!(read, Poll::Ready(None | Some(Err(_)))) {
            self.answers = None;
        }
        read
    }
}

impl<T, E> fmt::Debug for StreamCall<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamCall").field("draft", &self.draft).finish_non_exhaustive()
    }
}

impl<T, E> fmt::Debug for AnswerStream<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerStream")
            .field("method", &self.target.method.name)
            .field("is_ended", &self.answers.is_none())
            .finish_non_exhaustive()
    }
}
