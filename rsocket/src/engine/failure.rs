use crate::error::{ConnectionError, ErrorCode, StreamError};

/// Why a call ended without its answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallFailure {
    /// The stream ended with an error: the peer's ERROR frame, or this side ended it because the peer sent more than
    /// it was asked for (CANCELED) or than [`Config::max_payload`](super::Config::max_payload) (INVALID). Or it was never
    /// opened, as the peer's lease allows no request now (REJECTED).
    #[error(transparent)]
    Stream(StreamError),
    /// The connection ended first, or takes no new calls.
    #[error("{error}")]
    Connection {
        /// Why.
        error: ConnectionError,
        /// False: the last byte of the request was never given to the socket, so it may be sent again elsewhere.
        is_written: bool,
    },
}

impl CallFailure {
    pub(super) fn stream(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Stream(StreamError::new(code, message))
    }

    /// As a responder sees it: a requester whose connection is gone has cancelled.
    pub(super) fn into_stream_error(self) -> StreamError {
        match self {
            Self::Stream(error) => error,
            Self::Connection { error, .. } => StreamError::new(ErrorCode::CANCELED, error.to_string()),
        }
    }
}
