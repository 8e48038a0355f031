use crate::relay::CALLER_MIME;
use rsocket::metadata::{Composite, Mime};
use serde::Deserialize;
use towline_responder::Handling;
use towline_service_api::RpcError;

/// Who calls, as the broker tells its own services.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Caller {
    pub(super) link: u64,
    pub(super) uuid: String,
    pub(super) name: String,
}

impl Caller {
    /// Of the request that is answered now.
    ///
    /// # Errors
    /// Nobody calls, or a service of the broker itself.
    pub(super) fn of_this_request() -> Result<Self, RpcError> {
        let metadata = Handling::metadata().unwrap_or_default();
        let entry = Composite::new(&metadata).find(Mime::Name(CALLER_MIME));
        let caller = entry.and_then(|json| serde_json::from_slice(json).ok());
        caller.ok_or_else(|| RpcError::invalid("only an app's own connection can be asked about"))
    }
}
