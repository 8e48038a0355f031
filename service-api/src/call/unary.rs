use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::{FutureExt, Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::draft::{Draft, Target, call_options};
use super::outbound::Outbound;
use crate::caller::Answer;
use crate::error::{CallError, RpcError};
use crate::service_error::ServiceError;

/// A call with one answer, also of a method that reads a stream. Await it: `Result<T, CallError<E>>`.
#[must_use = "a call is not sent before it is awaited"]
pub struct UnaryCall<T, E> {
    draft: Draft,
    outbound: Option<Outbound>,
    types: PhantomData<fn() -> (T, E)>,
}

impl<T, E> UnaryCall<T, E> {
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

    call_options!();
}

impl<T: DeserializeOwned, E: ServiceError> IntoFuture for UnaryCall<T, E> {
    type Output = Result<T, CallError<E>>;
    type IntoFuture = UnaryFuture<T, E>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { draft, outbound, types } = self;
        let target = draft.target;
        let answer = match outbound {
            None => match draft.finish() {
                Ok((caller, call)) => caller.unary(call),
                Err(error) => future::ready(Err(error)).boxed(),
            },
            Some(outbound) => {
                let mut answers = outbound.start(draft);
                // The end without an answer is the answer `()`.
                let nothing = Answer { encoding: None, data: Bytes::new() };
                async move { answers.next().await.unwrap_or(Ok(nothing)) }.boxed()
            }
        };
        UnaryFuture { answer, target, types }
    }
}

/// The answer of a [`UnaryCall`]; dropping it cancels the call.
#[must_use = "futures do nothing unless polled"]
pub struct UnaryFuture<T, E> {
    answer: BoxFuture<'static, Result<Answer, RpcError>>,
    target: Target,
    types: PhantomData<fn() -> (T, E)>,
}

impl<T: DeserializeOwned, E: ServiceError> Future for UnaryFuture<T, E> {
    type Output = Result<T, CallError<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll_unpin(context).map(|answer| self.target.read(answer))
    }
}

impl<T, E> fmt::Debug for UnaryCall<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnaryCall").field("draft", &self.draft).finish_non_exhaustive()
    }
}

impl<T, E> fmt::Debug for UnaryFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnaryFuture").field("method", &self.target.method.name).finish_non_exhaustive()
    }
}
