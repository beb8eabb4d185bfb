//! The connections to one gateway: few, long-lived, and opened only when they are needed.
//!
//! - A request takes the first connection with capacity; if none has any, one more is opened, up to [`ConnectionLimits::connections`], one at a
//!   time.
//! - A connection that receives GOAWAY is drained: its streams may end, and every other request takes another connection.
//! - A request that was certainly not processed is sent again, [`MAX_TRIES`] times in all; one that may have been processed never is.
//! - At most [`ConnectionLimits::requests`] wait or are in flight; further ones are rejected at once, and their caller retries later.
//! - After a failure to connect there is a pause, in which requests without a connection fail at once.
//! - Each connection's task belongs to [`ConnectionPool`] and ends with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tracing::warn;

use super::connect::Connect;
use super::connection::{ConnectionDriver, ConnectionEvent, GatewayConnection, RequestEnd, RequestError};
use super::connection_limits::ConnectionLimits;
use super::failure::FailureCause;
use super::response::{GatewayResponse, GatewaySendError};
use super::transport_fault::TransportFault;

/// How often a request is sent at most while the gateway says that it did not process it.
const MAX_TRIES: usize = 3;

/// Cheap to clone; the connections end with the last clone.
#[derive(Clone)]
pub(super) struct ConnectionPool {
    shared: Arc<ConnectionPoolShared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// What the connections' tasks share with requests.
struct ConnectionPoolShared {
    gateway: String,
    connect: Connect,
    limits: ConnectionLimits,
    request_permits: Semaphore,
    state: Mutex<ConnectionPoolState>,
    /// Notified when a connection may have capacity, or when opening one failed.
    changed: Notify,
}

#[derive(Default)]
struct ConnectionPoolState {
    connections: Vec<GatewayConnection>,
    is_opening: bool,
    /// Connections in a row that could not be opened, or ended without a response.
    failures: u32,
    not_before: Option<Instant>,
    /// The last of these failures.
    last_fault: Option<TransportFault>,
}

/// The right to one stream of a connection, given back when dropped.
struct StreamLease {
    connection: GatewayConnection,
    pool: Arc<ConnectionPoolShared>,
    end: RequestEnd,
}

impl ConnectionPool {
    /// `gateway` is the gateway's name in logs.
    pub(super) fn new(gateway: &str, connect: Connect, limits: ConnectionLimits) -> ConnectionPool {
        let (request_permits, state) = (Semaphore::new(limits.requests), Mutex::default());
        let shared = ConnectionPoolShared { gateway: gateway.to_owned(), connect, limits, request_permits, state, changed: Notify::new() };
        ConnectionPool { shared: Arc::new(shared), tasks: Arc::default() }
    }

    /// Sends a request. The caller bounds the time; a dropped call gives its stream back.
    pub(super) async fn send(&self, request: &Request<Bytes>) -> Result<GatewayResponse, GatewaySendError> {
        let Ok(_permit) = self.shared.request_permits.try_acquire() else {
            return Err(self.shared.not_sent(TransportFault::new(FailureCause::TooManyWaiting)));
        };
        for _ in 0..MAX_TRIES {
            let mut lease = self.lease().await?;
            match lease.connection.send(request.clone()).await {
                Ok(response) => {
                    lease.end = RequestEnd::Answered;
                    return Ok(response);
                }
                Err(RequestError::NotProcessed) => lease.end = RequestEnd::NotProcessed,
                Err(RequestError::Unknown(why)) => {
                    let fault = TransportFault::with_detail(FailureCause::ConnectionLost, why);
                    return Err(GatewaySendError::Unknown(fault.at(&self.shared.gateway)));
                }
            }
        }
        Err(self.shared.not_sent(TransportFault::with_detail(FailureCause::GatewayFailed, "the gateway processes no request")))
    }

    /// Waits for a stream.
    async fn lease(&self) -> Result<StreamLease, GatewaySendError> {
        loop {
            let mut changed = std::pin::pin!(self.shared.changed.notified());
            // From here on no notification is missed.
            changed.as_mut().enable();
            if let Some(lease) = self.try_lease()? {
                return Ok(lease);
            }
            changed.await;
        }
    }

