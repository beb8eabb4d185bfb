//! The HTTP port: the WebSocket upgrade, the same operations as plain requests, the admin API, health checks and metrics.
//!
//! - Every phase of a connection has a timeout, and every part of a request a maximum size.
//! - Handlers parse a request, call `sync`, `session` or `admin`, and encode the result; they decide nothing else.
//! - Status codes are named in `error` only.

mod admin;
mod datasets;
mod error;
mod health;
mod link;
mod push;
mod request;
mod server;
mod socket;
mod state;
mod stream;
mod tls;

use axum::Router;
use axum::routing::{get, post};

pub use server::{HttpConfig, Listener, OpenConnections};
pub use state::HttpState;
pub use tls::{ListenError, TlsConfig};

/// All routes of the server.
pub fn router(state: HttpState) -> Router {
    Router::new()
        .route("/v1/sync", get(socket::upgrade))
        .route("/v1/datasets", get(datasets::list))
        .route("/v1/datasets/{dataset}/changes", get(datasets::changes))
        .route("/v1/datasets/{dataset}/write", post(datasets::write))
        .route("/v1/datasets/{dataset}/ack", post(datasets::ack))
        .route("/v1/push", get(push::registration).put(push::register).delete(push::unregister))
        .route("/v1/identity/link", post(link::link))
        .nest("/admin/api", admin::routes(state.clone()))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(state)
}
