//! What the handlers use of the rest of the server.

use std::sync::Arc;

use tokio::sync::watch;

use crate::admin::{Admin, OperatorKey};
use crate::committer::DurabilityGate;
use crate::metrics::Metrics;
use crate::origin::AllowedOrigins;
use crate::session::{Authenticator, Sessions};
use crate::sync::SyncService;

/// The application state of all routes. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    /// Verifies tokens and signs devices in.
    pub authenticator: Authenticator,
    /// What a device may ask about datasets.
    pub sync: SyncService,
    /// Takes over a connection after its upgrade to a WebSocket.
    pub sessions: Sessions,
    /// What an operator may ask.
    pub admin: Admin,
    /// The operator key; `None` disables the admin API.
    pub operator_key: Option<OperatorKey>,
    /// Whether the committer and the store work.
    pub gate: DurabilityGate,
    /// The counters that `/metrics` shows.
    pub metrics: Metrics,
    /// The origins of web pages that at least one pool allows.
    pub origins: Arc<AllowedOrigins>,
    /// Whether the server is shutting down.
    pub draining: watch::Receiver<bool>,
}
