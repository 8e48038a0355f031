//! What the store and the group say, as callers are told.

use super::group::Refusal;
use crate::store::StoreError;
use towline_service_api::builtin::QueueError;
use towline_service_api::{RpcError, TypedError};

/// A store's refusal, for one topic.
pub(crate) fn of_store(topic: &str, error: StoreError) -> QueueError {
    match error {
        StoreError::UnknownTopic(_) => QueueError::UnknownTopic { topic: topic.to_owned() },
        StoreError::Full { free, watermark } => QueueError::StorageFull { free, watermark },
        StoreError::BatchSize { bytes, max } => {
            QueueError::TooLarge { topic: topic.to_owned(), bytes: bytes as u64, limit: max as u64 }
        }
        StoreError::Closed => QueueError::Rpc(RpcError::rejected("this broker is shutting down", None)),
        other => QueueError::StoreFailed { why: other.to_string() },
    }
}

/// The code of a settle that was refused.
pub(crate) fn code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Stale => "stale-delivery",
        Refusal::Invalid => "invalid-offset",
    }
}

pub(crate) fn invalid_message(why: impl Into<String>) -> QueueError {
    QueueError::InvalidMessage { why: why.into() }
}

/// Options or a configuration that cannot be.
pub(crate) fn invalid_options(why: String) -> QueueError {
    QueueError::Rpc(RpcError::invalid(format!("RST-700501: {why}")))
}

/// As a receipt says it.
pub(crate) fn typed(error: QueueError) -> TypedError {
    use towline_service_api::ServiceError;
    let rpc = error.into_rpc();
    rpc.typed().unwrap_or_else(|| TypedError::new("rejected", rpc.message))
}
