use std::time::Duration;

use thiserror::Error;

use crate::contract::{Contract, Method};
use crate::dispatch::Interaction;
use crate::encoding::Encoding;
use crate::key::ServiceKey;

/// Whether the handler can have seen a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Provably not: no handler ran, so sending it again is safe whatever the method does.
    NotDelivered,
    /// Maybe: send it again only if the method is idempotent.
    Maybe,
}

/// A call that failed outside the method's own errors: no instance, overload, cancelled, unreadable arguments, no connection.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (0x{code:x})")]
pub struct RpcError {
    /// The RSocket error code; see the constants.
    pub code: u32,
    /// The text of the ERROR frame, usually starting `RST-nnnnnn: `.
    pub message: String,
    /// Whether the handler can have seen the request.
    pub delivery: Delivery,
    /// How long the one who refused wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why a typed call failed: by the method's own error, or before and around it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError<E> {
    /// The method decided: its own error type.
    #[error("{0}")]
    App(E),
    /// Everything else.
    #[error("{0}")]
    Rpc(RpcError),
}

/// Texts that prove that no handler ran: no instance, endpoint not found, not allowed.
const NOT_DELIVERED_TEXTS: [&str; 3] = ["RST-900404", "RST-900405", "RST-900401"];

impl RpcError {
    /// The local code for "there is no connection": 0x102 is CONNECTION_CLOSE, which never travels on a stream.
    pub const CONNECTION_CLOSED: u32 = 0x102;
    /// The handler failed, or the method's typed error.
    pub const APPLICATION_ERROR: u32 = 0x201;
    /// Refused before any handler: overload, limit, lease, drain. Never processed.
    pub const REJECTED: u32 = 0x202;
    /// Ended by the other side or on the way; it may have been processed.
    pub const CANCELED: u32 = 0x203;
    /// The request makes no sense to its receiver.
    pub const INVALID: u32 = 0x204;

    /// What an ERROR frame says. Not delivered is exactly REJECTED and texts starting RST-900404, RST-900405 or RST-900401;
    /// a REJECTED text may end in ` retry-after-ms=N`.
    pub fn from_wire(code: u32, text: impl Into<String>) -> Self {
        let message = text.into();
        let is_rejected = code == Self::REJECTED;
        let not_delivered = is_rejected || NOT_DELIVERED_TEXTS.iter().any(|start| message.starts_with(start));
        let retry_after = if is_rejected { retry_after(&message) } else { None };
        let delivery = if not_delivered { Delivery::NotDelivered } else { Delivery::Maybe };
        Self { code, message, delivery, retry_after }
    }

    /// A handler that failed; the text travels to the caller.
    pub fn application(text: impl Into<String>) -> Self {
        Self::from_wire(Self::APPLICATION_ERROR, text)
    }

    /// Refused before any handler ran; the caller may try again, after `retry_after` if given.
    pub fn rejected(text: impl Into<String>, retry_after: Option<Duration>) -> Self {
        let mut text = text.into();
        if let Some(pause) = retry_after {
            text.push_str(&format!("{RETRY_AFTER}{}", pause.as_millis()));
        }
        Self::from_wire(Self::REJECTED, text)
    }

    /// Ended by the other side or on the way.
    pub fn canceled(text: impl Into<String>) -> Self {
        Self::from_wire(Self::CANCELED, text)
    }

    /// A request, or an answer, that makes no sense to its receiver.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::from_wire(Self::INVALID, text)
    }

    /// There was no connection to send on: not delivered.
    pub fn not_connected(text: impl Into<String>) -> Self {
        let delivery = Delivery::NotDelivered;
        Self { code: Self::CONNECTION_CLOSED, message: text.into(), delivery, retry_after: None }
    }

    /// The connection was lost after the request was sent: maybe delivered.
    pub fn connection_lost(text: impl Into<String>) -> Self {
        let delivery = Delivery::Maybe;
        Self { code: Self::CONNECTION_CLOSED, message: text.into(), delivery, retry_after: None }
    }

    /// `RST-201404`: the service has no such method; names those it has.
    pub fn no_method(contract: &Contract, method: &str) -> Self {
        let service = &contract.key.service;
        let mut names: Vec<_> = contract.methods.iter().take(NAMED).map(|method| method.name).collect();
        if contract.methods.len() > NAMED {
            names.push("..");
        }
        let names = names.join(", ");
        Self::invalid(format!("RST-201404: No service handler found: {service}.{method}; its methods are {names}"))
    }

    /// `RST-201404`: the method exists, but not for this interaction; names the right one.
    pub fn wrong_interaction(key: &ServiceKey, method: &Method, got: Interaction) -> Self {
        let (service, name, right) = (&key.service, method.name, method.shape.interaction());
        Self::invalid(format!("RST-201404: No service handler found: {service}.{name} for {got}: call it by {right}"))
    }

    /// `RST-700501`: the arguments are not readable as this encoding; says what the method takes.
    pub fn bad_arguments(key: &ServiceKey, method: &Method, encoding: Encoding, why: impl std::fmt::Display) -> Self {
        let takes: Vec<_> = method.arguments.iter().map(ToString::to_string).collect();
        let names: Vec<_> = method.arguments.iter().map(|argument| argument.name).collect();
        let send = match &names[..] {
            [] => ": send no data".to_owned(),
            _ if encoding.is_raw() => String::new(),
            names => format!(": send [{}], or a map with these names", names.join(", ")),
        };
        let (service, name, takes) = (&key.service, method.name, takes.join(", "));
        Self::invalid(format!("RST-700501: {service}.{name}: {why}; it takes ({takes}){send}"))
    }

    /// `RST-700501`: an inbound item is not readable.
    pub fn bad_item(key: &ServiceKey, method: &Method, item: usize, why: impl std::fmt::Display) -> Self {
        let (service, name, items) = (&key.service, method.name, method.inbound.unwrap_or("nothing"));
        Self::invalid(format!("RST-700501: {service}.{name}: item {item}: {why}; its items are {items}"))
    }

    /// Whether no handler can have run, so that sending the request again is safe.
    pub fn is_retryable(&self) -> bool {
        self.delivery == Delivery::NotDelivered
    }
}

impl<E> CallError<E> {
    /// The method's own error, if it is one.
    pub fn app(self) -> Option<E> {
        match self {
            Self::App(error) => Some(error),
            Self::Rpc(_) => None,
        }
    }

    /// The error around the method, if it is one.
    pub fn rpc(&self) -> Option<&RpcError> {
        match self {
            Self::App(_) => None,
            Self::Rpc(error) => Some(error),
        }
    }
}

impl<E> From<RpcError> for CallError<E> {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}

/// Methods that an error text names.
const NAMED: usize = 20;

const RETRY_AFTER: &str = " retry-after-ms=";

fn retry_after(text: &str) -> Option<Duration> {
    let (_, millis) = text.rsplit_once(RETRY_AFTER)?;
    millis.parse().ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests;
