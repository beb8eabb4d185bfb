//! The addresses that use the server, each with what it has taken so far. Bounded, whatever addresses come.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::address::{AddressUse, ClientAddress, SharedLimits};
use super::config::AddressLimits;
use super::network::{NETWORK_SHARE, NetworkKey};

/// How many addresses the table keeps beside those that have an open connection. One takes about 160 bytes, so 10 MiB in all.
pub const TABLE_ADDRESSES: usize = 64 * 1024;

/// How many parts the table has, each with a lock of its own.
const SHARDS: u8 = 16;

/// How many addresses that nothing uses are looked at to make place for a new one.
const LOOKED_AT: usize = 8;

/// How many addresses in use are put aside meanwhile. Each one is put aside once while it is in use, so this bounds the work of one call.
const PUT_ASIDE: usize = 64;

/// All addresses. Clones share them.
#[derive(Clone, Debug)]
pub struct ClientAddresses {
    shared: Arc<SharedLimits>,
    hasher: RandomState,
    shards: Arc<[Mutex<AddressShard>]>,
    shard_addresses: usize,
}

#[derive(Debug, Default)]
struct AddressShard {
    addresses: HashMap<NetworkKey, Arc<AddressUse>>,
    /// The keys in the order in which they are looked at for eviction; those of `in_use` are the others.
    order: VecDeque<NetworkKey>,
    /// The keys that were in use when they were last looked at.
    in_use: VecDeque<NetworkKey>,
}

impl ClientAddresses {
    pub fn new(limits: AddressLimits) -> ClientAddresses {
        ClientAddresses::with_places(limits, TABLE_ADDRESSES)
    }

    fn with_places(limits: AddressLimits, addresses: usize) -> ClientAddresses {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let shared = Arc::new(SharedLimits::new(limits, SHARDS.into()));
        ClientAddresses { shared, hasher: RandomState::new(), shards, shard_addresses: addresses.div_ceil(SHARDS.into()) }
    }

    /// The client that has this address.
    pub fn client(&self, address: IpAddr, now_ms: u64) -> ClientAddress {
        match self.shared.limits.is_exempt(address.to_canonical()) {
            true => ClientAddress::without_limits(address),
            false => self.limited_client(address, now_ms),
        }
    }

    /// The same, with limits also for an address that has none: for the clients that a proxy does not tell apart.
    pub fn limited_client(&self, address: IpAddr, now_ms: u64) -> ClientAddress {
        let (client, site) = (NetworkKey::of_client(address), NetworkKey::of_site(address));
        let site = (client != site).then(|| self.find(site, NETWORK_SHARE, None, now_ms));
        ClientAddress::limited(address, self.find(client, 1, site, now_ms))
    }

    fn find(&self, key: NetworkKey, share: u8, site: Option<Arc<AddressUse>>, now_ms: u64) -> Arc<AddressUse> {
        let number = (self.hasher.hash_one(key) % u64::from(SHARDS)) as u8;
        let mut shard = self.shards[usize::from(number)].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.addresses.get(&key) {
            return Arc::clone(found);
        }
        // Addresses with a connection take no place of another one: those bound themselves, and a server of many devices must not forget who owes.
        shard.evict(self.shard_addresses + self.shared.connected(number), now_ms);
        let new = Arc::new(AddressUse::new(Arc::clone(&self.shared), share, number, site));
        shard.addresses.insert(key, Arc::clone(&new));
        shard.order.push_back(key);
        new
    }

    #[cfg(test)]
    fn queued(&self) -> usize {
        let queued = |shard: &AddressShard| shard.order.len() + shard.in_use.len();
        self.shards.iter().map(|shard| queued(&shard.lock().expect("no panic"))).sum()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().expect("no panic").addresses.len()).sum()
    }
}

impl AddressShard {
    /// Makes place for a new address: of those that are looked at, all go that nothing uses and that owe nothing, until there is place, or else the
    /// one that owes least. Who owes most is over a limit, and must not be forgotten because many others come. Addresses in use stay, and the shard
    /// grows by them: each has a connection or a request, and those are bounded.
    fn evict(&mut self, places: usize, now_ms: u64) {
        self.take_back();
        let mut owes_least: Option<(u64, NetworkKey)> = None;
        let (mut looked_at, mut put_aside) = (0, 0);
        while self.addresses.len() >= places && looked_at < LOOKED_AT {
            if put_aside == PUT_ASIDE {
                // Too few were compared to say who owes least.
                return self.order.extend(owes_least.map(|(_, key)| key));
            }
            let Some(key) = self.order.pop_front() else { break };
            let Some(used) = self.addresses.get(&key) else { continue };
            if is_in_use(used) {
                put_aside += 1;
                self.in_use.push_back(key);
                continue;
            }
            looked_at += 1;
            match used.owed_ns(now_ms) {
                0 => drop(self.addresses.remove(&key)),
                owed_ns if owes_least.is_none_or(|(least_ns, _)| owed_ns < least_ns) => {
                    self.order.extend(owes_least.replace((owed_ns, key)).map(|(_, key)| key));
                }
                _ => self.order.push_back(key),
            }
        }
        match owes_least {
            Some((_, key)) if self.addresses.len() >= places => drop(self.addresses.remove(&key)),
            other => self.order.extend(other.map(|(_, key)| key)),
        }
    }

