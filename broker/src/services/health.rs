use crate::routing::Routes;
use std::sync::Arc;
use towline_service_api::RpcError;
use towline_service_api::builtin::{Health, HealthStatus};

/// Says whether the broker serves, or whether anybody serves a service.
pub(super) struct Check {
    routes: Arc<Routes>,
}

impl Check {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        Self { routes }
    }
}

impl Health for Check {
    async fn check(&self, service: Option<String>) -> Result<HealthStatus, RpcError> {
        let is_serving = service.is_none_or(|name| self.routes.load().variants(&name).next().is_some());
        Ok(HealthStatus { status: i32::from(is_serving) })
    }
}
