use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};

use crate::error::RpcError;

/// The items a caller sends to a method, as its handler reads them; it ends after the first error.
///
/// Reading grants the caller credit, not reading holds it back.
pub struct Streaming<T> {
    items: Option<BoxStream<'static, Result<T, RpcError>>>,
}

impl<T> Streaming<T> {
    /// Items from any stream: what a unit test of a service passes to a method.
    pub fn new(items: impl Stream<Item = Result<T, RpcError>> + Send + 'static) -> Self {
        Self { items: Some(items.boxed()) }
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T, RpcError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(items) = &mut self.items else { return Poll::Ready(None) };
        let polled = items.poll_next_unpin(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.items = None;
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.as_ref().map_or((0, Some(0)), |items| items.size_hint())
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("is_ended", &self.items.is_none()).finish()
    }
}
