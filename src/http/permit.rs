//! A connection's share of the connections that may be open.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

/// Counts a connection against the configured `connections` until the last clone is dropped.
#[derive(Clone)]
pub(super) struct ConnectionPermit {
    permit: Arc<OwnedSemaphorePermit>,
    connections: u32,
}

impl ConnectionPermit {
    /// For one of so many connections.
    pub(super) fn new(permit: OwnedSemaphorePermit, connections: u32) -> ConnectionPermit {
        ConnectionPermit { permit: Arc::new(permit), connections }
    }

    /// Whether less than a tenth of the connections are free: then those that are only kept for later give way.
    pub(super) fn is_crowded(&self) -> bool {
        self.permit.semaphore().available_permits() < (self.connections / 10) as usize
    }
}
