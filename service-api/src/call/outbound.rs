use std::fmt;
use std::task::Poll;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, Stream, StreamExt};
use serde::Serialize;

use super::draft::{Draft, Target};
use crate::caller::Answer;
use crate::error::RpcError;

/// The items a channel call sends, waiting until the encoding is settled.
pub(super) struct Outbound(Box<dyn FnOnce(Target) -> (BoxStream<'static, Bytes>, Failure) + Send>);

/// Says why an item could not be written. The other side must not take the rest for all: the items then neither go on nor end,
/// and the call fails.
type Failure = oneshot::Receiver<RpcError>;

impl Outbound {
    pub(super) fn new<T: Serialize + Send + 'static>(items: impl Stream<Item = T> + Send + 'static) -> Self {
        Self(Box::new(move |target| {
            let (failed, failure) = oneshot::channel();
            let state = (Box::pin(items), failed);
            let encoded = stream::unfold(state, move |(mut items, failed)| async move {
                match target.write_item(&items.next().await?) {
                    Ok(bytes) => Some((bytes, (items, failed))),
                    Err(error) => {
                        // Nobody listens if the call was dropped.
                        let _ = failed.send(error);
                        future::pending().await
                    }
                }
            });
            (encoded.boxed(), failure)
        }))
    }

    /// Starts the channel: its answers, which end with the failure if an item could not be written.
    pub(super) fn start(self, draft: Draft) -> BoxStream<'static, Result<Answer, RpcError>> {
        let (items, failure) = (self.0)(draft.target);
        match draft.finish() {
            Ok((caller, call)) => until_failure(caller.channel(call, items), failure).boxed(),
            Err(error) => stream::once(future::ready(Err(error))).boxed(),
        }
    }
}

fn until_failure(
    answers: BoxStream<'static, Result<Answer, RpcError>>,
    failure: Failure,
) -> impl Stream<Item = Result<Answer, RpcError>> + Send {
    let mut answers = Some(answers);
    let mut failure = failure.fuse();
    stream::poll_fn(move |context| {
        if let Poll::Ready(Ok(error)) = failure.poll_unpin(context) {
            answers = None;
            return Poll::Ready(Some(Err(error)));
        }
        match &mut answers {
            Some(answers) => answers.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    })
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}
