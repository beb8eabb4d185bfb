//! The addresses that use the server, each with what it has taken so far. Bounded, whatever addresses come.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::address::{AddressUse, ClientAddress};
use super::config::AddressLimits;
use super::network::{NETWORK_SHARE, NetworkKey};

/// How many addresses the table keeps that have no open connection or request. One takes about 200 bytes, so 13 MiB in all.
pub const TABLE_ADDRESSES: usize = 64 * 1024;

/// How many parts the table has, each with a lock of its own.
const SHARDS: usize = 16;

/// How many addresses are looked at to make place for a new one.
const LOOKED_AT: usize = 8;

/// All addresses. Clones share them.
#[derive(Clone, Debug)]
pub struct ClientAddresses {
    limits: Arc<AddressLimits>,
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
        ClientAddresses { limits: Arc::new(limits), hasher: RandomState::new(), shards, shard_addresses: addresses.div_ceil(SHARDS) }
    }

    /// The client that has this address.
    pub fn client(&self, address: IpAddr, now_ms: u64) -> ClientAddress {
        let address = address.to_canonical();
        if self.limits.is_exempt(address) {
            return ClientAddress::without_limits(address);
        }
        let (client, site) = (NetworkKey::of_client(address), NetworkKey::of_site(address));
        let site = (client != site).then(|| self.find(site, NETWORK_SHARE, None, now_ms));
        ClientAddress::limited(address, Arc::clone(&self.limits), self.find(client, 1, site, now_ms))
    }

    fn find(&self, key: NetworkKey, share: u32, site: Option<Arc<AddressUse>>, now_ms: u64) -> Arc<AddressUse> {
        let shard = &self.shards[self.hasher.hash_one(key) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shard.addresses.get(&key) {
            return Arc::clone(found);
        }
        if shard.addresses.len() >= self.shard_addresses {
            shard.evict(self.shard_addresses, now_ms);
        }
        let new = Arc::new(AddressUse::new(share, site));
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
    /// Makes place for a new address. Of those that are looked at, one goes that nothing uses, and rather one that has nothing left to pay. Addresses
    /// in use stay, and the shard grows by them: each has a connection or a request, and those are bounded. A shard that has grown gives up all
    /// others that are looked at, so it never has many more than those in use.
    fn evict(&mut self, places: usize, now_ms: u64) {
        let mut unpaid = None;
        for _ in 0..LOOKED_AT {
            if self.addresses.len() < places {
                break;
            }
            let Some(key) = self.order.pop_front() else { break };
            let has_grown = self.addresses.len() > places;
            match self.addresses.get(&key) {
                Some(used) if Arc::strong_count(used) > 1 => self.order.push_back(key),
                Some(used) if !has_grown && !used.is_whole(now_ms) => match unpaid {
                    None => unpaid = Some(key),
                    Some(_) => self.order.push_back(key),
                },
                Some(_) | None => drop(self.addresses.remove(&key)),
            }
        }
        match unpaid {
            Some(key) if self.addresses.len() >= places => drop(self.addresses.remove(&key)),
            Some(key) => self.order.push_back(key),
            None => {}
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
