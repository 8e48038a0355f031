//! A channel of messages: each is stored in its order, and answered in its order.

use super::begun::{Begun, begin};
use crate::mq::{Queues, Topic, typed};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use towline_service_api::builtin::{Durability, Message, QueueError, Receipt, ReceiptError};
use towline_service_api::{RpcError, Streaming};

/// Messages of one channel on their way to the disk.
const ON_THEIR_WAY: usize = 4_096;
/// How long a channel waits for room.
const ROOM: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Pipeline {
    queues: Option<Arc<Queues>>,
    topic: Arc<Topic>,
    durability: Option<Durability>,
    /// Waits while the topic is full.
    is_patient: bool,
    messages: Option<Streaming<Message>>,
    /// An item that waits for room, and until when it is not tried again.
    held: Option<Message>,
    pause: Option<Pin<Box<Sleep>>>,
    under_way: FuturesOrdered<BoxFuture<'static, Result<Receipt, QueueError>>>,
    /// It takes no more, and ends with an error behind the receipts that are under way.
    has_failed: bool,
    n: u64,
}

impl Pipeline {
    pub(super) fn new(
        queues: Option<Arc<Queues>>,
        topic: Arc<Topic>,
        durability: Option<Durability>,
        is_patient: bool,
        messages: Streaming<Message>,
    ) -> Self {
        let under_way = FuturesOrdered::new();
        let messages = Some(messages);
        let (held, pause, has_failed) = (None, None, false);
        Self { queues, topic, durability, is_patient, messages, held, pause, under_way, has_failed, n: 0 }
    }

    /// Takes an item if there is room. False once nothing can be taken now.
    fn accept(&mut self, cx: &mut Context<'_>) -> bool {
        if self.has_failed || self.under_way.len() >= ON_THEIR_WAY {
            return false;
        }
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.pause = None;
        }
        let message = match self.held.take() {
            Some(message) => message,
            None => {
                let Some(messages) = &mut self.messages else { return false };
                match messages.poll_next_unpin(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(Some(Ok(message))) => message,
                    Poll::Ready(Some(Err(error))) => {
                        self.fail(QueueError::Rpc(error));
                        return false;
                    }
                    Poll::Ready(None) => {
                        self.messages = None;
                        return false;
                    }
                }
            }
        };
        // What may have to wait is kept; the others are not copied.
        let may_wait = self.is_patient || !self.topic.has_room();
        let copy = may_wait.then(|| message.clone());
        match begin(self.queues.clone(), &self.topic, message, self.durability) {
            Ok(begun) => self.push(begun),
            Err(error) if must_wait(&error, self.is_patient) && copy.is_some() => {
                self.held = copy;
                let mut pause = Box::pin(sleep(ROOM));
                let _ = pause.as_mut().poll(cx);
                self.pause = Some(pause);
                return false;
            }
            Err(error) if ends(&error) => self.fail(error),
            Err(error) => self.refuse(error),
        }
        true
    }

    fn push(&mut self, begun: Begun) {
        let n = self.next();
        self.under_way.push_back(Box::pin(async move {
            match begun.confirmed().await {
                Ok(confirmation) => Ok(Receipt::stored(n, &confirmation)),
                Err(error) if ends(&error) => Err(error),
                Err(error) => Ok(Receipt::refused(n, receipt_error(error))),
            }
        }));
    }

    fn refuse(&mut self, error: QueueError) {
        let receipt = Receipt::refused(self.next(), receipt_error(error));
        self.under_way.push_back(Box::pin(async move { Ok(receipt) }));
    }

    fn fail(&mut self, error: QueueError) {
        self.has_failed = true;
        self.under_way.push_back(Box::pin(async move { Err(error) }));
    }

    fn next(&mut self) -> u64 {
        self.n += 1;
        self.n - 1
    }
}

/// Whether an item is to wait instead of being refused.
fn must_wait(error: &QueueError, is_patient: bool) -> bool {
    match error {
        QueueError::TopicFull { .. } | QueueError::TopicPaused { .. } | QueueError::StorageFull { .. } => is_patient,
        QueueError::Rpc(error) => error.code == RpcError::REJECTED,
        _ => false,
    }
}

/// Whether a channel ends with this error.
fn ends(error: &QueueError) -> bool {
    matches!(error, QueueError::StoreFailed { .. } | QueueError::UnknownTopic { .. } | QueueError::Forbidden { .. })
}

fn receipt_error(error: QueueError) -> ReceiptError {
    let typed = typed(error);
    ReceiptError { code: typed.code.into_owned(), message: typed.message, next: typed.next.map(Into::into) }
}

impl Stream for Pipeline {
    type Item = Result<Receipt, QueueError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.accept(cx) {}
        match self.under_way.poll_next_unpin(cx) {
            Poll::Ready(None) if self.messages.is_some() || self.held.is_some() => Poll::Pending,
            polled => polled,
        }
    }
}
