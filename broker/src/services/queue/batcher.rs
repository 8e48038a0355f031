//! Calls of `publish` that came together, stored together.

use crate::mq::{Coming, Folder, Incoming, Queues, Spare, Stored, Together, Topic};
use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::Arc;
use towline_service_api::__private::Later;
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError};

/// Calls for which memory is kept while nothing is published.
const KEPT: usize = 256;

/// Whoever hears of what became of one message.
pub(super) enum Done {
    /// A call, which is answered.
    Call(Later),
    /// Anybody else.
    Other(Box<dyn FnOnce(Result<Confirmation, QueueError>) + Send>),
}

impl Done {
    fn tell(self, outcome: Result<Confirmation, QueueError>) {
        match self {
            Self::Call(later) => later.answer(outcome),
            Self::Other(tell) => tell(outcome),
        }
    }

    fn stored(self, outcome: Result<Stored<'_>, QueueError>) {
        match self {
            Self::Call(later) => later.answer_as(outcome, Stored::encode),
            Self::Other(tell) => tell(outcome.map(Into::into)),
        }
    }

    pub(super) fn refuse(self, error: QueueError) {
        self.tell(Err(error));
    }
}

/// See the module.
///
/// What is published while the connection is read is stored once that is done, or before whatever else is published.
pub(super) struct Batcher {
    folder: Arc<Folder>,
    waiting: Mutex<Vec<Coming<Done>>>,
    /// Held by whoever stores what waits: the order of the calls is that of the messages.
    turn: Mutex<Turn>,
}

/// Memory for what waits next, and for what is stored; all of it empty.
#[derive(Default)]
struct Turn {
    waiting: Vec<Coming<Done>>,
    spare: Spare,
}

impl Batcher {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self { folder, waiting: Mutex::default(), turn: Mutex::default() }
    }

    /// Stores a message, and tells what became of it.
    pub(super) fn publish(
        self: &Arc<Self>,
        topic: Result<Arc<Topic>, QueueError>,
        message: Message,
        durability: Option<Durability>,
        done: Done,
    ) {
        let topic = match topic {
            Ok(topic) => topic,
            Err(error) => return done.refuse(error),
        };
        let producer = message.producer.clone().zip(message.sequence);
        match topic.read(message) {
            Ok(message) if message.due().is_some() => {
                let later = schedule(self.folder.queues().cloned(), topic, message);
                tokio::spawn(async move { done.tell(later.await) });
            }
            Ok(message) => self.take(Coming::new(topic, message, durability, done)),
            Err(error) => {
                if let Some((producer, sequence)) = producer {
                    self.flush();
                    topic.skip(&producer, sequence);
                }
                done.refuse(error);
            }
        }
    }

    /// Stores a message that was read and is due.
    pub(super) fn take(self: &Arc<Self>, coming: Coming<Done>) {
        let mut waiting = self.waiting.lock();
        waiting.push(coming);
        if waiting.len() == 1 {
            drop(waiting);
            let batcher = self.clone();
            tokio::spawn(async move { batcher.flush() });
        }
    }

    /// The topic of a name: most often that of the message before.
    pub(super) fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        let last = self.waiting.lock().last().map(Coming::topic).filter(|topic| *topic.name == *name).cloned();
        match last {
            Some(topic) => Ok(topic),
            None => self.folder.queues_for(name)?.topic(name),
        }
    }

    /// Stores what waits: what is published now is behind it.
    pub(super) fn flush(&self) {
        let mut turn = self.turn.lock();
        std::mem::swap(&mut turn.waiting, &mut *self.waiting.lock());
        store(&mut turn);
        turn.waiting.shrink_to(KEPT);
        turn.spare.shrink_to(KEPT);
    }
}

fn store(turn: &mut Turn) {
    let (stored, refused) = Together::store(&mut turn.waiting, &mut turn.spare, false);
    refused.into_iter().for_each(|(coming, error)| coming.whose().refuse(error));
    for mut together in stored {
        tokio::spawn(async move {
            let outcome = poll_fn(|cx| together.poll_reached(cx)).await;
            together.tell(outcome, |done, told| done.stored(told));
        });
    }
}

/// Keeps a message until it is due.
pub(super) async fn schedule(
    queues: Option<Arc<Queues>>,
    topic: Arc<Topic>,
    message: Incoming,
) -> Result<Confirmation, QueueError> {
    let gone = || QueueError::UnknownTopic { topic: topic.name.to_string() };
    let due = message.due().unwrap_or_default();
    queues.ok_or_else(gone)?.schedule(&topic, message, due).await
}
