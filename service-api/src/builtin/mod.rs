//! The services every broker offers, as ordinary service traits: one file each, named as the service.

mod health;
mod registry;

pub use health::{Health, HealthClient, HealthServer, HealthStatus};
pub use registry::{Exposed, Identity, RefusedService, Registry, RegistryClient, RegistryServer};
