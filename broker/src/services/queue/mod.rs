//! `towline.Queue`, over the topics of this broker.
//!
//! ```text
//!  desk         most calls of `publish`, straight from the relay        plain   .. read where they lie
//!  publishing   all others, without a task each        batcher   .. stored together        pipeline   a channel of them
//! ```

mod batcher;
mod desk;
mod pipeline;
mod plain;
mod publishing;

use super::caller::Caller;
use crate::mq::{Ack, Dispatcher, Folder, Member, Queues, Settling, Topic, code, invalid_options};
use batcher::{Asked, Batcher};
pub(in crate::services) use desk::Desk;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use pipeline::Pipeline;
pub(in crate::services) use publishing::Publishing;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use towline_service_api::builtin::{
    Confirmation, ConsumeOptions, Delivery, Durability, GroupMode, Message, OnFull, Placement, Queue, QueueError,
    Receipt, RefusedSettle, Settle, Settled, SubscribeAck,
};
use towline_service_api::{RpcError, Streaming};

/// Messages one answer holds at most, unless asked for less, and bytes of them.
pub(in crate::services) const ANSWER: (u32, usize) = (100, 1 << 20);
const MOST: u32 = 10_000;
/// The longest a fetch waits.
const LONGEST: u32 = 50_000;

/// See the module.
pub(in crate::services) struct Topics {
    folder: Arc<Folder>,
    batcher: Arc<Batcher>,
}

impl Topics {
    /// `runtime`: where what is published is stored.
    pub(in crate::services) fn new(folder: Arc<Folder>, runtime: Handle) -> Self {
        let batcher = Arc::new(Batcher::new(folder.clone(), runtime));
        Self { folder, batcher }
    }

    pub(in crate::services) fn desk(&self) -> Arc<Desk> {
        Arc::new(Desk::new(self.batcher.clone()))
    }

    /// A topic, in which all is stored that was published before.
    fn topic(&self, name: &str) -> Result<Arc<Topic>, QueueError> {
        self.batcher.flush();
        self.folder.topic(name)
    }

    fn queues(&self) -> Option<Arc<Queues>> {
        self.folder.queues().cloned()
    }

    /// A group of a topic, made if it is not there, and a member of it.
    async fn join(
        topic: Result<Arc<Topic>, QueueError>,
        group: String,
        options: ConsumeOptions,
        ack: Ack,
    ) -> Result<(Arc<Dispatcher>, Member), QueueError> {
        let is_patient = options.wait.unwrap_or(true);
        let group = topic?.ensure_group(&group, &options).await?;
        let member = group.join(ack, is_patient)?;
        Ok((group, member))
    }
}

impl Queue for Topics {
    async fn publish(
        &self,
        topic: String,
        message: Message,
        durability: Option<Durability>,
    ) -> Result<Confirmation, QueueError> {
        let (sender, confirmation) = oneshot::channel();
        // Who has gone does not want to know.
        let done = move |outcome| drop(sender.send(outcome));
        self.batcher.publish(self.folder.topic(&topic), message, durability, Asked::Other(Box::new(done)));
        confirmation
            .await
            .unwrap_or_else(|_| Err(QueueError::Rpc(RpcError::rejected("this broker is shutting down", None))))
    }

    async fn post(&self, topic: String, message: Message) {
        let folder = self.folder.clone();
        let done = move |outcome: Result<Confirmation, QueueError>| {
            if let Err(error) = outcome {
                folder.meters().post_failed.increment(1);
                tracing::debug!(%error, "a message that was posted is not stored");
            }
        };
        self.batcher.publish(self.folder.topic(&topic), message, None, Asked::Other(Box::new(done)));
    }

    async fn publish_batch(
        &self,
        topic: String,
        messages: Vec<Message>,
        durability: Option<Durability>,
    ) -> Result<Placement, QueueError> {
        let topic = self.topic(&topic)?;
        if messages.is_empty() {
            return Ok(Placement::default());
        }
        let messages = messages.into_iter().map(|message| topic.read(message)).collect::<Result<Vec<_>, _>>()?;
        if messages.iter().any(|message| message.due().is_some()) {
            let why = "messages that are not due yet are published one by one".to_owned();
            return Err(QueueError::InvalidMessage { why });
        }
        let accepted = topic.accept(messages, durability)?;
        let offsets = accepted.offsets();
        accepted.reached().await?;
        Ok(Placement { offsets })
    }

