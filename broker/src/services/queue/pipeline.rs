//! A channel of messages: each is stored in its order, and answered in its order.

use super::batcher::{Batcher, schedule};
use crate::mq::{Coming, Incoming, Queues, Spare, Together, Topic, typed};
use futures::{FutureExt, Stream, StreamExt};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError, Receipt, ReceiptError};
use towline_service_api::{RpcError, Streaming};

/// Messages of one channel on their way to the disk.
const ON_THEIR_WAY: usize = 4_096;
/// Messages that are stored together.
const TOGETHER: usize = 256;
/// How long a channel waits for room.
const ROOM: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Pipeline {
    batcher: Arc<Batcher>,
    queues: Option<Arc<Queues>>,
    topic: Arc<Topic>,
    durability: Option<Durability>,
    /// Waits while the topic is full.
    is_patient: bool,
    messages: Option<Streaming<Message>>,
    /// Items that wait for room, and until when they are not tried again.
    held: Vec<Coming<u64>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// What came behind them.
    behind: Option<Behind>,
    under_way: VecDeque<UnderWay>,
    receipts: VecDeque<Receipt>,
    /// Items that have no receipt yet.
    open: usize,
    /// It takes no more, and ends with an error behind the receipts that are under way.
    has_failed: bool,
    n: u64,
}

/// What is not stored together with the items before it.
enum Behind {
    Scheduled(u64, Incoming),
    /// An item that is no message, and its producer with the sequence it uses up.
    Refused(u64, QueueError, Option<(String, u64)>),
    Failed(RpcError),
}

/// What there will be receipts for.
enum UnderWay {
    /// Items that are stored, and between them those that are not.
    Together(Option<Together<u64>>, Vec<(u64, QueueError)>),
    Scheduled(u64, JoinHandle<Result<Confirmation, QueueError>>),
    Failed(QueueError),
}

impl Pipeline {
    pub(super) fn new(
        batcher: Arc<Batcher>,
        queues: Option<Arc<Queues>>,
        topic: Arc<Topic>,
        durability: Option<Durability>,
        is_patient: bool,
        messages: Streaming<Message>,
    ) -> Self {
        let (messages, held, pause, behind) = (Some(messages), Vec::new(), None, None);
        let (under_way, receipts, open) = (VecDeque::new(), VecDeque::new(), 0);
        let (has_failed, n) = (false, 0);
        Self {
            batcher,
            queues,
            topic,
            durability,
            is_patient,
            messages,
            held,
            pause,
            behind,
            under_way,
            receipts,
            open,
            has_failed,
            n,
        }
    }

