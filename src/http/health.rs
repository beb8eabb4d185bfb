//! Health checks and metrics, for load balancers and monitoring.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::error;
use super::state::HttpState;

/// The media type of OpenMetrics 1.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /health/live`: the process runs.
pub(super) async fn live() -> Response {
    error::ok_json(&json!({ "status": "alive" }))
}

/// `GET /health/ready`: the server accepts sessions and writes.
pub(super) async fn ready(State(state): State<HttpState>) -> Response {
    if *state.draining.borrow() {
        return error::unhealthy("the server is shutting down");
    }
    match state.gate.is_healthy() {
        true => error::ok_json(&json!({ "status": "ready" })),
        false => error::unhealthy("the store failed; the server reopens it as soon as possible, see the log"),
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(state): State<HttpState>) -> Response {
    ([(header::CONTENT_TYPE, OPENMETRICS)], state.metrics.text()).into_response()
}
