//! `/metrics`: everything counted, for Prometheus.

use super::Sight;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

pub(super) async fn metrics(State(sight): State<Sight>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], sight.meters.render())
}
