use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::form::number;
use super::{Blob, Json};

/// A message to publish: exactly one of `body`, `text` and `json`, and what else is wanted.
///
/// ```
/// use towline_service_api::builtin::Message;
///
/// let message = Message::text("paid").key("c42").header("origin", "web").id("order-7-paid");
/// # let _ = message;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Message {
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Blob>,
    /// A string, stored as UTF-8 of the type `text/plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Any value, stored as the bytes that came, of the type `application/json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
    /// The MIME type of `body`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What keeps messages in order in key-ordered groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What filters look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Anything else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A second message of this id, within the topic's window, is a duplicate; at most 128 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Who counts, with `sequence`; at most 128 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer: Option<String>,
    /// The producer's count, growing by exactly 1.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub sequence: Option<u64>,
    /// When it is to be delivered, milliseconds since 1970; at most 400 days ahead.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub deliver_at: Option<u64>,
    /// The same from now on.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub delay_ms: Option<u64>,
    /// How long it is worth delivering, from when it is stored on.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub ttl_ms: Option<u64>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Message {
    /// Bytes.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self { body: Some(Blob(body.into())), ..Self::default() }
    }

    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// A value that has no JSON form.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self { json: Some(Json::of(value)?), ..Self::default() })
    }

    /// With the MIME type of its bytes.
    #[must_use]
    pub fn content_type(self, content_type: impl Into<String>) -> Self {
        Self { content_type: Some(content_type.into()), ..self }
    }

    /// With a key.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// With a tag.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> Self {
        Self { tag: Some(tag.into()), ..self }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Stored once, however often it is sent.
    #[must_use]
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// The same by a counter.
    #[must_use]
    pub fn sequence(self, producer: impl Into<String>, sequence: u64) -> Self {
        Self { producer: Some(producer.into()), sequence: Some(sequence), ..self }
    }

    /// Delivered no earlier than so long from when it is stored.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay_ms: Some(millis(delay)), ..self }
    }

    /// Worth delivering for so long.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl_ms: Some(millis(ttl)), ..self }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
