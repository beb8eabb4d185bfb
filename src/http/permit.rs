//! A connection's share of the connections that may be open, of all and of its client's address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Extensions;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::deadlines::{ConnectionScarcity, SILENT_MS, SILENT_WHEN_SHORT_MS};
use super::rules::ConnectionRules;
use super::unauthenticated::ListedConnection;
use crate::clock::RunningClock;
use crate::limits::{AddressConnection, ClientAddress, ConnectionCapacity, LimitExceeded};

/// How often is looked whether connections are short, in milliseconds.
const SHORT_CHECK_MS: u64 = 1_000;

/// Counts a connection against the configured `connections` until the last clone is dropped.
#[derive(Clone)]
pub(super) struct ConnectionPermit(Arc<PermittedConnection>);

struct PermittedConnection {
    permit: OwnedSemaphorePermit,
    connections: u32,
    rules: ConnectionRules,
    client: ClientAddress,
    /// Notified when the connection has to make place for another one.
    close: Arc<Notify>,
    counts: Mutex<ConnectionCounts>,
}

/// Where the connection is counted.
#[derive(Default)]
struct ConnectionCounts {
    /// Only kept: it counts until it is dropped.
    #[expect(dead_code)]
    of_address: Option<AddressConnection>,
    unauthenticated: Option<ListedConnection>,
}

impl Drop for PermittedConnection {
    fn drop(&mut self) {
        self.rules.capacity.closed();
    }
}

impl ConnectionPermit {
    /// The connection of a request, and the request's client, which a proxy may have named.
    pub(super) fn of_request(extensions: &Extensions) -> Option<(ConnectionPermit, ClientAddress)> {
        Some((extensions.get::<ConnectionPermit>()?.clone(), extensions.get::<ClientAddress>()?.clone()))
    }

    /// For one of so many connections, of a client that `of_address` counts.
    pub(super) fn new(
        permit: OwnedSemaphorePermit,
        connections: u32,
        rules: ConnectionRules,
        client: ClientAddress,
        of_address: AddressConnection,
    ) -> ConnectionPermit {
        rules.capacity.opened();
        let close = Arc::default();
        let unauthenticated = client.is_limited().then(|| rules.unauthenticated.add(client.address(), &close));
        let counts = Mutex::new(ConnectionCounts { of_address: Some(of_address), unauthenticated });
        ConnectionPermit(Arc::new(PermittedConnection { permit, connections, rules, client, close, counts }))
    }

    /// The client by the address of the peer; a request may name another one.
    pub(super) fn client(&self) -> &ClientAddress {
        &self.0.client
    }

    pub(super) fn rules(&self) -> &ConnectionRules {
        &self.0.rules
    }

    /// Counts the connection for the client that a proxy has named for all of it. Must be called before the permit is cloned.
    pub(super) fn proxied(mut self, client: &ClientAddress) -> Result<ConnectionPermit, LimitExceeded> {
        self.count_for(client)?;
        if let Some(connection) = Arc::get_mut(&mut self.0) {
            connection.client = client.clone();
        }
        Ok(self)
    }

    /// Counts the connection for the client of the request that made it a WebSocket.
    pub(super) fn upgraded(&self, client: &ClientAddress) -> Result<(), LimitExceeded> {
        if client.address() == self.0.client.address() { Ok(()) } else { self.count_for(client) }
    }

    fn count_for(&self, client: &ClientAddress) -> Result<(), LimitExceeded> {
        let of_address = Some(client.open_connection()?);
        let unauthenticated = client.is_limited().then(|| self.0.rules.unauthenticated.add(client.address(), &self.0.close));
        let before = std::mem::replace(&mut *self.counts(), ConnectionCounts { of_address, unauthenticated });
        drop(before);
        Ok(())
    }

    /// The client has proved who it is: the connection makes place for no other.
    pub(super) fn authenticated(&self) {
        let listed = self.counts().unauthenticated.take();
        drop(listed);
    }

    /// Returns when the connection has to make place for another one.
    pub(super) async fn must_close(&self) {
        self.0.close.notified().await;
        self.0.rules.metrics.connection_cut("made_place");
    }

    /// How many connections are left.
    pub(super) fn scarcity(&self) -> ConnectionScarcity {
        if self.0.permit.semaphore().available_permits() < (self.0.connections / 10) as usize {
            ConnectionScarcity::Crowded
        } else if self.capacity().is_short() {
            ConnectionScarcity::Short
        } else {
            ConnectionScarcity::None
        }
    }

    /// How many connections are open.
    pub(super) fn capacity(&self) -> &ConnectionCapacity {
        &self.0.rules.capacity
    }

    /// Returns when a connection has said nothing for too long, from now, in time in which the process runs.
    pub(super) async fn silence(&self, clock: &RunningClock) {
        let began_ms = clock.running_ms();
        loop {
            let silent_ms = clock.running_ms().saturating_sub(began_ms);
            if silent_ms >= SILENT_MS || (silent_ms >= SILENT_WHEN_SHORT_MS && self.capacity().is_short()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(SHORT_CHECK_MS)).await;
        }
        self.0.rules.metrics.connection_cut("silent");
    }

    fn counts(&self) -> MutexGuard<'_, ConnectionCounts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