    /// Looks at some of the addresses that were in use: those that nothing uses any more may go.
    fn take_back(&mut self) {
        for _ in 0..LOOKED_AT.min(self.in_use.len()) {
            let Some(key) = self.in_use.pop_front() else { break };
            let queue = if self.addresses.get(&key).is_some_and(is_in_use) { &mut self.in_use } else { &mut self.order };
            queue.push_back(key);
        }
    }
}

/// Whether anything but the table knows the address.
fn is_in_use(used: &Arc<AddressUse>) -> bool {
    Arc::strong_count(used) > 1
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn limits() -> AddressLimits {
        AddressLimits { handshakes_per_s: 1, ..AddressLimits::default() }
    }

    fn v4(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn the_table_stays_bounded_whatever_addresses_come() {
        let addresses = ClientAddresses::with_places(limits(), 1024);
        for number in 0..100_000 {
            assert!(addresses.client(v4(number), 0).take_handshake(0).is_ok());
        }
        assert!(addresses.len() <= 1024 + usize::from(SHARDS), "{}", addresses.len());
        assert_eq!(addresses.queued(), addresses.len());
    }

    #[test]
    fn an_address_in_use_is_never_forgotten() {
        let addresses = ClientAddresses::with_places(limits(), 64);
        let used: Vec<_> = (0..200).map(|number| addresses.client(v4(number), 0)).collect();
        assert!(used.iter().all(|client| (0..10).all(|_| client.take_handshake(0).is_ok())));
        for number in 1000..50_000 {
            addresses.client(v4(number), 0);
        }
        for number in 0..200 {
            assert!(addresses.client(v4(number), 0).take_handshake(0).is_err(), "{number}");
        }
        assert_eq!(addresses.queued(), addresses.len());
        assert!(addresses.len() <= 200 + 64 + usize::from(SHARDS), "{}", addresses.len());
        drop(used);
        (50_000..51_000).for_each(|number| drop(addresses.client(v4(number), 60_000)));
        assert!(addresses.len() <= 64 + usize::from(SHARDS), "a table that has grown shrinks: {}", addresses.len());
    }

    #[test]
    fn addresses_that_owe_nothing_are_forgotten_first() {
        let addresses = ClientAddresses::with_places(limits(), 16 * LOOKED_AT);
        let attacker = v4(1_000_000);
        assert!((0..10).all(|_| addresses.client(attacker, 0).take_handshake(0).is_ok()));
        for number in 0..10_000 {
            addresses.client(v4(number), 0);
        }
        assert!(addresses.client(attacker, 0).take_handshake(0).is_err());
    }

    #[test]
    fn who_owes_most_is_not_forgotten_because_many_come_who_owe_little() {
        let addresses = ClientAddresses::with_places(limits(), 16 * LOOKED_AT);
        let attacker = v4(1_000_000);
        assert!((0..10).all(|_| addresses.client(attacker, 0).take_handshake(0).is_ok()));
        for number in 0..10_000 {
            assert!(addresses.client(v4(number), 0).take_handshake(0).is_ok());
        }
        assert!(addresses.client(attacker, 0).take_handshake(0).is_err());
        assert!(addresses.len() <= 16 * LOOKED_AT + usize::from(SHARDS), "{}", addresses.len());
    }

    #[test]
    fn a_server_of_many_devices_remembers_who_owes() {
        let addresses = ClientAddresses::with_places(limits(), 64);
        let connected: Vec<_> = (0..5000).map(|number| addresses.client(v4(number), 0).open_connection().expect("a connection")).collect();
        let attacker = v4(1_000_000);
        assert!((0..10).all(|_| addresses.client(attacker, 0).take_handshake(0).is_ok()));
        for number in 10_000..20_000 {
            addresses.client(v4(number), 0);
        }
        assert!(addresses.client(attacker, 0).take_handshake(0).is_err());
        drop(connected);
        assert!((0..SHARDS).all(|shard| addresses.shared.connected(shard) == 0));
        (20_000..40_000).for_each(|number| drop(addresses.client(v4(number), 60_000)));
        assert!(addresses.len() <= 64 + usize::from(SHARDS), "{}", addresses.len());
    }

    #[test]
    fn unnamed_clients_of_a_proxy_have_limits_also_behind_an_exempt_one() {
        let addresses = ClientAddresses::new(limits());
        let client = |now_ms| addresses.limited_client(Ipv4Addr::LOCALHOST.into(), now_ms);
        assert_eq!((0..100).filter(|_| client(0).take_handshake(0).is_ok()).count(), 10);
        assert!(addresses.client(Ipv4Addr::LOCALHOST.into(), 0).take_handshake(0).is_ok());
    }

    #[test]
    fn a_48_has_the_share_of_a_few_addresses() {
        let addresses = ClientAddresses::new(limits());
        let of_subnet = |subnet: u16, host: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 7, subnet, 0, 0, 0, host));
        let one: usize = (0..1000).filter(|host| addresses.client(of_subnet(1, *host), 0).take_handshake(0).is_ok()).count();
        assert_eq!(one, 10, "a /64 is one client");
        let all = (0..5000).filter(|subnet| addresses.client(of_subnet(*subnet, 1), 0).take_handshake(0).is_ok()).count();
        assert_eq!(one + all, 10 * usize::from(NETWORK_SHARE));
    }

    #[test]
    fn exempt_networks_have_no_limits() {
        let addresses = ClientAddresses::new(limits());
        for address in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            let client = addresses.client(address.parse().expect("an address"), 0);
            assert!((0..1000).all(|_| client.take_handshake(0).is_ok()), "{address}");
        }
        assert_eq!(addresses.len(), 0);
    }
}
