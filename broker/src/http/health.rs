//! `/livez` and `/readyz`: whether to restart this process, and whether to send it work.

use super::Sight;
use crate::shutdown::Phase;
use axum::extract::State;
use axum::http::StatusCode;

/// Alive as long as it can answer: a probe must not restart a broker that drains.
pub(super) async fn livez() -> &'static str {
    "alive\n"
}

/// Ready from the time every listener accepts until the drain begins; otherwise 503 and the phase.
pub(super) async fn readyz(State(sight): State<Sight>) -> (StatusCode, String) {
    let phase = sight.phases.phase();
    let status = if phase == Phase::Running { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", phase.as_str()))
}
