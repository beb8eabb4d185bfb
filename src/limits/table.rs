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
const SHARDS: usize = 16;

/// How many addresses are looked at to make place for a new one.
const LOOKED_AT: usize = 8;

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
    /// The keys in the order in which they are looked at for eviction.
    order: VecDeque<NetworkKey>,
}

impl ClientAddresses {
    pub fn new(limits: AddressLimits) -> ClientAddresses {
        ClientAddresses::with_places(limits, TABLE_ADDRESSES)
    }

    fn with_places(limits: AddressLimits, addresses: usize) -> ClientAddresses {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let shared = Arc::new(SharedLimits::new(limits));
        ClientAddresses { shared, hasher: RandomState::new(), shards, shard_addresses: addresses.div_ceil(SHARDS) }
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

    fn find(&self, key: NetworkKey, share: u32, site: Option<Arc<AddressUse>>, now_ms: u64) -> Arc<AddressUse> {
        let shard = &self.shards[self.hasher.hash_one(key) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.addresses.get(&key) {
            return Arc::clone(found);
        }
        // Addresses with a connection take no place of another one: those bound themselves, and a server of many devices must not forget who owes.
        shard.evict(self.shard_addresses + self.shared.connected().div_ceil(SHARDS), now_ms);
        let new = Arc::new(AddressUse::new(Arc::clone(&self.shared), share, site));
        shard.addresses.insert(key, Arc::clone(&new));
        shard.order.push_back(key);
        new
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
        let mut owes_least: Option<(u64, NetworkKey)> = None;
        for _ in 0..LOOKED_AT {
            if self.addresses.len() < places {
                break;
            }
            let Some(key) = self.order.pop_front() else { break };
            let Some(used) = self.addresses.get(&key) else { continue };
            match used.owed_ns(now_ms) {
                _ if Arc::strong_count(used) > 1 => self.order.push_back(key),
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
        assert!(addresses.len() <= 1024 + SHARDS, "{}", addresses.len());
        let orders: usize = addresses.shards.iter().map(|shard| shard.lock().expect("no panic").order.len()).sum();
        assert_eq!(orders, addresses.len());
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
        // One in eight may be an address that nothing uses, and the places that are always kept.
        assert!(addresses.len() < 200 * 8 / 7 + 64 + SHARDS, "{}", addresses.len());
        drop(used);
        (50_000..51_000).for_each(|number| drop(addresses.client(v4(number), 60_000)));
        assert!(addresses.len() <= 64 + SHARDS, "a table that has grown shrinks: {}", addresses.len());
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
        assert!(addresses.len() <= 16 * LOOKED_AT + SHARDS, "{}", addresses.len());
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
        assert_eq!(addresses.shared.connected(), 0);
        (20_000..40_000).for_each(|number| drop(addresses.client(v4(number), 60_000)));
        assert!(addresses.len() <= 64 + SHARDS, "{}", addresses.len());
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
        assert_eq!(one + all, 10 * NETWORK_SHARE as usize);
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
