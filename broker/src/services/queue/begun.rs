//! One message on its way: stored in the order of the calls, or kept until it is due.

use crate::mq::{Accepted, Incoming, Queues, Topic};
use futures::future::BoxFuture;
use std::sync::Arc;
use towline_service_api::builtin::{Confirmation, Durability, Message, QueueError};

/// Reads a message; one that cannot be one uses up its sequence all the same.
fn read(topic: &Topic, message: Message) -> Result<Incoming, QueueError> {
    let (producer, sequence) = (message.producer.clone(), message.sequence);
    topic.read(message).inspect_err(|_| topic.skip(producer, sequence))
}

/// What is done with one message: on its way to the disk in the order of the calls, or to wait until it is due.
pub(super) enum Begun {
    Now(Accepted),
    Later(BoxFuture<'static, Result<Confirmation, QueueError>>),
}

pub(super) fn begin(
    queues: Option<Arc<Queues>>,
    topic: &Arc<Topic>,
    message: Message,
    durability: Option<Durability>,
) -> Result<Begun, QueueError> {
    let message = read(topic, message)?;
    match message.due {
        None => topic.accept(vec![message], durability).map(Begun::Now),
        Some(due) => {
            let topic = topic.clone();
            let later = async move {
                let gone = || QueueError::UnknownTopic { topic: topic.name.to_string() };
                queues.ok_or_else(gone)?.schedule(&topic, message, due).await
            };
            Ok(Begun::Later(Box::pin(later)))
        }
    }
}

impl Begun {
    pub(super) async fn confirmed(self) -> Result<Confirmation, QueueError> {
        match self {
            Self::Now(accepted) => accepted.confirmed().await,
            Self::Later(later) => later.await,
        }
    }
}