    fn publish_many(
        &self,
        topic: String,
        durability: Option<Durability>,
        on_full: Option<OnFull>,
        messages: Streaming<Message>,
    ) -> impl Stream<Item = Result<Receipt, QueueError>> {
        let (found, queues, batcher) = (self.topic(&topic), self.queues(), self.batcher.clone());
        stream::once(async move {
            if on_full == Some(OnFull::DropOldest) {
                return Err(invalid_options("onFull of publishMany is reject or wait".to_owned()));
            }
            let is_patient = on_full == Some(OnFull::Wait);
            Ok(Pipeline::new(batcher, queues, found?, durability, is_patient, messages))
        })
        .try_flatten()
    }

    async fn cancel_scheduled(&self, topic: String, id: String) -> Result<bool, QueueError> {
        let topic = self.topic(&topic)?;
        match self.queues() {
            Some(queues) => queues.cancel_scheduled(&topic, &id).await,
            None => Ok(false),
        }
    }

    fn consume(
        &self,
        topic: String,
        group: String,
        options: Option<ConsumeOptions>,
        settles: Streaming<Settle>,
    ) -> impl Stream<Item = Result<Delivery, QueueError>> {
        let topic = self.topic(&topic);
        let joined = Self::join(topic, group, options.unwrap_or_default(), Ack::Channel);
        stream::once(async move {
            let (_, member) = joined.await?;
            // Its first poll is the first REQUEST_N: the group is there, and this is a member.
            tokio::spawn(listen(member.settling(), settles));
            Ok(member)
        })
        .try_flatten()
    }

    fn subscribe(
        &self,
        topic: String,
        group: String,
        options: Option<ConsumeOptions>,
    ) -> impl Stream<Item = Result<Delivery, QueueError>> {
        let options = options.unwrap_or_default();
        let ack = match options.ack.unwrap_or_default() {
            SubscribeAck::Delivery => Ok(Ack::Delivery),
            SubscribeAck::Manual => Caller::of_this_request().map(|caller| Ack::Lease(caller.uuid)),
        };
        let topic = self.topic(&topic);
        stream::once(async move {
            let ack = ack.map_err(QueueError::Rpc)?;
            let (_, member) = Self::join(topic, group, options, ack).await?;
            Ok(member)
        })
        .try_flatten()
    }

    async fn fetch(
        &self,
        topic: String,
        group: String,
        max: Option<u32>,
        wait_ms: Option<u32>,
        instance: Option<String>,
        options: Option<ConsumeOptions>,
    ) -> Result<Vec<Delivery>, QueueError> {
        let ack = Ack::Lease(instance_of(instance)?);
        let (_, member) = Self::join(self.topic(&topic), group, options.unwrap_or_default(), ack).await?;
        let most = max.unwrap_or(ANSWER.0).clamp(1, MOST) as usize;
        let wait = Duration::from_millis(wait_ms.unwrap_or(0).min(LONGEST).into());
        member.fetch(most, ANSWER.1, wait).await
    }

    async fn settle(
        &self,
        topic: String,
        group: String,
        instance: Option<String>,
        items: Vec<Settle>,
    ) -> Result<Settled, QueueError> {
        let instance = instance_of(instance)?;
        let group = self.topic(&topic)?.group(&group)?;
        if group.options().mode == Some(GroupMode::Exclusive) {
            let why = "its member settles on its channel".to_owned();
            let (topic, group) = (topic, group.name.clone());
            return Err(QueueError::ModeDiffers { topic, group, mode: "exclusive".to_owned(), why });
        }
        let outcome = group.settle_leases(&instance, &items).await?;
        let refused = outcome.refused.into_iter();
        let refused = refused.map(|(offset, why)| RefusedSettle { offset, code: code(why).to_owned() }).collect();
        Ok(Settled { settled: outcome.settled, refused })
    }
}

/// Whose leases are meant.
fn instance_of(instance: Option<String>) -> Result<String, QueueError> {
    match instance {
        Some(instance) if instance.is_empty() || instance.len() > 128 => {
            let (what, rule) = ("instance".to_owned(), "1 to 128 bytes".to_owned());
            Err(QueueError::InvalidName { what, name: instance.chars().take(128).collect(), rule })
        }
        Some(instance) => Ok(instance),
        None => Caller::of_this_request().map(|caller| caller.uuid).map_err(QueueError::Rpc),
    }
}

/// Settles what a member says on its channel, to its end.
async fn listen(settling: Settling, mut settles: Streaming<Settle>) {
    loop {
        match settles.next().await {
            Some(Ok(settle)) => settling.settle(settle),
            // No more acks: no more deliveries.
            None => return settling.retire(),
            Some(Err(error)) => {
                // What cannot be read ends the member as a lost link does.
                let is_gone = error.code == RpcError::CANCELED;
                if !is_gone {
                    tracing::debug!(%error, "a member's settles end");
                }
                return settling.leave((!is_gone).then_some(error));
            }
        }
    }
}
