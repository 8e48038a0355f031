use super::caller::Caller;
use crate::link::Link;
use crate::relay::Relay;
use std::sync::Arc;
use towline_service_api::builtin::{Exposed, Identity, RefusedService, Registry};
use towline_service_api::{RpcError, ServiceKey};

/// Publishes what apps ask for on their own connections.
pub(super) struct Register {
    relay: Arc<Relay>,
}

impl Register {
    pub(super) fn new(relay: Arc<Relay>) -> Self {
        Self { relay }
    }

    fn caller(&self) -> Result<(Caller, Arc<Link>), RpcError> {
        let caller = Caller::of_this_request()?;
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