    /// Takes the items that are there, if there is room. False once nothing can be taken now.
    fn accept(&mut self, cx: &mut Context<'_>) -> bool {
        if self.has_failed || self.open >= ON_THEIR_WAY {
            return false;
        }
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.pause = None;
        }
        let mut coming = std::mem::take(&mut self.held);
        let mut is_more = true;
        while coming.len() < TOGETHER && self.behind.is_none() && is_more {
            let Some(messages) = &mut self.messages else { break };
            match messages.poll_next_unpin(cx) {
                Poll::Pending => is_more = false,
                Poll::Ready(None) => self.messages = None,
                Poll::Ready(Some(Ok(message))) => self.read(message, &mut coming),
                Poll::Ready(Some(Err(error))) => self.behind = Some(Behind::Failed(error)),
            }
        }
        self.store(coming, cx);
        if !self.held.is_empty() {
            return false;
        }
        match self.behind.take() {
            None => is_more && self.messages.is_some(),
            Some(behind) => {
                self.go_on(behind);
                true
            }
        }
    }

    /// Reads one item.
    fn read(&mut self, message: Message, coming: &mut Vec<Coming<u64>>) {
        let n = self.n;
        self.n += 1;
        self.open += 1;
        let producer = message.producer.clone().zip(message.sequence);
        match self.topic.read(message) {
            Ok(message) if message.due().is_some() => self.behind = Some(Behind::Scheduled(n, message)),
            Ok(message) => {
                let (topic, durability) = (self.topic.clone(), self.durability);
                coming.push(Coming::new(topic, message, durability, n));
            }
            Err(error) => self.behind = Some(Behind::Refused(n, error, producer)),
        }
    }

    /// Stores items; who waits for room keeps those that found none.
    fn store(&mut self, mut coming: Vec<Coming<u64>>, cx: &mut Context<'_>) {
        if coming.is_empty() {
            return;
        }
        // What was published before on other streams is before these.
        self.batcher.flush();
        let (stored, not_stored) = Together::store(&mut coming, &mut Spare::default(), self.is_patient);
        let mut refused = Vec::new();
        for (coming, error) in not_stored {
            if self.is_patient && is_about_room(&error) {
                self.held.push(coming);
            } else {
                refused.push((coming.whose(), error));
            }
        }
        if !self.held.is_empty() {
            let mut pause = Box::pin(sleep(ROOM));
            let _ = pause.as_mut().poll(cx);
            self.pause = Some(pause);
        }
        // They are all as durable as this channel wants.
        let together = stored.into_iter().next();
        if together.is_some() || !refused.is_empty() {
            self.under_way.push_back(UnderWay::Together(together, refused));
        }
    }

    fn go_on(&mut self, behind: Behind) {
        match behind {
            Behind::Scheduled(n, message) => {
                let later = schedule(self.queues.clone(), self.topic.clone(), message);
                self.under_way.push_back(UnderWay::Scheduled(n, tokio::spawn(later)));
            }
            Behind::Refused(n, error, producer) => {
                if let Some((producer, sequence)) = producer {
                    self.topic.skip(&producer, sequence);
                }
                self.under_way.push_back(UnderWay::Together(None, vec![(n, error)]));
            }
            Behind::Failed(error) => self.fail(QueueError::Rpc(error)),
        }
    }

    fn fail(&mut self, error: QueueError) {
        self.has_failed = true;
        self.under_way.push_back(UnderWay::Failed(error));
    }

    /// Receipts of what came to its end; nothing comes behind an outcome that ends the channel.
    fn receipts(&mut self, mut outcomes: Vec<(u64, Result<Confirmation, QueueError>)>) {
        outcomes.sort_by_key(|(n, _)| *n);
        for (n, outcome) in outcomes {
            self.open -= 1;
            let receipt = match outcome {
                Ok(confirmation) => Receipt::stored(n, &confirmation),
                Err(error) if ends(&error) => {
                    self.under_way.clear();
                    return self.fail(error);
                }
                Err(error) => Receipt::refused(n, receipt_error(error)),
            };
            self.receipts.push_back(receipt);
        }
    }
}

/// Whether an item that waits for room may find it later.
fn is_about_room(error: &QueueError) -> bool {
    match error {
        QueueError::TopicFull { .. } | QueueError::TopicPaused { .. } | QueueError::StorageFull { .. } => true,
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
        loop {
            if let Some(receipt) = self.receipts.pop_front() {
                return Poll::Ready(Some(Ok(receipt)));
            }
            while self.accept(cx) {}
            let is_over = self.has_failed || (self.messages.is_none() && self.held.is_empty());
            let outcomes = match self.under_way.front_mut() {
                None if is_over => return Poll::Ready(None),
                None => return Poll::Pending,
                Some(UnderWay::Together(together, refused)) => {
                    let outcome = match together {
                        Some(together) => ready!(together.poll_reached(cx)),
                        None => Ok(()),
                    };
                    let mut told: Vec<_> = refused.drain(..).map(|(n, error)| (n, Err(error))).collect();
                    if let Some(together) = together.take() {
                        together.tell(outcome, |n, outcome| told.push((n, outcome.map(Confirmation::from))));
                    }
                    told
                }
                Some(UnderWay::Scheduled(n, later)) => {
                    let outcome = ready!(later.poll_unpin(cx));
                    let ended = |_| Err(QueueError::Rpc(RpcError::rejected("this broker is shutting down", None)));
                    vec![(*n, outcome.unwrap_or_else(ended))]
                }
                Some(UnderWay::Failed(error)) => {
                    let error = error.clone();
                    self.under_way.clear();
                    return Poll::Ready(Some(Err(error)));
                }
            };
            self.under_way.pop_front();
            self.receipts(outcomes);
        }
    }
}
