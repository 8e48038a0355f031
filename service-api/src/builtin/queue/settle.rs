use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::form::number;

/// What became of deliveries; several of it may be said at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Settle {
    /// Done.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "number::list")]
    pub ack: Vec<u64>,
    /// Done: all of this member's up to this offset.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub ack_to: Option<u64>,
    /// To be delivered again, in `delayMs`, else as the group's ladder says.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "number::list")]
    pub nack: Vec<u64>,
    /// To be delivered again at the earliest so long from now.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub delay_ms: Option<u64>,
    /// Why, for the dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Takes longer: the ack deadline starts again.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "number::list")]
    pub extend: Vec<u64>,
    /// So long from now; the group's deadline if not given.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub by_ms: Option<u64>,
    /// To the dead letter now.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "number::list")]
    pub dead: Vec<u64>,
}

impl Settle {
    /// Done.
    pub fn ack(offset: u64) -> Self {
        Self { ack: vec![offset], ..Self::default() }
    }

    /// Done: all of this member's up to this offset.
    pub fn ack_to(offset: u64) -> Self {
        Self { ack_to: Some(offset), ..Self::default() }
    }

    /// To be delivered again.
    pub fn nack(offset: u64) -> Self {
        Self { nack: vec![offset], ..Self::default() }
    }

    /// Takes longer.
    pub fn extend(offset: u64) -> Self {
        Self { extend: vec![offset], ..Self::default() }
    }

    /// To the dead letter now.
    pub fn dead(offset: u64) -> Self {
        Self { dead: vec![offset], ..Self::default() }
    }

    /// Again no earlier than so long from now.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay_ms: Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)), ..self }
    }

    /// Why, for the dead letter.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}

/// What [`Queue::settle`](super::Queue::settle) did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Offsets that are settled, or whose deadline was moved.
    pub settled: u64,
    /// Those that are not, and why.
    pub refused: Vec<RefusedSettle>,
}

/// A settle that came too late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedSettle {
    /// Of which message.
    #[serde(deserialize_with = "number::one")]
    pub offset: u64,
    /// `stale-delivery` or `invalid-offset`.
    pub code: String,
}
