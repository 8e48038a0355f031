use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::RpcError;

/// The error type of a method, and how it travels. Derive it for an enum, or use [`RpcError`] itself.
///
/// The derived form is the typed error of the calling convention: the JSON text of an ERROR 0x201.
///
/// ```
/// use towline_service_api::ServiceError;
///
/// #[derive(Debug, thiserror::Error, ServiceError)]
/// enum TopicError {
///     #[error("there is no topic {topic}")]
///     #[service_error(next = "towline topic create")]
///     UnknownTopic { topic: String },           // {"code":"unknown-topic","message":"..","next":"..","detail":{"topic":"orders"}}
///     #[error("too large")]
///     #[service_error(code = "too-big")]
///     TooLarge,
/// }
/// # let error = TopicError::UnknownTopic { topic: "orders".to_owned() }.into_rpc();
/// # assert_eq!(error.message, r#"{"code":"unknown-topic","message":"there is no topic orders","next":"towline topic create","detail":{"topic":"orders"}}"#);
/// # assert!(matches!(TopicError::from_rpc(error), Ok(TopicError::UnknownTopic { topic }) if topic == "orders"));
/// # let _ = TopicError::TooLarge;
/// ```
pub trait ServiceError: Sized + Send + 'static {
    /// The error as it travels.
    fn into_rpc(self) -> RpcError;

    /// Reads what arrived; gives it back if it is none of this type's errors.
    fn from_rpc(error: RpcError) -> Result<Self, RpcError>;
}

/// Codes pass through as they are, and a caller finds every error as [`CallError::Rpc`](crate::CallError::Rpc).
impl ServiceError for RpcError {
    fn into_rpc(self) -> RpcError {
        self
    }

    fn from_rpc(error: RpcError) -> Result<Self, RpcError> {
        Err(error)
    }
}

/// A typed error as it stands in the text of an ERROR 0x201.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypedError {
    /// What happened, in kebab-case; callers decide by it.
    pub code: Cow<'static, str>,
    /// The same for a reader.
    #[serde(default)]
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cow<'static, str>>,
    /// Fields of this code, their names in lowerCamelCase.
    #[serde(default)]
    pub detail: Map<String, Value>,
}

/// How every typed error starts on the wire.
const START: &str = "{\"code\":";

/// An ERROR frame cannot be fragmented.
const MAX_TEXT: usize = 64 * 1024;

impl TypedError {
    /// An error without next step and detail.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), next: None, detail: Map::new() }
    }

    /// Adds what to do next.
    pub fn with_next(mut self, next: impl Into<Cow<'static, str>>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Adds one field; a value that has no JSON form is `null`.
    pub fn with<T: Serialize + ?Sized>(mut self, name: &str, value: &T) -> Self {
        self.detail.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Takes one field out, by its name on the wire or in Rust; one that is not there reads as `null`.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str, rust_name: &str) -> Option<T> {
        let value = self.detail.remove(name).or_else(|| self.detail.remove(rust_name)).unwrap_or_default();
        serde_json::from_value(value).ok()
    }

    /// The typed error an RPC error carries, if it carries one.
    pub fn read(error: &RpcError) -> Option<Self> {
        if error.code != RpcError::APPLICATION_ERROR || !error.message.starts_with(START) {
            return None;
        }
        serde_json::from_str(&error.message).ok()
    }

    /// The error as it travels: at most 64 KiB of text; of a larger one the detail goes first, then the end of the message.
    pub fn into_rpc(mut self) -> RpcError {
        let mut text = self.text();
        if text.len() > MAX_TEXT {
            self.detail.clear();
            text = self.text();
        }
        if text.len() > MAX_TEXT {
            // Escaped, a character takes at most six bytes per byte.
            let end = (0..=MAX_TEXT / 8).rev().find(|at| self.message.is_char_boundary(*at));
            self.message.truncate(end.unwrap_or(0));
            self.next = None;
            text = self.text();
        }
        RpcError::application(text)
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("texts and JSON values have a JSON form")
    }
}

impl RpcError {
    /// The typed error this one carries, if any: what a caller finds of a code its error type does not know.
    pub fn typed(&self) -> Option<TypedError> {
        TypedError::read(self)
    }
}

#[cfg(test)]
mod tests;
