//! A receipt of messages, and the groups that are to hear of it.

use super::Topic;
use crate::store::{Durability, Receipt, StoreError};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Comes when the messages are as durable as asked; their groups have been told then. So they are if nobody waits for it.
#[derive(Debug)]
pub(super) struct Awaited {
    /// None once it has come.
    receipt: Option<Receipt>,
    topics: Vec<Arc<Topic>>,
    messages: usize,
    started: Instant,
}

impl Awaited {
    /// `topics` have at least one of the messages each.
    pub(super) fn new(receipt: Receipt, topics: Vec<Arc<Topic>>, messages: usize) -> Self {
        Self { receipt: Some(receipt), topics, messages, started: Instant::now() }
    }

    pub(super) fn topics(&self) -> &[Arc<Topic>] {
        &self.topics
    }
}

impl Future for Awaited {
    type Output = Result<Durability, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(receipt) = &mut self.receipt else { return Poll::Ready(Err(StoreError::Closed)) };
        let outcome = std::task::ready!(Pin::new(receipt).poll(cx));
        self.receipt = None;
        if outcome.is_ok()
            && let Some(topic) = self.topics.first()
        {
            let seconds = self.started.elapsed().as_secs_f64();
            topic.shared.meters.confirm_seconds.record_many(seconds, self.messages);
            self.topics.iter().for_each(|topic| topic.published());
        }
        Poll::Ready(outcome)
    }
}

impl Drop for Awaited {
    /// Their publisher has gone; the groups are to hear of it all the same.
    fn drop(&mut self) {
        if let Some(receipt) = self.receipt.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let topics = std::mem::take(&mut self.topics);
            runtime.spawn(async move {
                if receipt.await.is_ok() {
                    topics.iter().for_each(|topic| topic.published());
                }
            });
        }
    }
}
