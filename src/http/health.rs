//! Health checks and metrics, for load balancers and monitoring.

use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::state::{HttpState, ServerPhase};
use super::{error, page_guard};
use crate::limits::MemoryUse;
use crate::session::Authenticator;

/// The media type of OpenMetrics 1.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /health/live`: the process runs.
pub(super) async fn live() -> Response {
    error::ok_json(&json!({ "status": "alive" }))
}

/// `GET /health/ready` of the port for devices: whether the server accepts sessions and writes, and nothing else about it.
pub(super) async fn ready(State(state): State<HttpState>) -> Response {
    match *state.phase.borrow() == ServerPhase::Serving && state.committer.is_healthy() {
        true => error::ok_json(&json!({ "status": "ready" })),
        false => error::unhealthy("the server is not ready"),
    }
}

/// `GET /health/ready` of the port for operators: the same, and why.
///
/// An issuer whose keys could not be fetched is named in the body of a 200. It is the same for all servers of a pool, so a load balancer
/// that took each of them out would end the sessions of all other issuers, too.
/// A web page that asks under a name of its own learns no more than a device.
pub(super) async fn ready_details(State(state): State<HttpState>, request: Request) -> Response {
    if page_guard::has_foreign_name(&request) {
        return ready(State(state)).await;
    }
    if *state.phase.borrow() > ServerPhase::Serving {
        return error::unhealthy("the server is shutting down");
    }
    match state.committer.is_healthy() {
        true => error::ok_json(&readiness(&state.authenticator)),
        false => error::unhealthy("the store failed; the server reopens it as soon as possible, see the log"),
    }
}

fn readiness(authenticator: &Authenticator) -> Value {
    let without_keys = authenticator.issuers_without_keys();
    let issuers = without_keys.iter().map(|one| json!({ "pool": one.pool, "issuer": one.issuer, "reason": one.reason }));
    match without_keys.is_empty() {
        true => json!({ "status": "ready" }),
        false => json!({ "status": "ready", "issuers_without_keys": issuers.collect::<Vec<_>>() }),
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(state): State<HttpState>) -> Response {
    let memory = state.sessions.memory();
    state.metrics.memory_held(memory.held_bytes(MemoryUse::Received), memory.held_bytes(MemoryUse::Answers));
    ([(header::CONTENT_TYPE, OPENMETRICS)], state.metrics.text()).into_response()
}
