//! What the handlers use of the rest of the server.

use tokio::sync::watch;

use super::before_routes::ServiceBeforeRoutes;
use super::page_guard::ServedPages;
use super::transfers::Transfers;
use crate::access::Accounts;
use crate::admin::{Admin, OperatorKey};
use crate::committer::Committer;
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::session::{Authenticator, Sessions};
use crate::sync::SyncService;

/// How far a server is on its way to the end. Each phase follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerPhase {
    Serving,
    /// It serves as before, and says that it is not ready, so that load balancers send no new clients.
    Leaving,
    /// It accepts no connection and ends those that it has.
    Draining,
}

/// The application state of all routes. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    /// Verifies tokens and signs devices in.
    pub authenticator: Authenticator,
    /// What a device may ask about datasets.
    pub sync: SyncService,
    /// Takes over a connection after its upgrade to a WebSocket.
    pub sessions: Sessions,
    /// Accounts and the access keys of their roots.
    pub accounts: Accounts,
    /// What an operator may ask.
    pub admin: Admin,
    /// The operator key; `None` disables the admin API.
    pub operator_key: Option<OperatorKey>,
    /// Whether the committer and the store work.
    pub committer: Committer,
    /// The counters that `/metrics` shows.
    pub metrics: Metrics,
    /// Whose origins say which web pages may use the server at all.
    pub pools: Pools,
    /// A service that is asked before the routes of devices.
    pub before_routes: Option<ServiceBeforeRoutes>,
    /// The web pages that may use the server at all.
    pub pages: ServedPages,
    /// The time that limits are counted in.
    pub transfers: Transfers,
    /// Whether the server is shutting down.
    pub phase: watch::Receiver<ServerPhase>,
}
