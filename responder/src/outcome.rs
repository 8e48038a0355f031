use std::sync::LazyLock;

use bytes::Bytes;
use towline_rsocket::engine::Payload;
use towline_rsocket::metadata::{CompositeBuilder, Mime};
use towline_rsocket::{ErrorCode, StreamError};
use towline_service_api::{Encoding, RpcError};

static MESSAGE_PACK: LazyLock<Bytes> = LazyLock::new(|| entry(Encoding::MessagePack));
static JSON: LazyLock<Bytes> = LazyLock::new(|| entry(Encoding::Json));

fn entry(encoding: Encoding) -> Bytes {
    CompositeBuilder::new().message_mime(Mime::named(encoding.mime())).finish().freeze()
}

/// The metadata of answers in this encoding: a 0x7A entry, if the request was in another one.
pub(crate) fn metadata(request: Encoding, answer: Encoding) -> Option<Bytes> {
    match answer {
        _ if answer == request => None,
        Encoding::MessagePack => Some(MESSAGE_PACK.clone()),
        Encoding::Json => Some(JSON.clone()),
        other => Some(entry(other)),
    }
}

/// An answer as it travels.
pub(crate) fn payload(metadata: Option<Bytes>, answer: Result<Bytes, RpcError>) -> Result<Payload, StreamError> {
    answer.map(|data| Payload { metadata, data }).map_err(stream_error)
}

/// An error as it travels. Codes of connections (a nested call lost its own) never go out on a stream.
pub(crate) fn stream_error(error: RpcError) -> StreamError {
    let code = ErrorCode(error.code);
    let code = if code.is_connection() { ErrorCode::APPLICATION_ERROR } else { code };
    StreamError::new(code, error.message)
}
