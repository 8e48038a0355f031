use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::form::number;
use super::{Blob, Json};

/// One message handed to a consumer.
///
/// In JSON its bytes are `json` if they are stored as `application/json` and parse, `text` if stored as `text/..`, else `body`
/// in base64; in MessagePack and CBOR always `body`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Where it was published.
    pub topic: String,
    /// Its place there.
    pub offset: u64,
    /// How often it was handed over, this time included; 0 if it was only looked at.
    pub attempt: u32,
    /// It may have been handed over before.
    pub redelivered: bool,
    /// When it was stored, milliseconds since 1970.
    pub timestamp: u64,
    /// The MIME type of its bytes, if there is one.
    pub content_type: Option<String>,
    /// Its bytes.
    pub body: Bytes,
    /// See [`Message::key`](super::Message::key).
    pub key: Option<String>,
    /// See [`Message::tag`](super::Message::tag).
    pub tag: Option<String>,
    /// See [`Message::headers`](super::Message::headers).
    pub headers: BTreeMap<String, String>,
    /// See [`Message::id`](super::Message::id).
    pub id: Option<String>,
}

impl Delivery {
    /// The value its bytes stand for in JSON.
    ///
    /// # Errors
    /// They are no JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Its bytes as a text, if they are one.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    fn has_type(&self, is_it: impl Fn(&str) -> bool) -> bool {
        let essence = self.content_type.as_deref().and_then(|it| it.split(';').next()).map(str::trim);
        essence.is_some_and(is_it)
    }
}

impl Serialize for Delivery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_json = serializer.is_human_readable();
        // MessagePack wants to know how many there are.
        let optional = [self.content_type.is_some(), self.key.is_some(), self.tag.is_some(), self.id.is_some()];
        let fields = 6 + optional.iter().filter(|is_some| **is_some).count() + usize::from(!self.headers.is_empty());
        let mut map = serializer.serialize_map(Some(fields))?;
        map.serialize_entry("topic", &self.topic)?;
        map.serialize_entry("offset", &self.offset)?;
        map.serialize_entry("attempt", &self.attempt)?;
        map.serialize_entry("redelivered", &self.redelivered)?;
        map.serialize_entry("timestamp", &self.timestamp)?;
        let body = if is_json { self.readable() } else { Readable::Bytes };
        match body {
            Readable::Json(json) => map.serialize_entry("json", json)?,
            Readable::Text(text) => map.serialize_entry("text", text)?,
            Readable::Bytes => map.serialize_entry("body", &Blob(self.body.clone()))?,
        }
        for (name, value) in
            [("contentType", &self.content_type), ("key", &self.key), ("tag", &self.tag), ("id", &self.id)]
        {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        if !self.headers.is_empty() {
            map.serialize_entry("headers", &self.headers)?;
        }
        map.end()
    }
}

enum Readable<'a> {
    Json(&'a RawValue),
    Text(&'a str),
    Bytes,
}

impl Delivery {
    fn readable(&self) -> Readable<'_> {
        if self.has_type(|it| it.eq_ignore_ascii_case("application/json"))
            && let Ok(json) = serde_json::from_slice(&self.body)
        {
            return Readable::Json(json);
        }
        if self.has_type(|it| it.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/")))
            && let Some(text) = self.text()
        {
            return Readable::Text(text);
        }
        Readable::Bytes
    }
}

impl<'de> Deserialize<'de> for Delivery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let body = match (wire.body, wire.text, wire.json) {
            (Some(Blob(body)), ..) => body,
            (_, Some(text), _) => text.into(),
            (.., Some(Json(json))) => json,
            _ => Bytes::new(),
        };
        Ok(Self {
            topic: wire.topic,
            offset: wire.offset,
            attempt: wire.attempt,
            redelivered: wire.redelivered,
            timestamp: wire.timestamp,
            content_type: wire.content_type,
            body,
            key: wire.key,
            tag: wire.tag,
            headers: wire.headers,
            id: wire.id,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    topic: String,
    #[serde(deserialize_with = "number::one")]
    offset: u64,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    redelivered: bool,
    #[serde(default, deserialize_with = "number::one")]
    timestamp: u64,
    content_type: Option<String>,
    body: Option<Blob>,
    text: Option<String>,
    json: Option<Json>,
    key: Option<String>,
    tag: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    id: Option<String>,
}
