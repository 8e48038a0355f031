//! The services every broker offers, as ordinary service traits: one file each, named as the service.

mod health;

pub use health::{Health, HealthClient, HealthServer, HealthStatus};
