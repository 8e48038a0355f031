//! `RSocketServiceHealth.check(String?) -> Integer`: 1 serving, -1 down. A starter uses a connection only once this has
//! answered, and its first byte must be 0x91.

use super::{Call, Reply};
use crate::routing::Routes;
use rsocket::StreamError;
use std::sync::Arc;

pub(super) const SERVICE: &str = "com.alibaba.rsocket.health.RSocketServiceHealth";

const SERVING: i32 = 1;
/// Nobody serves what was asked for: as the Java broker says it.
const DOWN: i32 = -1;

pub(super) struct Health {
    routes: Arc<Routes>,
}

impl Health {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        Self { routes }
    }

    pub(super) fn answer(&self, call: &Call) -> Result<Reply, StreamError> {
        if call.method != "check" {
            return Err(call.unknown());
        }
        let [service] = call.texts()?;
        // The broker itself, which answers.
        let Some(service) = service.filter(|service| !service.is_empty()) else { return Ok(Reply::Status(SERVING)) };
        let is_served = self.routes.load().variants(&service).next().is_some();
        Ok(Reply::Status(if is_served { SERVING } else { DOWN }))
    }
}
