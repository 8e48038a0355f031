use serde::{Deserialize, Serialize};

use super::Durability;
use super::form::number;

/// A message is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// Where it was published.
    pub topic: String,
    /// Its place there; none of a scheduled one, and of a duplicate that is too old to be known.
    #[serde(deserialize_with = "number::maybe")]
    pub offset: Option<u64>,
    /// When it was stored, milliseconds since 1970.
    #[serde(deserialize_with = "number::one")]
    pub timestamp: u64,
    /// What this confirmation means.
    pub durability: Durability,
    /// It was there already.
    pub duplicate: bool,
    /// When a scheduled one will be delivered, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub due: Option<u64>,
}

/// A batch is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The place of each message, in their order; none of a duplicate that is too old to be known.
    pub offsets: Vec<Option<u64>>,
}

/// What became of one item of a channel: stored, or `error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The item, from 0 on.
    pub n: u64,
    /// See [`Confirmation::offset`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub offset: Option<u64>,
    /// See [`Confirmation::timestamp`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub timestamp: Option<u64>,
    /// See [`Confirmation::durability`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
    /// See [`Confirmation::duplicate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    /// See [`Confirmation::due`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "number::maybe")]
    pub due: Option<u64>,
    /// Why it was not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ReceiptError>,
}

/// Why an item of a channel was not stored: a [`QueueError`](super::QueueError) as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptError {
    /// As of the error that `publish` would have answered with.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Receipt {
    /// Of a message that is stored.
    pub fn stored(n: u64, confirmation: &Confirmation) -> Self {
        let Confirmation { offset, timestamp, durability, duplicate, due, .. } = *confirmation;
        Self {
            n,
            offset,
            timestamp: Some(timestamp),
            durability: Some(durability),
            duplicate: Some(duplicate),
            due,
            error: None,
        }
    }

    /// Of a message that was refused.
    pub fn refused(n: u64, error: ReceiptError) -> Self {
        Self { n, offset: None, timestamp: None, durability: None, duplicate: None, due: None, error: Some(error) }
    }
}