    /// A stream if there is one now; if not, a connection is being opened, unless the limits forbid it.
    fn try_lease(&self) -> Result<Option<StreamLease>, GatewaySendError> {
        let mut state = self.shared.lock();
        if let Some(connection) = state.connections.iter().find(|connection| connection.has_capacity(&self.shared.limits)) {
            connection.acquire_stream();
            return Ok(Some(StreamLease { connection: connection.clone(), pool: self.shared.clone(), end: RequestEnd::Unanswered }));
        }
        if state.is_opening || state.connections.len() >= self.shared.limits.connections {
            return Ok(None);
        }
        let is_pausing = state.not_before.is_some_and(|until| Instant::now() < until);
        match (is_pausing, state.connections.is_empty()) {
            (true, true) => {
                let fault = state.last_fault.clone().unwrap_or_else(|| TransportFault::new(FailureCause::Unreachable));
                Err(self.shared.not_sent(fault))
            }
            (true, false) => Ok(None),
            (false, _) => {
                state.is_opening = true;
                drop(state);
                self.open_connection();
                Ok(None)
            }
        }
    }

    fn open_connection(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Finished tasks are removed, so that there are never more tasks than connections.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(run_connection(self.shared.clone()));
    }
}

/// A connection's task, from its opening to its end.
async fn run_connection(pool: Arc<ConnectionPoolShared>) {
    let opening = OpeningGuard(&pool);
    let opened = tokio::time::timeout(pool.limits.connect_timeout, open(&pool)).await;
    match opened.unwrap_or_else(|_| Err(TransportFault::new(FailureCause::Timeout))) {
        Err(fault) => {
            warn!(gateway = pool.gateway, cause = fault.cause.label(), %fault, "push gateway unreachable");
            opening.failed(fault);
        }
        Ok((connection, driver)) => {
            opening.opened(&connection);
            drive(&pool, &connection, driver).await;
        }
    }
}

async fn open(pool: &ConnectionPoolShared) -> Result<(GatewayConnection, ConnectionDriver), TransportFault> {
    GatewayConnection::open((pool.connect)().await?, pool.limits).await
}

async fn drive(pool: &ConnectionPoolShared, connection: &GatewayConnection, mut driver: ConnectionDriver) {
    loop {
        match driver.next_event().await {
            ConnectionEvent::StreamLimit => pool.changed.notify_waiters(),
            ConnectionEvent::Draining => pool.remove_draining(connection),
            ConnectionEvent::Idle if pool.remove_if_unused(connection) => return,
            ConnectionEvent::Idle => {}
            ConnectionEvent::Closed => return pool.remove_closed(connection),
        }
    }
}

/// Exists while a connection is being opened. Dropped before [`OpeningGuard::opened`], for whatever reason, it counts a failure.
struct OpeningGuard<'a>(&'a ConnectionPoolShared);

impl OpeningGuard<'_> {
    fn opened(self, connection: &GatewayConnection) {
        let mut state = self.0.lock();
        state.is_opening = false;
        state.connections.push(connection.clone());
        drop(state);
        self.0.changed.notify_waiters();
        std::mem::forget(self);
    }

    fn failed(self, fault: TransportFault) {
        self.0.lock().last_fault = Some(fault);
        drop(self);
    }
}

impl Drop for OpeningGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_opening = false;
        self.0.count_failure(&mut state);
        drop(state);
        self.0.changed.notify_waiters();
    }
}

impl ConnectionPoolShared {
    fn lock(&self) -> MutexGuard<'_, ConnectionPoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a request that was not sent; it names the gateway.
    fn not_sent(&self, fault: TransportFault) -> GatewaySendError {
        GatewaySendError::NotSent(fault.at(&self.gateway))
    }

    fn count_failure(&self, state: &mut ConnectionPoolState) {
        state.failures = state.failures.saturating_add(1);
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        state.not_before = Some(Instant::now() + self.limits.pause(state.failures, chance));
    }

    fn remove_draining(&self, connection: &GatewayConnection) {
        connection.drain();
        self.lock().connections.retain(|other| !other.is_same(connection));
        self.changed.notify_waiters();
    }

    /// Requests acquire streams under the same lock, so a connection that is unused here stays unused.
    fn remove_if_unused(&self, connection: &GatewayConnection) -> bool {
        let mut state = self.lock();
        let unused = connection.is_idle();
        if unused {
            state.connections.retain(|other| !other.is_same(connection));
        }
        unused
    }

    /// A connection that ends without a single response counts as a failure: reconnecting at full speed would not help.
    fn remove_closed(&self, connection: &GatewayConnection) {
        connection.drain();
        let mut state = self.lock();
        state.connections.retain(|other| !other.is_same(connection));
        match connection.has_answered() {
            true => (state.failures, state.not_before) = (0, None),
            false => {
                state.last_fault = Some(TransportFault::with_detail(FailureCause::ConnectionLost, "before the first answer"));
                self.count_failure(&mut state);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        self.connection.release_stream(self.end);
        self.pool.changed.notify_one();
    }
}
