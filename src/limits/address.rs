//! What one client address has taken, and whether it may take more.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering};

use super::config::AddressLimits;
use super::rate::{Allowance, Postponed, TakenRate};
use super::{LimitExceeded, LimitedUse};

/// How long a client that had a token refused waits for another one while its pool has had too many, in seconds.
const FAILURE_S: u64 = 60;

/// How many seconds have numbers of their own, from 1 on.
const SECONDS: u64 = u16::MAX as u64;

/// What all addresses of a table share.
#[derive(Debug)]
pub(super) struct SharedLimits {
    pub(super) limits: AddressLimits,
    /// How many of each part of the table have an open connection.
    connected: Box<[AtomicUsize]>,
}

impl SharedLimits {
    pub(super) fn new(limits: AddressLimits, shards: usize) -> SharedLimits {
        SharedLimits { limits, connected: (0..shards).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// How many addresses of a part of the table have an open connection.
    pub(super) fn connected(&self, shard: u8) -> usize {
        self.connected[usize::from(shard)].load(Ordering::Relaxed)
    }
}

/// What a client, or a site of IPv6, has taken.
#[derive(Debug)]
pub(super) struct AddressUse {
    shared: Arc<SharedLimits>,
    /// How many addresses' worth it may take.
    share: u8,
    /// The part of the table that has it.
    shard: u8,
    /// The number of the second in which the client's last token was refused; 0: none was. After 18 hours it looks new for a minute, which matters only
    /// while a pool has had too many.
    failed_s: AtomicU16,
    connections: AtomicU32,
    handshakes: TakenRate,
    refused_tokens: TakenRate,
    bytes: TakenRate,
    /// What the client takes counts for its site, too.
    site: Option<Arc<AddressUse>>,
}

impl AddressUse {
    pub(super) fn new(shared: Arc<SharedLimits>, share: u8, shard: u8, site: Option<Arc<AddressUse>>) -> AddressUse {
        let (failed_s, connections, handshakes, refused_tokens, bytes) = Default::default();
        AddressUse { shared, share, shard, failed_s, connections, handshakes, refused_tokens, bytes, site }
    }

    /// How long it takes until all that it took is paid for, in nanoseconds; 0: it is as good as a new one.
    pub(super) fn owed_ns(&self, now_ms: u64) -> u64 {
        [&self.handshakes, &self.refused_tokens, &self.bytes].iter().map(|rate| rate.owed_ns(now_ms)).max().unwrap_or(0)
    }

    fn connection_opened(&self) {
        if self.connections.fetch_add(1, Ordering::Relaxed) == 0 {
            self.connected_of_shard().fetch_add(1, Ordering::Relaxed);
        }
    }

    fn connection_closed(&self) {
        if self.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.connected_of_shard().fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn connected_of_shard(&self) -> &AtomicUsize {
        &self.shared.connected[usize::from(self.shard)]
    }

    fn handshakes_allowance(&self) -> Allowance {
        Allowance::per_s(u64::from(self.shared.limits.handshakes_per_s)).times(self.share)
    }

    fn refused_tokens_allowance(&self) -> Allowance {
        Allowance::per_min(u64::from(self.shared.limits.refused_tokens_per_min)).times(self.share)
    }

    fn bytes_allowance(&self) -> Allowance {
        Allowance::per_s(self.shared.limits.bytes_per_s).times(self.share)
    }

    /// The client and its site.
    fn both(&self) -> impl Iterator<Item = &AddressUse> {
        std::iter::once(self).chain(self.site.as_deref())
    }
}

/// A client by its address. Cheap to clone, and small: every session has one.
#[derive(Clone, Debug)]
pub struct ClientAddress {
    /// An address of IPv4 in its form of IPv6.
    address: Ipv6Addr,
    /// `None`: the address has no limits.
    used: Option<Arc<AddressUse>>,
}

/// A connection of an address, until it is dropped.
#[derive(Debug)]
pub struct AddressConnection(Option<Arc<AddressUse>>);

impl Drop for AddressConnection {
    fn drop(&mut self) {
        if let Some(used) = &self.0 {
            used.both().for_each(AddressUse::connection_closed);
        }
    }
}

impl ClientAddress {
    /// A client whose address has no limits.
    pub fn without_limits(address: IpAddr) -> ClientAddress {
        ClientAddress { address: mapped(address), used: None }
    }

    pub(super) fn limited(address: IpAddr, used: Arc<AddressUse>) -> ClientAddress {
        ClientAddress { address: mapped(address), used: Some(used) }
    }

    pub fn address(&self) -> IpAddr {
        self.address.to_canonical()
    }

    /// Whether the address has limits.
    pub fn is_limited(&self) -> bool {
        self.used.is_some()
    }

    /// Whether what either of them takes counts for the other.
    pub fn is_counted_with(&self, other: &ClientAddress) -> bool {
        match (&self.used, &other.used) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Counts one more connection.
    pub fn open_connection(&self) -> Result<AddressConnection, LimitExceeded> {
        let Some(used) = &self.used else { return Ok(AddressConnection(None)) };
        used.both().for_each(AddressUse::connection_opened);
        // From here on it is taken back when it is dropped.
        let counted = AddressConnection(Some(Arc::clone(used)));
        let limit = used.shared.limits.connections;
        let is_over = |one: &AddressUse| one.connections.load(Ordering::Relaxed) > limit.saturating_mul(one.share.into());
        match limit > 0 && used.both().any(is_over) {
            true => Err(LimitExceeded::while_open(LimitedUse::AddressConnections)),
            false => Ok(counted),
        }
    }

    /// Takes one handshake, or one request with a token. A refusal takes nothing, neither of the client nor of its site.
    pub fn take_handshake(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        let Some(used) = &self.used else { return Ok(()) };
        let take = |one: &AddressUse| one.handshakes.take(one.handshakes_allowance(), now_ms);
        let taken = match &used.site {
            None => take(used),
            Some(site) => site.handshakes.check(site.handshakes_allowance(), now_ms).and_then(|()| take(used)).and_then(|()| take(site)),
        };
        taken.map_err(|postponed| LimitExceeded::after(LimitedUse::AddressHandshakes, postponed))
    }

    /// Whether another token is looked at: not while too many were refused.
    pub fn check_tokens(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        self.check(LimitedUse::AddressRefusedTokens, |one| one.refused_tokens.check(one.refused_tokens_allowance(), now_ms))
    }

    /// Counts a token that was refused.
    pub fn token_refused(&self, now_ms: u64) {
        self.charge(|one| one.refused_tokens.charge(one.refused_tokens_allowance(), now_ms, 1));
        if let Some(used) = &self.used {
            used.failed_s.store(second(now_ms), Ordering::Relaxed);
        }
    }

    /// How long it takes until the last token of this address that was refused is a minute ago; `None`: it is.
    pub(super) fn failed_lately(&self, now_ms: u64) -> Option<Postponed> {
        let failed_s = self.used.as_ref()?.failed_s.load(Ordering::Relaxed);
        let ago_s = (u64::from(second(now_ms)) + SECONDS - u64::from(failed_s)) % SECONDS;
        (failed_s > 0 && ago_s < FAILURE_S).then(|| Postponed { wait_ms: (FAILURE_S - ago_s) * 1000 })
    }

    /// Whether more bytes are read now.
    pub fn check_bytes(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        self.check(LimitedUse::AddressBytes, |one| one.bytes.check(one.bytes_allowance(), now_ms))
    }

    /// Counts bytes that were received.
    pub fn charge_bytes(&self, now_ms: u64, bytes: u64) {
        self.charge(|one| one.bytes.charge(one.bytes_allowance(), now_ms, bytes));
    }

    fn check(&self, what: LimitedUse, check: impl FnMut(&AddressUse) -> Result<(), Postponed>) -> Result<(), LimitExceeded> {
        let Some(used) = &self.used else { return Ok(()) };
        used.both().try_for_each(check).map_err(|postponed| LimitExceeded::after(what, postponed))
    }

    fn charge(&self, charge: impl FnMut(&AddressUse)) {
        if let Some(used) = &self.used {
            used.both().for_each(charge);
        }
    }
}

/// The number of a time's second, which comes again after [`SECONDS`].
fn second(now_ms: u64) -> u16 {
    (now_ms / 1000 % SECONDS + 1) as u16
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::super::ClientAddresses;
    use super::*;

    fn client(limits: AddressLimits) -> ClientAddress {
        ClientAddresses::new(limits).client("192.0.2.7".parse().expect("an address"), 0)
    }

    #[test]
    fn connections_are_counted_while_they_are_open() {
        let client = client(AddressLimits { connections: 2, ..AddressLimits::default() });
        let first = client.open_connection().expect("the first");
        let _second = client.open_connection().expect("the second");
        for _ in 0..10 {
            let refused = client.open_connection().expect_err("a third");
            assert_eq!((refused.what.code(), refused.retry_after_ms), ("address_connections", 10_000));
        }
        drop(first);
        assert!(client.open_connection().is_ok());
    }

    #[test]
    fn a_handshake_that_is_refused_takes_nothing() {
        let addresses = ClientAddresses::new(AddressLimits { handshakes_per_s: 1, ..AddressLimits::default() });
        let of_subnet = |subnet: u16| addresses.client(Ipv6Addr::new(0x2001, 0xdb8, 7, subnet, 0, 0, 0, 1).into(), 0);
        let flood = of_subnet(1);
        assert_eq!((0..1000).filter(|_| flood.take_handshake(0).is_ok()).count(), 10);
        let others: usize = (2..1000).map(of_subnet).filter(|client| client.take_handshake(0).is_ok()).count();
        assert_eq!(others, 150, "a client over its limit takes nothing of its site");
        let late = of_subnet(2000);
        assert!((0..1000).all(|_| late.take_handshake(0).is_err()), "the site has had its share");
        let taken = (0..20).filter(|_| late.take_handshake(10_000).is_ok()).count();
        assert_eq!(taken, 10, "its site's refusals took nothing of the client");
    }

    #[test]
    fn a_client_and_its_connection_are_small() {
        assert!(size_of::<ClientAddress>() <= 24 && size_of::<AddressConnection>() <= 8, "each session has one of both");
        assert!(size_of::<AddressUse>() <= 48, "with the counts of its references a block of 64 bytes");
    }

    #[test]
    fn after_many_refused_tokens_none_is_looked_at_for_a_while() {
        let client = client(AddressLimits { refused_tokens_per_min: 60, ..AddressLimits::default() });
        (0..10).for_each(|_| client.token_refused(0));
        let refused = client.check_tokens(0).expect_err("ten were refused");
        assert_eq!((refused.what, refused.retry_after_ms), (LimitedUse::AddressRefusedTokens, 1_000));
        assert!(client.check_tokens(1_000).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let limits =
            AddressLimits { connections: 0, handshakes_per_s: 0, refused_tokens_per_min: 0, bytes_per_s: 0, ..AddressLimits::default() };
        let client = client(limits);
        let open: Vec<_> = (0..10_000).map(|_| client.open_connection()).collect();
        assert!(open.iter().all(Result::is_ok));
        client.charge_bytes(0, u64::MAX);
        (0..10_000).for_each(|_| client.token_refused(0));
        assert!((0..10_000).all(|_| client.take_handshake(0).is_ok()));
        assert!(client.check_bytes(0).is_ok() && client.check_tokens(0).is_ok());
    }
}
