//! A connection's share of the connections that may be open, of all and of its client's address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Extensions;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::deadlines::{ConnectionScarcity, SILENT_MS, SILENT_WHEN_SHORT_MS};
use super::rules::ConnectionRules;
use super::unauthenticated::ListedConnection;
use crate::clock::RunningClock;
use crate::limits::{AddressConnection, ClientAddress, ConnectionCapacity, ConnectionPlace, LimitExceeded};

/// How often is looked whether connections are short, in milliseconds.
const SHORT_CHECK_MS: u64 = 1_000;

/// Counts a connection against the configured `connections` until the last clone is dropped, or what it became counts itself.
#[derive(Clone)]
pub(super) struct ConnectionPermit(Arc<PermittedConnection>);

struct PermittedConnection {
    rules: ConnectionRules,
    client: ClientAddress,
    /// Notified when the connection has to make place for another one.
    close: Arc<Notify>,
    counts: Mutex<ConnectionCounts>,
}

/// Where the connection is counted.
struct ConnectionCounts {
    /// `None`: what the connection became counts itself.
    open: Option<ConnectionCount>,
    unauthenticated: Option<ListedConnection>,
}

/// All that is left of a permit when its client has proved who it is: a connection, of all and of its client's address, until it is dropped.
pub(super) struct ConnectionCount {
    of_address: AddressConnection,
    _place: ConnectionPlace,
    _permit: OwnedSemaphorePermit,
}

impl ConnectionPermit {
    /// The connection of a request, and the request's client, which a proxy may have named.
    pub(super) fn of_request(extensions: &Extensions) -> Option<(ConnectionPermit, ClientAddress)> {
        Some((extensions.get::<ConnectionPermit>()?.clone(), extensions.get::<ClientAddress>()?.clone()))
    }

    /// For a connection of a client that `of_address` counts.
    pub(super) fn new(
        permit: OwnedSemaphorePermit,
        rules: ConnectionRules,
        client: ClientAddress,
        of_address: AddressConnection,
    ) -> ConnectionPermit {
        let close = Arc::default();
        // A connection of a proxy that makes place would take the requests of many with it.
        let unauthenticated = (!rules.is_of_proxy(&client)).then(|| rules.unauthenticated().add(client.address(), &close));
        let open = Some(ConnectionCount { of_address, _place: rules.capacity().open(), _permit: permit });
        let counts = Mutex::new(ConnectionCounts { open, unauthenticated });
        ConnectionPermit(Arc::new(PermittedConnection { rules, client, close, counts }))
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
        let rules = self.rules();
        let listed = (!rules.is_of_proxy(client)).then(|| rules.unauthenticated().add(client.address(), &self.0.close));
        self.count_for(client, listed)?;
        if let Some(connection) = Arc::get_mut(&mut self.0) {
            connection.client = client.clone();
        }
        Ok(self)
    }

    /// Counts the connection for the client of the request that made it a WebSocket: from here on it carries nobody else's requests.
    pub(super) fn upgraded(&self, client: &ClientAddress) -> Result<(), LimitExceeded> {
        let is_counted = client.is_counted_with(&self.0.client) && !self.0.rules.is_of_proxy(&self.0.client);
        match is_counted {
            true => Ok(()),
            false => self.count_for(client, Some(self.rules().unauthenticated().add(client.address(), &self.0.close))),
        }
    }

    fn count_for(&self, client: &ClientAddress, unauthenticated: Option<ListedConnection>) -> Result<(), LimitExceeded> {
        let of_address = client.open_connection()?;
        let mut counts = self.counts();
        let before = counts.open.as_mut().map(|open| std::mem::replace(&mut open.of_address, of_address));
        let listed = std::mem::replace(&mut counts.unauthenticated, unauthenticated);
        drop(counts);
        drop((before, listed));
        Ok(())
    }

    /// The client has proved who it is: the connection makes place for no other.
    pub(super) fn authenticated(&self) {
        let listed = self.counts().unauthenticated.take();
        drop(listed);
    }

    /// The same for a connection that became a session, which counts it.
    pub(super) fn into_counted(self) -> Option<ConnectionCount> {
        self.authenticated();
        self.counts().open.take()
    }

    /// Returns when the connection has to make place for another one.
    pub(super) async fn must_close(&self) {
        self.0.close.notified().await;
        self.0.rules.metrics().connection_cut("made_place");
    }

    /// How many connections are left.
    pub(super) fn scarcity(&self) -> ConnectionScarcity {
        if self.capacity().is_crowded() {
            ConnectionScarcity::Crowded
        } else if self.capacity().is_short() {
            ConnectionScarcity::Short
        } else {
            ConnectionScarcity::None
        }
    }

    /// How many connections are open.
    pub(super) fn capacity(&self) -> &ConnectionCapacity {
        self.0.rules.capacity()
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
        self.0.rules.metrics().connection_cut("silent");
    }

    fn counts(&self) -> MutexGuard<'_, ConnectionCounts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
