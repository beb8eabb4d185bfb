//! Everything on the one port: the socket's upgrade, the same acts as plain requests, what an operator asks, health, metrics.
//!
//! Every step of a connection has a deadline and every part of a request a bound. `error` is the only file that knows status codes.

mod admin;
mod datasets;
mod devices;
mod error;
mod health;
mod link;
mod push;
mod server;
mod socket;
mod stream;
mod tls;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub use server::{HttpConfig, Listener, Serving};
pub use tls::{ListenError, TlsConfig};

use crate::admin::{Admin, OperatorKey};
use crate::committer::DurabilityGate;
use crate::metrics::Metrics;
use crate::session::{Authenticator, Sessions};
use crate::sync::SyncService;

/// What requests need of the rest of the server; cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    /// Who may come in.
    pub door: Authenticator,
    /// What they may ask.
    pub sync: SyncService,
    /// Where sockets go.
    pub sessions: Sessions,
    /// What an operator may ask.
    pub admin: Admin,
    /// Who is one; `None`: nobody.
    pub operator: Option<OperatorKey>,
    /// Whether the store is at work.
    pub gate: DurabilityGate,
    /// What is counted.
    pub metrics: Metrics,
    /// Pages that may open a socket, as their `Origin` says; empty: all.
    pub origins: Arc<[String]>,
    /// Whether the server is on its way out.
    pub draining: tokio::sync::watch::Receiver<bool>,
}

/// All routes of the server.
pub fn router(rooms: HttpState) -> Router {
    Router::new()
        .route("/v1/sync", get(socket::upgrade))
        .route("/v1/datasets", get(datasets::list))
        .route("/v1/datasets/{dataset}/changes", get(datasets::changes))
        .route("/v1/datasets/{dataset}/write", post(datasets::write))
        .route("/v1/datasets/{dataset}/ack", post(datasets::ack))
        .route("/v1/push", get(push::look).put(push::register).delete(push::unregister))
        .route("/v1/identity/link", post(link::link))
        .nest("/admin/api", admin::routes(rooms.clone()))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .with_state(rooms)
}
