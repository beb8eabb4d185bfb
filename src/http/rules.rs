//! What holds for the connections of a server: who their clients are, how many may be open, and how long one may say nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::HeaderMap;
use tracing::{info, warn};

use super::proxies::{ProxiesConfig, ProxyProtocol, RequestPeer};
use super::unauthenticated::UnauthenticatedConnections;
use crate::limits::{AddressLimits, ClientAddress, ClientAddresses, ConnectionCapacity, LimitExceeded};
use crate::metrics::Metrics;

/// Cheap to clone.
#[derive(Clone)]
pub struct ConnectionRules {
    addresses: ClientAddresses,
    proxies: Arc<ProxiesConfig>,
    has_warned: Arc<AtomicBool>,
    pub(super) unauthenticated: UnauthenticatedConnections,
    pub(super) capacity: ConnectionCapacity,
    pub(super) metrics: Metrics,
}

impl ConnectionRules {
    /// `connections`: how many may be open.
    pub fn new(limits: AddressLimits, proxies: ProxiesConfig, connections: u32, metrics: Metrics) -> ConnectionRules {
        ConnectionRules {
            addresses: ClientAddresses::new(limits),
            proxies: Arc::new(proxies),
            has_warned: Arc::default(),
            unauthenticated: UnauthenticatedConnections::default(),
            capacity: ConnectionCapacity::new(connections),
            metrics,
        }
    }

    /// The client of a connection, as far as its peer says. A trusted proxy has no limits itself.
    pub(super) fn connection_client(&self, peer: IpAddr, now_ms: u64) -> ClientAddress {
        match self.proxies.is_trusted(peer) {
            true => ClientAddress::without_limits(peer),
            false => self.addresses.client(peer, now_ms),
        }
    }

    /// Whether a connection of this peer begins with a header of the PROXY protocol.
    pub(super) fn expects_proxy_header(&self, peer: IpAddr) -> bool {
        self.proxies.protocol == ProxyProtocol::ProxyV2 && self.proxies.is_trusted(peer)
    }

    /// The client of a request on a connection of this client.
    pub(super) fn request_client(&self, connection: &ClientAddress, headers: &HeaderMap, now_ms: u64) -> ClientAddress {
        match self.proxies.client_of(connection.address(), headers) {
            RequestPeer::Proxy(address) => ClientAddress::without_limits(address),
            RequestPeer::Client(address) if address == connection.address() && !self.proxies.is_trusted(address) => {
                self.warn_of_untrusted_proxy(connection, headers);
                connection.clone()
            }
            RequestPeer::Client(address) => self.addresses.client(address, now_ms),
        }
    }

    /// Counts and logs a connection that was refused.
    pub(super) fn refused(&self, client: &ClientAddress, exceeded: LimitExceeded) {
        self.metrics.limit_exceeded(exceeded.what.code());
        info!(address = %client.address(), limit = exceeded.what.code(), "connection refused: over a limit");
    }

    /// Says once that a proxy's clients are limited as one. A client on the internet can send the header too, and says nothing by that.
    fn warn_of_untrusted_proxy(&self, peer: &ClientAddress, headers: &HeaderMap) {
        let is_near = match peer.address() {
            IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
            IpAddr::V6(address) => address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local(),
        };
        if is_near && ProxiesConfig::is_forwarded(headers) && !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(
                address = %peer.address(),
                "a proxy that is not in proxies.trusted names its clients: the header is not read, so to the limits they are all one client"
            );
        }
    }
}
