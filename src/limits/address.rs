//! What one client address has taken, and whether it may take more.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::config::AddressLimits;
use super::rate::{Allowance, TakenRate};
use super::{LimitExceeded, LimitedUse};

/// What a client, or a site of IPv6, has taken.
#[derive(Debug)]
pub(super) struct AddressUse {
    /// How many addresses' worth it may take.
    share: u32,
    connections: AtomicU32,
    handshakes: TakenRate,
    refused_tokens: TakenRate,
    bytes: TakenRate,
    /// What the client takes counts for its site, too.
    site: Option<Arc<AddressUse>>,
}

impl AddressUse {
    pub(super) fn new(share: u32, site: Option<Arc<AddressUse>>) -> AddressUse {
        let (handshakes, refused_tokens, bytes) = Default::default();
        AddressUse { share, connections: AtomicU32::new(0), handshakes, refused_tokens, bytes, site }
    }

    /// Whether it is as good as a new one.
    pub(super) fn is_whole(&self, now_ms: u64) -> bool {
        [&self.handshakes, &self.refused_tokens, &self.bytes].iter().all(|rate| rate.is_whole(now_ms))
    }

    /// The client and its site.
    fn both(&self) -> impl Iterator<Item = &AddressUse> {
        std::iter::once(self).chain(self.site.as_deref())
    }
}

/// A client by its address. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientAddress {
    address: IpAddr,
    /// `None`: the address has no limits.
    counted: Option<CountedAddress>,
}

/// An address that has limits.
#[derive(Clone, Debug)]
struct CountedAddress {
    limits: Arc<AddressLimits>,
    used: Arc<AddressUse>,
}

/// A connection of an address, until it is dropped.
#[derive(Debug)]
pub struct AddressConnection(Option<Arc<AddressUse>>);

impl Drop for AddressConnection {
    fn drop(&mut self) {
        if let Some(used) = &self.0 {
            for one in used.both() {
                one.connections.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl ClientAddress {
    /// A client whose address has no limits.
    pub fn without_limits(address: IpAddr) -> ClientAddress {
        ClientAddress { address: address.to_canonical(), counted: None }
    }

    pub(super) fn limited(address: IpAddr, limits: Arc<AddressLimits>, used: Arc<AddressUse>) -> ClientAddress {
        ClientAddress { address, counted: Some(CountedAddress { limits, used }) }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether the address has limits.
    pub fn is_limited(&self) -> bool {
        self.counted.is_some()
    }

    /// Counts one more connection.
    pub fn open_connection(&self) -> Result<AddressConnection, LimitExceeded> {
        let Some(CountedAddress { limits, used }) = &self.counted else { return Ok(AddressConnection(None)) };
        for one in used.both() {
            one.connections.fetch_add(1, Ordering::Relaxed);
        }
        // From here on it is taken back when it is dropped.
        let counted = AddressConnection(Some(Arc::clone(used)));
        let is_over = |one: &AddressUse| one.connections.load(Ordering::Relaxed) > limits.connections.saturating_mul(one.share);
        match limits.connections > 0 && used.both().any(is_over) {
            true => Err(LimitExceeded::while_open(LimitedUse::AddressConnections)),
            false => Ok(counted),
        }
    }

    /// Takes one handshake, or one request with a token.
    pub fn take_handshake(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        let Some(CountedAddress { limits, used }) = &self.counted else { return Ok(()) };
        let allowance = Allowance::per_s(u64::from(limits.handshakes_per_s));
        let taken = used.both().try_for_each(|one| one.handshakes.take(allowance.times(one.share), now_ms));
        taken.map_err(|postponed| LimitExceeded::after(LimitedUse::AddressHandshakes, postponed))
    }

    /// Whether another token is looked at: not while too many were refused.
    pub fn check_tokens(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        let Some(CountedAddress { limits, used }) = &self.counted else { return Ok(()) };
        let allowance = Allowance::per_min(u64::from(limits.refused_tokens_per_min));
        let checked = used.both().try_for_each(|one| one.refused_tokens.check(allowance.times(one.share), now_ms));
        checked.map_err(|postponed| LimitExceeded::after(LimitedUse::AddressRefusedTokens, postponed))
    }

    /// Counts a token that was refused.
    pub fn token_refused(&self, now_ms: u64) {
        if let Some(CountedAddress { limits, used }) = &self.counted {
            let allowance = Allowance::per_min(u64::from(limits.refused_tokens_per_min));
            used.both().for_each(|one| one.refused_tokens.charge(allowance.times(one.share), now_ms, 1));
        }
    }

    /// Whether more bytes are read now.
    pub fn check_bytes(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        let Some(CountedAddress { limits, used }) = &self.counted else { return Ok(()) };
        let allowance = Allowance::per_s(limits.bytes_per_s);
        let checked = used.both().try_for_each(|one| one.bytes.check(allowance.times(one.share), now_ms));
        checked.map_err(|postponed| LimitExceeded::after(LimitedUse::AddressBytes, postponed))
    }

    /// Counts bytes that were received.
    pub fn charge_bytes(&self, now_ms: u64, bytes: u64) {
        if let Some(CountedAddress { limits, used }) = &self.counted {
            let allowance = Allowance::per_s(limits.bytes_per_s);
            used.both().for_each(|one| one.bytes.charge(allowance.times(one.share), now_ms, bytes));
        }
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
