//! The management port: what a scraper and a probe ask for.
//!
//! Invariant: whoever connects, and however slowly, holds a bounded number of connections for a bounded time; the relay
//! does not notice.

mod health;
mod metrics;
mod server;
#[cfg(test)]
mod tests;

pub use server::Management;

use crate::metrics::Meters;
use crate::shutdown::PhaseWatch;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;

/// What the answers are made of.
#[derive(Clone, Debug)]
struct Sight {
    meters: Arc<Meters>,
    phases: PhaseWatch,
}

fn router(meters: Arc<Meters>, phases: PhaseWatch) -> Router {
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Sight { meters, phases })
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "not found: this port serves /metrics, /livez and /readyz\n")
}

async fn method_not_allowed() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "method not allowed: use GET\n")
}
