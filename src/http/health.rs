//! For whoever watches over the server.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::{HttpState, error};

/// The media type of OpenMetrics 1.0.
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process is alive.
pub(super) async fn live() -> Response {
    error::health(true, "alive")
}

/// It takes sessions and writes.
pub(super) async fn ready(State(rooms): State<HttpState>) -> Response {
    if *rooms.draining.borrow() {
        return error::health(false, "on its way out");
    }
    match rooms.gate.is_healthy() {
        true => error::health(true, "ready"),
        false => error::health(false, "the store failed and is opened again as soon as that is possible; see the log"),
    }
}

/// What was counted.
pub(super) async fn metrics(State(rooms): State<HttpState>) -> Response {
    ([(header::CONTENT_TYPE, METRICS)], rooms.metrics.text()).into_response()
}
