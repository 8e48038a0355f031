use super::{Inbound, Item, Payload, Replier};
use crate::error::{ErrorCode, StreamError};
use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream, StreamExt};

/// What answers the peer's requests.
///
/// Every method is called by the task that reads the connection, in the order the requests arrived, and what it returns
/// is polled once there: what happens before the first `await` happens in that order. Nothing here may block. What is
/// not done at its first poll goes on in a task of its own; it is dropped when the peer cancels or the connection ends.
/// A panic is answered ERROR\[APPLICATION_ERROR\].
pub trait Responder: Send + Sync + 'static {
    /// A request without an answer.
    fn fire_and_forget(&self, request: Payload) -> BoxFuture<'static, ()> {
        drop(request);
        Box::pin(future::ready(()))
    }

    /// A request with one answer; `None` completes without a payload.
    fn request_response(&self, request: Payload) -> BoxFuture<'static, Result<Option<Payload>, StreamError>> {
        drop(request);
        Box::pin(future::ready(Err(refusal())))
    }

    /// The same, for who answers many requests at once without a task for each: the answer may be given later, from
    /// anywhere. By default it is what [`request_response`](Self::request_response) makes.
    fn answer(&self, request: Payload, replier: Replier) {
        replier.run(self.request_response(request));
    }

    /// A request with many answers. The stream is polled only while the peer has given credit.
    fn request_stream(&self, request: Payload) -> BoxStream<'static, Item> {
        drop(request);
        stream::once(future::ready(Err(refusal()))).boxed()
    }

    /// A request with many items both ways; `items` are those after `first`.
    fn request_channel(&self, first: Payload, items: Inbound) -> BoxStream<'static, Item> {
        drop((first, items));
        stream::once(future::ready(Err(refusal()))).boxed()
    }

    /// Metadata that belongs to the connection.
    fn metadata_push(&self, metadata: Bytes) {
        drop(metadata);
    }
}

fn refusal() -> StreamError {
    StreamError::new(ErrorCode::INVALID, "this interaction is not offered here")
}
