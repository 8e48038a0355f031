use std::fmt;
use std::time::Duration;

use towline_service_api::Retry;
use towline_service_api::builtin::{Confirmation, Durability, Message, OnFull, QueueClient};

use super::error::PublishError;
use super::publisher::Publisher;
use crate::app::App;

/// Messages of a [`Publisher`] that are on their way, unless the topic says otherwise.
const MAX_IN_FLIGHT: u32 = 256;
/// A publish that was refused for the moment, or lost though it may be repeated, is sent again so often, within its 10 s.
const RETRY: Retry = Retry { max: 8, min_backoff: Duration::from_millis(20), max_backoff: Duration::from_secs(1) };

/// A durable topic, as publishers see it: `app.topic("orders")`. Cheap to clone.
///
/// ```no_run
/// # async fn f(app: towline_requester::App) -> Result<(), Box<dyn std::error::Error>> {
/// use towline_requester::builtin::Message;
///
/// let orders = app.topic("orders");
/// let confirmation = orders.publish(Message::text("paid").key("c42").id("order-7-paid")).await?;
/// assert_eq!(confirmation.topic, "orders");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Topic {
    app: App,
    name: String,
    durability: Option<Durability>,
    on_full: Option<OnFull>,
    max_in_flight: u32,
}

impl Topic {
    pub(crate) fn new(app: App, name: String) -> Self {
        Self { app, name, durability: None, on_full: None, max_in_flight: MAX_IN_FLIGHT }
    }

    /// Asks for a stronger durability than the topic has: confirmations come once it is reached.
    #[must_use]
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability: Some(durability), ..self }
    }

    /// Messages a [`Publisher`] has on their way, at most: accepted by `send` and not confirmed yet; 256 unless given.
    #[must_use]
    pub fn max_in_flight(self, messages: u32) -> Self {
        Self { max_in_flight: messages.max(1), ..self }
    }

    /// Lets a [`Publisher`] wait while the topic is full, where else its messages are refused with `topic-full`.
    #[must_use]
    pub fn wait_when_full(self) -> Self {
        Self { on_full: Some(OnFull::Wait), ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Stores one message: the confirmation means that it is stored as its `durability` says.
    ///
    /// Within 10 s it is sent again after a refusal that says nothing was done (REJECTED, in the time asked for), and if it
    /// has an id or a sequence also after a lost connection.
    ///
    /// # Errors
    /// There is no confirmation; see [`PublishError::is_in_doubt`].
    pub async fn publish(&self, message: Message) -> Result<Confirmation, PublishError> {
        let message = lean(message)?;
        let is_repeatable = has_identity(&message);
        let call = self.client().publish(self.name.clone(), message, self.durability);
        call.idempotent(is_repeatable).retry(RETRY).await.map_err(PublishError::of_call)
    }

    /// Stores all of them or none, one behind the other: the offset of each, `None` of a duplicate too old to be known.
    /// Sent again as by [`publish`](Self::publish), if all of them have an id or a sequence.
    ///
    /// # Errors
    /// There is no confirmation; see [`PublishError::is_in_doubt`].
    pub async fn publish_batch(
        &self,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<Vec<Option<u64>>, PublishError> {
        let messages = messages.into_iter().map(lean).collect::<Result<Vec<_>, _>>()?;
        let is_repeatable = messages.iter().all(has_identity);
        let call = self.client().publish_batch(self.name.clone(), messages, self.durability);
        let placement = call.idempotent(is_repeatable).retry(RETRY).await.map_err(PublishError::of_call)?;
        Ok(placement.offsets)
    }

    /// Starts to publish many messages over one channel.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn publisher(&self) -> Publisher {
        Publisher::start(self.clone())
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    pub(super) fn client(&self) -> QueueClient {
        self.app.client()
    }

    pub(super) fn options(&self) -> (Option<Durability>, Option<OnFull>, u32) {
        (self.durability, self.on_full, self.max_in_flight)
    }
}

/// Whether the broker knows it again if it comes twice.
pub(super) fn has_identity(message: &Message) -> bool {
    message.id.is_some() || message.producer.is_some() && message.sequence.is_some()
}

/// The same message with its JSON as the bytes that are stored, so that no encoding on the way reads it.
///
/// # Errors
/// It has no body, or several: the channel it would go by could not carry it.
pub(super) fn lean(mut message: Message) -> Result<Message, PublishError> {
    let bodies = [message.body.is_some(), message.text.is_some(), message.json.is_some()];
    if bodies.into_iter().filter(|is_some| *is_some).count() != 1 {
        return Err(PublishError::invalid("it has to have exactly one of body, text and json"));
    }
    if let Some(json) = message.json.take() {
        message.body = Some(towline_service_api::builtin::Blob(json.0));
        message.content_type.get_or_insert_with(|| "application/json".to_owned());
    }
    Ok(message)
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("name", &self.name).field("durability", &self.durability).finish_non_exhaustive()
    }
}
