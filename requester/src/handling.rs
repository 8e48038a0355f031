use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use tokio::time::Instant;
use towline_service_api::RpcError;

tokio::task_local! {
    static HANDLING: Handling;
}

/// The request a task answers, as the calls its handler makes see it: they inherit its deadline.
///
/// It is known where the handler itself is polled; a task the handler spawns stands alone. Cancelling needs nothing of
/// this: a handler that is dropped drops the calls it waits for.
#[derive(Debug)]
pub struct Handling {
    deadline: Option<Instant>,
    metadata: Option<Bytes>,
    /// A call of the handler was refused, provably undelivered.
    has_refused_call: Cell<bool>,
}

/// The items of a handler, each made within its [`Handling`].
#[derive(Debug)]
pub struct Handled<S> {
    items: S,
    deadline: Option<Instant>,
    metadata: Option<Bytes>,
    has_refused_call: bool,
}

impl Handling {
    /// A request that is to be answered by then.
    pub fn new(deadline: Option<Instant>) -> Self {
        Self { deadline, metadata: None, has_refused_call: Cell::new(false) }
    }

    /// With the request's own composite metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Option<Bytes>) -> Self {
        Self { metadata, ..self }
    }

    /// The composite metadata of the request this task answers, as it came: tracing, origin, entries of one's own.
    pub fn metadata() -> Option<Bytes> {
        HANDLING.try_with(|handling| handling.metadata.clone()).ok().flatten()
    }

    /// When the request this task answers has to be done; `None` if it answers none, or has no deadline.
    pub fn deadline() -> Option<Instant> {
        HANDLING.try_with(|handling| handling.deadline).ok().flatten()
    }

    /// Whether this task answers a request.
    pub fn is_active() -> bool {
        HANDLING.try_with(|_| ()).is_ok()
    }

    /// Runs a handler. A refusal it passes on from a call of its own (not delivered, that one says) becomes a plain
    /// failure: this request was delivered, and must not be repeated as if it were not.
    pub async fn run<T>(self, handler: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
        let within = async move {
            let outcome = handler.await;
            outcome.map_err(|error| HANDLING.with(|handling| honest(error, handling.has_refused_call.get())))
        };
        HANDLING.scope(self, within).await
    }

    /// Runs a handler that makes items; errors as in [`run`](Self::run).
    pub fn stream<S>(self, items: S) -> Handled<S> {
        Handled { items, deadline: self.deadline, metadata: self.metadata, has_refused_call: false }
    }

    /// A call ended with this error.
    pub(crate) fn note(error: &RpcError) {
        if error.is_retryable() {
            // Outside of a handler there is nobody to tell.
            let _ = HANDLING.try_with(|handling| handling.has_refused_call.set(true));
        }
    }
}

fn honest(error: RpcError, has_refused_call: bool) -> RpcError {
    if error.is_retryable() && has_refused_call {
        return RpcError::application(format!("RST-900500: Service invoked failed: {}", error.message));
    }
    error
}

impl<T, S: Stream<Item = Result<T, RpcError>> + Unpin> Stream for Handled<S> {
    type Item = Result<T, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let metadata = self.metadata.clone();
        let has_refused_call = Cell::new(self.has_refused_call);
        let handling = Handling { deadline: self.deadline, metadata, has_refused_call };
        let (polled, has_refused_call) = HANDLING.sync_scope(handling, || {
            let polled = Pin::new(&mut self.items).poll_next(cx);
            (polled, HANDLING.with(|handling| handling.has_refused_call.get()))
        });
        self.has_refused_call = has_refused_call;
        polled.map(|item| item.map(|item| item.map_err(|error| honest(error, has_refused_call))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}
