//! What holds for the connections of a server: who their clients are, how many may be open, and how long one may say nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, header};
use tracing::{info, warn};

use super::proxies::{ProxiesConfig, ProxyProtocol, RequestPeer};
use super::unauthenticated::UnauthenticatedConnections;
use crate::limits::{AddressLimits, ClientAddress, ClientAddresses, ConnectionCapacity, LimitExceeded};
use crate::metrics::Metrics;

/// Clones share everything.
#[derive(Clone)]
pub struct ConnectionRules(Arc<RulesInUse>);

struct RulesInUse {
    addresses: ClientAddresses,
    proxies: ProxiesConfig,
    has_warned_of_unknown_proxy: AtomicBool,
    has_warned_of_silence: AtomicBool,
    unauthenticated: UnauthenticatedConnections,
    capacity: ConnectionCapacity,
    metrics: Metrics,
}

impl ConnectionRules {
    /// `connections`: how many may be open.
    pub fn new(limits: AddressLimits, proxies: ProxiesConfig, connections: u32, metrics: Metrics) -> ConnectionRules {
        ConnectionRules(Arc::new(RulesInUse {
            addresses: ClientAddresses::new(limits),
            proxies,
            has_warned_of_unknown_proxy: AtomicBool::new(false),
            has_warned_of_silence: AtomicBool::new(false),
            unauthenticated: UnauthenticatedConnections::default(),
            capacity: ConnectionCapacity::new(connections),
            metrics,
        }))
    }

    pub(super) fn unauthenticated(&self) -> &UnauthenticatedConnections {
        &self.0.unauthenticated
    }

    pub(super) fn capacity(&self) -> &ConnectionCapacity {
        &self.0.capacity
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether a connection is one of a trusted proxy, which carries the requests of many clients.
    pub(super) fn is_of_proxy(&self, client: &ClientAddress) -> bool {
        !client.is_limited() && self.0.proxies.is_trusted(client.address())
    }

    /// The client of a connection, as far as its peer says. The connections of a trusted proxy have no limits.
    pub(super) fn connection_client(&self, peer: IpAddr, now_ms: u64) -> ClientAddress {
        match self.0.proxies.is_trusted(peer) {
            true => ClientAddress::without_limits(peer),
            false => self.0.addresses.client(peer, now_ms),
        }
    }

    /// Whether a connection of this peer begins with a header of the PROXY protocol.
    pub(super) fn expects_proxy_header(&self, peer: IpAddr) -> bool {
        self.0.proxies.protocol == ProxyProtocol::ProxyV2 && self.0.proxies.is_trusted(peer)
    }

    /// The client of a connection of this proxy that has no address which can be read.
    pub(super) fn unnamed_client(&self, proxy: IpAddr, now_ms: u64) -> ClientAddress {
        self.0.addresses.limited_client(proxy, now_ms)
    }

    /// The client of a request on a connection of this client.
    pub(super) fn request_client(&self, connection: &ClientAddress, headers: &HeaderMap, now_ms: u64) -> ClientAddress {
        if !self.is_of_proxy(connection) {
            self.warn_of_untrusted_proxy(connection, headers);
            return connection.clone();
        }
        match self.0.proxies.client_behind(connection.address(), headers) {
            RequestPeer::Client(address) => self.0.addresses.client(address, now_ms),
            RequestPeer::Unnamed(proxy) => self.unnamed_client(proxy, now_ms),
            RequestPeer::Proxy(address) => {
                self.warn_of_silent_proxy(address, headers);
                self.0.addresses.client(address, now_ms)
            }
        }
    }

    /// Counts and logs a connection that was refused.
    pub(super) fn refused(&self, client: &ClientAddress, exceeded: LimitExceeded) {
        self.0.metrics.limit_exceeded(exceeded.what.code());
        info!(address = %client.address(), limit = exceeded.what.code(), "connection refused: over a limit");
    }

    /// Says once that a proxy's clients are limited as one. A client on the internet can send the header too, and says nothing by that.
    fn warn_of_untrusted_proxy(&self, peer: &ClientAddress, headers: &HeaderMap) {
        let is_near = match peer.address() {
            IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
            IpAddr::V6(address) => address.is_unique_local() || address.is_loopback() || address.is_unicast_link_local(),
        };
        if is_near && ProxiesConfig::is_forwarded(headers) && !self.0.has_warned_of_unknown_proxy.swap(true, Ordering::Relaxed) {
            let so =
                if peer.is_limited() { "to the limits they are all one client" } else { "they have no limits, as its address has none" };
            warn!(address = %peer.address(), "a proxy that is not in proxies.trusted names its clients: the header is not read, so {so}");
        }
    }

    /// Says once that a trusted proxy passes on requests of devices or operators, and names nobody.
    fn warn_of_silent_proxy(&self, proxy: IpAddr, headers: &HeaderMap) {
        let is_passed_on = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::UPGRADE);
        if is_passed_on && !self.0.has_warned_of_silence.swap(true, Ordering::Relaxed) {
            warn!(%proxy, "a proxy in proxies.trusted names no client in proxies.header: to the limits all its clients are one");
        }
    }
}
