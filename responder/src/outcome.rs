use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use towline_rsocket::engine::Payload;
use towline_rsocket::metadata::{CompositeBuilder, Mime};
use towline_rsocket::{ErrorCode, StreamError};
use towline_service_api::{Answer, Encoding, RpcError};

/// The metadata of an answer that is in another encoding than its request: a 0x7A entry.
static METADATA: LazyLock<HashMap<Encoding, Bytes>> = LazyLock::new(|| {
    let entry = |encoding: Encoding| CompositeBuilder::new().message_mime(Mime::named(encoding.mime())).finish();
    Encoding::ALL.into_iter().map(|encoding| (encoding, entry(encoding).freeze())).collect()
});

/// An answer as it travels.
pub(crate) fn payload(answer: Result<Answer, RpcError>) -> Result<Payload, StreamError> {
    let Answer { encoding, data } = answer.map_err(stream_error)?;
    Ok(Payload { metadata: encoding.map(|encoding| METADATA[&encoding].clone()), data })
}

/// An error as it came.
pub(crate) fn rpc_error(error: StreamError) -> RpcError {
    RpcError::from_wire(error.code.0, error.message)
}

/// An error as it travels. Codes of connections (a nested call lost its own) never go out on a stream.
pub(crate) fn stream_error(error: RpcError) -> StreamError {
    let code = ErrorCode(error.code);
    let code = if code.is_connection() { ErrorCode::APPLICATION_ERROR } else { code };
    StreamError::new(code, error.message)
}
