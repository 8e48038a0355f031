//! Calls of `publish` that came together, stored together.

use crate::mq::{Coming, Folder, Incoming, Queues, Together, Topic};
use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::Arc;
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError};

/// Calls for which memory is kept while nothing is published.
const KEPT: usize = 256;

/// Takes what became of one message.
pub(super) type Done = Box<dyn FnOnce(Result<Confirmation, QueueError>) + Send>;

/// See the module.
///
/// What is published while the connection is read is stored once that is done, or before whatever else is published.
pub(super) struct Batcher {
    folder: Arc<Folder>,
    waiting: Mutex<Vec<Coming<Done>>>,
    /// Held by whoever stores what waits: the order of the calls is that of the messages. Empty, memory for what waits next.
    turn: Mutex<Vec<Coming<Done>>>,
}

impl Batcher {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self { folder, waiting: Mutex::default(), turn: Mutex::default() }
    }

    /// Stores a message, and tells what became of it.
    pub(super) fn publish(self: &Arc<Self>, topic: &str, message: Message, durability: Option<Durability>, done: Done) {
        let topic = match self.topic(topic) {
            Ok(topic) => topic,
            Err(error) => return done(Err(error)),
        };
        let producer = message.producer.clone().zip(message.sequence);
        match topic.read(message) {
            Ok(message) if message.due.is_some() => {
                let later = schedule(self.folder.queues().cloned(), topic, message);
                tokio::spawn(async move { done(later.await) });
            }
            Ok(message) => {
                let mut waiting = self.waiting.lock();
                waiting.push(Coming { topic, message, durability, whose: done });
                if waiting.len() == 1 {
                    drop(waiting);
                    let batcher = self.clone();
                    tokio::spawn(async move { batcher.flush() });
                }
            }
            Err(error) => {
                if let Some((producer, sequence)) = producer {
                    self.flush();
                    topic.skip(&producer, sequence);
                }
                done(Err(error));
            }
        }
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        let last = self.waiting.lock().last().filter(|last| *last.topic.name == *name).map(|last| last.topic.clone());
        match last {
            Some(topic) => Ok(topic),
            None => self.folder.queues_for(name)?.topic(name),
        }
    }

    /// Stores what waits: what is published now is behind it.
    pub(super) fn flush(&self) {
        let mut waiting = self.turn.lock();
        std::mem::swap(&mut *waiting, &mut *self.waiting.lock());
        store(&mut waiting);
        waiting.shrink_to(KEPT);
    }
}

fn store(coming: &mut Vec<Coming<Done>>) {
    let (stored, refused) = Together::store(coming, false);
    refused.into_iter().for_each(|(coming, error)| (coming.whose)(Err(error)));
    for mut together in stored {
        tokio::spawn(async move {
            let outcome = poll_fn(|cx| together.poll_reached(cx)).await;
            together.told(outcome).for_each(|(done, told)| done(told));
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
    let due = message.due.unwrap_or_default();
    queues.ok_or_else(gone)?.schedule(&topic, message, due).await
}
