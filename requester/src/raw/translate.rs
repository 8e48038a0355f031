use rsocket_rust::error::RSocketError;
use rsocket_rust::prelude::Payload as RawPayload;
use towline_rsocket::engine::Payload;
use towline_rsocket::{ErrorCode, StreamError};

/// A payload in the raw API's words. As there, data of zero bytes is none; metadata of zero bytes is some.
pub fn to_raw(payload: Payload) -> RawPayload {
    RawPayload::new(Some(payload.data).filter(|data| !data.is_empty()), payload.metadata)
}

/// A payload of the raw API, as it travels.
pub fn from_raw(payload: RawPayload) -> Payload {
    let (data, metadata) = payload.split();
    Payload { metadata, data: data.unwrap_or_default() }
}

/// An error that came, in the raw API's words; the text is what the ERROR frame holds.
pub fn raw_error(code: u32, text: String) -> RSocketError {
    match ErrorCode(code) {
        ErrorCode::INVALID_SETUP => RSocketError::InvalidSetup(text),
        ErrorCode::UNSUPPORTED_SETUP => RSocketError::UnsupportedSetup(text),
        ErrorCode::REJECTED_SETUP => RSocketError::RejectedSetup(text),
        ErrorCode::REJECTED_RESUME => RSocketError::RejectedResume(text),
        ErrorCode::CONNECTION_ERROR => RSocketError::ConnectionException(text),
        ErrorCode::CONNECTION_CLOSE => RSocketError::ConnectionClosed(text),
        ErrorCode::APPLICATION_ERROR => RSocketError::ApplicationException(text),
        ErrorCode::REJECTED => RSocketError::RequestRejected(text),
        ErrorCode::CANCELED => RSocketError::RequestCancelled(text),
        ErrorCode::INVALID => RSocketError::RequestInvalid(text),
        ErrorCode(code) => RSocketError::Reserved(code, text),
    }
}

/// What a function of the raw API returned, with its error as it travels on a stream: an [`RSocketError`] of a stream
/// keeps its code and text (`Reserved` any code), every other error is APPLICATION_ERROR with what it displays.
///
/// # Errors
/// It was one.
pub fn result_from_raw<T>(result: rsocket_rust::Result<T>) -> Result<T, StreamError> {
    result.map_err(|error| match error.downcast::<RSocketError>() {
        Ok(error) => stream_error(error),
        Err(error) => StreamError::new(ErrorCode::APPLICATION_ERROR, error.to_string()),
    })
}

fn stream_error(error: RSocketError) -> StreamError {
    let shown = error.to_string();
    let (code, text) = match error {
        RSocketError::ApplicationException(text) => (ErrorCode::APPLICATION_ERROR, text),
        RSocketError::RequestRejected(text) => (ErrorCode::REJECTED, text),
        RSocketError::RequestCancelled(text) => (ErrorCode::CANCELED, text),
        RSocketError::RequestInvalid(text) => (ErrorCode::INVALID, text),
        // 0 and 2^32-1 stand for nothing, codes of connections do not go out on a stream.
        RSocketError::Reserved(code, text) if !ErrorCode(code).is_connection() && code != u32::MAX => {
            (ErrorCode(code), text)
        }
        _ => (ErrorCode::APPLICATION_ERROR, shown),
    };
    StreamError::new(code, text)
}
