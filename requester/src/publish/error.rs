use std::fmt;

use towline_service_api::builtin::{QueueError, ReceiptError};
use towline_service_api::{CallError, RpcError, ServiceError, TypedError};

/// Why there is no confirmation of a message.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker says why: it is not stored.
    Refused(TypedError),
    /// No broker took it: it is not stored.
    NotSent(RpcError),
    /// It may be stored or not: what would have said so was lost. Sent again with an id or a sequence, it is stored once.
    InDoubt {
        /// What happened.
        why: String,
    },
}

impl PublishError {
    /// The code of the refusal, as `topic-full`, if it is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => Some(&error.code),
            Self::NotSent(_) | Self::InDoubt { .. } => None,
        }
    }

    /// Whether it may be stored nevertheless.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::InDoubt { .. })
    }

    /// What a call that failed means for what it carried.
    pub(super) fn of_call(error: CallError<QueueError>) -> Self {
        match refusal(&error) {
            // Some of it may have reached the disk.
            Some(error) if error.code == STORE_FAILED => Self::InDoubt { why: error.message },
            Some(error) => Self::Refused(error),
            None => match error {
                CallError::Rpc(error) if error.is_retryable() || error.code == RpcError::INVALID => {
                    Self::NotSent(error)
                }
                error => Self::InDoubt { why: error.to_string() },
            },
        }
    }

    /// What a channel that failed means for what it did not carry yet.
    pub(super) fn of_unsent(error: CallError<QueueError>) -> Self {
        match (refusal(&error), error) {
            (Some(error), _) => Self::Refused(error),
            (None, CallError::Rpc(error)) => Self::NotSent(error),
            (None, CallError::App(error)) => Self::NotSent(error.into_rpc()),
        }
    }

    pub(super) fn of_receipt(error: ReceiptError) -> Self {
        let ReceiptError { code, message, next } = error;
        let error = TypedError::new(code, message);
        Self::Refused(match next {
            Some(next) => error.with_next(next),
            None => error,
        })
    }

    /// The broker would say so of this message.
    pub(super) fn invalid(why: &str) -> Self {
        let error = QueueError::InvalidMessage { why: why.to_owned() };
        Self::of_call(CallError::App(error))
    }
}

const STORE_FAILED: &str = "store-failed";

/// The broker's own words, also of a code that is newer than this crate.
fn refusal(error: &CallError<QueueError>) -> Option<TypedError> {
    match error {
        CallError::App(error) => error.clone().into_rpc().typed(),
        CallError::Rpc(error) => error.typed(),
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(TypedError { code, message, next, .. }) => {
                write!(f, "not stored: {message} ({code})")?;
                next.iter().try_for_each(|next| write!(f, "; {next}"))
            }
            Self::NotSent(error) => write!(f, "not stored: {error}"),
            Self::InDoubt { why } => write!(f, "in doubt, it may be stored: {why}"),
        }
    }
}

impl std::error::Error for PublishError {}
