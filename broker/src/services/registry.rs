use crate::link::Link;
use crate::relay::{CALLER_MIME, Relay};
use rsocket::metadata::{Composite, Mime};
use serde::Deserialize;
use std::sync::Arc;
use towline_responder::Handling;
use towline_service_api::builtin::{Exposed, Identity, RefusedService, Registry};
use towline_service_api::{RpcError, ServiceKey};

/// Publishes what apps ask for on their own connections.
pub(super) struct Register {
    relay: Arc<Relay>,
}

/// Who calls, as the broker tells its own services.
#[derive(Deserialize)]
struct Caller {
    link: u64,
    uuid: String,
    name: String,
}

impl Register {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        Self { relay }
    }

    fn caller(&self) -> Result<(Caller, Arc<Link>), RpcError> {
        let metadata = Handling::metadata().unwrap_or_default();
        let entry = Composite::new(&metadata).find(Mime::Name(CALLER_MIME));
        let caller = entry.and_then(|json| serde_json::from_slice::<Caller>(json).ok());
        let caller = caller.ok_or_else(|| RpcError::invalid("only an app's own connection can be asked about"))?;
        let link = self.relay.link(caller.link).ok_or_else(|| RpcError::canceled("the connection is closed"))?;
        Ok((caller, link))
    }
}

impl Registry for Register {
    async fn expose(&self, services: Vec<ServiceKey>) -> Result<Exposed, RpcError> {
        let (_, link) = self.caller()?;
        let done = self.relay.expose(&link, services);
        let accepted = done.accepted.iter().map(ToString::to_string).collect();
        let refused = done.refused.into_iter().map(|(service, reason)| RefusedService {
            service: service.to_string(),
            code: reason.code().to_owned(),
            message: reason.to_string(),
        });
        Ok(Exposed { accepted, refused: refused.collect() })
    }

    async fn hide(&self, services: Vec<ServiceKey>) -> Result<(), RpcError> {
        let (_, link) = self.caller()?;
        self.relay.registry.withdraw(&link, &services);
        Ok(())
    }

    async fn whoami(&self) -> Result<Identity, RpcError> {
        let (Caller { uuid, name, .. }, _) = self.caller()?;
        Ok(Identity { uuid, name, principal: None })
    }
}
