use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError, Receipt};
use towline_service_api::{CallError, RpcError};

use super::error::PublishError;
use super::topic::has_identity;

/// The messages of a publisher that have no outcome yet, in the order they were given. Those that wait are sent as the
/// channel grants credit; those that were sent are confirmed by its receipts, one by one.
#[derive(Debug, Default)]
pub(super) struct Flight {
    waiting: VecDeque<Entry>,
    sent: VecDeque<Entry>,
    /// The place of the first of `sent` among the items of its channel.
    first: u64,
    /// The channel the items go by; what an earlier one still asks for, it does not get.
    channel: u64,
    /// No more messages are taken.
    is_shut: bool,
    /// Whoever waits for the next message.
    waker: Option<Waker>,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Entry {
    /// Gone once it was sent, unless it may be sent again.
    message: Option<Message>,
    outcome: oneshot::Sender<Result<Confirmation, PublishError>>,
    /// The room it takes.
    _room: OwnedSemaphorePermit,
}

impl Entry {
    pub(super) fn new(
        message: Message,
        outcome: oneshot::Sender<Result<Confirmation, PublishError>>,
        room: OwnedSemaphorePermit,
    ) -> Self {
        Self { message: Some(message), outcome, _room: room }
    }

    pub(super) fn end(self, outcome: Result<Confirmation, PublishError>) {
        // Not everybody wants to know.
        let _ = self.outcome.send(outcome);
    }
}

impl Flight {
    /// Takes a message, if any more are taken.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.is_shut {
            return entry.end(Err(PublishError::NotSent(RpcError::not_connected("this app is closed"))));
        }
        self.waiting.push_back(entry);
        self.wake();
    }

    /// Takes no more messages.
    pub(super) fn shut(&mut self) {
        self.is_shut = true;
        self.wake();
    }

    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    /// Ready once there is something to send (true), or never will be (false).
    pub(super) fn poll_waiting(&mut self, cx: &Context<'_>) -> Poll<bool> {
        if self.waiting.is_empty() && !self.is_shut {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(!self.waiting.is_empty())
    }

    /// Everything has its outcome, and nothing will follow.
    pub(super) fn is_done(&self) -> bool {
        self.is_shut && self.waiting.is_empty() && self.sent.is_empty()
    }

    /// A new channel begins.
    pub(super) fn open(&mut self) -> u64 {
        debug_assert!(self.sent.is_empty(), "the last channel has ended");
        self.channel += 1;
        self.first = 0;
        self.channel
    }

    /// The next item of a channel, which is sent with this; the end if there will be none.
    pub(super) fn poll_item(&mut self, channel: u64, cx: &Context<'_>) -> Poll<Option<Message>> {
        if channel != self.channel {
            return Poll::Ready(None);
        }
        let Some(mut entry) = self.waiting.pop_front() else {
            if self.is_shut {
                return Poll::Ready(None);
            }
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let message = entry.message.take().expect("what waits was not sent, or may be again");
        entry.message = has_identity(&message).then(|| message.clone());
        self.sent.push_back(entry);
        Poll::Ready(Some(message))
    }

    /// What became of the oldest item. Errors: the receipt is of another one.
    pub(super) fn receipt(&mut self, topic: &str, receipt: Receipt) -> Result<(), String> {
        if receipt.n != self.first {
            return Err(format!("a receipt of item {} came where that of item {} was expected", receipt.n, self.first));
        }
        let Some(entry) = self.sent.pop_front() else {
            return Err(format!("a receipt of item {} came, which was not sent", receipt.n));
        };
        self.first += 1;
        entry.end(match receipt.error {
            Some(error) => Err(PublishError::of_receipt(error)),
            None => Ok(Confirmation {
                topic: topic.to_owned(),
                offset: receipt.offset,
                timestamp: receipt.timestamp.unwrap_or_default(),
                durability: receipt.durability.unwrap_or(Durability::Memory),
                duplicate: receipt.duplicate.unwrap_or_default(),
                due: receipt.due,
            }),
        });
        Ok(())
    }

    /// The channel has ended, and a new one will be opened: what was sent and may be sent again comes first there.
    pub(super) fn lost(&mut self, why: &str) {
        self.channel += 1;
        for entry in std::mem::take(&mut self.sent).into_iter().rev() {
            if entry.message.is_some() {
                self.waiting.push_front(entry);
            } else {
                entry.end(Err(PublishError::InDoubt { why: why.to_owned() }));
            }
        }
    }

    /// The channel has ended, and a new one would end the same way: so it is for everything that is here.
    pub(super) fn failed(&mut self, error: &CallError<QueueError>) {
        self.channel += 1;
        for entry in std::mem::take(&mut self.sent) {
            entry.end(Err(PublishError::InDoubt { why: error.to_string() }));
        }
        for entry in std::mem::take(&mut self.waiting) {
            entry.end(Err(PublishError::of_unsent(error.clone())));
        }
    }
}
