//! The connections whose client has not proved who it is. When no connection is free, one of them makes place for a new client: the oldest one of
//! the address that has the most.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::limits::NetworkKey;

/// Clones share the list.
#[derive(Clone, Default)]
pub(super) struct UnauthenticatedConnections(Arc<Mutex<ConnectionsByNetwork>>);

/// A connection in the list, until it is dropped.
pub(super) struct ListedConnection {
    list: UnauthenticatedConnections,
    network: NetworkKey,
    number: u64,
}

/// How many connections a network has, its oldest one, and the network. The greatest is asked first.
type NetworkRank = (usize, Reverse<u64>, NetworkKey);

#[derive(Default)]
struct ConnectionsByNetwork {
    last_number: u64,
    networks: HashMap<NetworkKey, BTreeMap<u64, Arc<Notify>>>,
    ranks: BTreeSet<NetworkRank>,
}

impl Drop for ListedConnection {
    fn drop(&mut self) {
        self.list.lock().remove(self.network, self.number);
    }
}

impl UnauthenticatedConnections {
    /// Lists a connection, which is closed when `close` is notified.
    pub(super) fn add(&self, address: IpAddr, close: &Arc<Notify>) -> ListedConnection {
        let network = NetworkKey::of_site(address);
        let mut list = self.lock();
        list.last_number += 1;
        let number = list.last_number;
        list.change(network, |connections| drop(connections.insert(number, Arc::clone(close))));
        ListedConnection { list: self.clone(), network, number }
    }

    /// Closes one. `false` if there is none.
    pub(super) fn close_one(&self) -> bool {
        let mut list = self.lock();
        let Some((_, Reverse(number), network)) = list.ranks.last().copied() else { return false };
        let close = list.remove(network, number);
        drop(list);
        close.is_some_and(|close| {
            close.notify_one();
            true
        })
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionsByNetwork> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionsByNetwork {
    fn remove(&mut self, network: NetworkKey, number: u64) -> Option<Arc<Notify>> {
        self.change(network, |connections| connections.remove(&number))
    }

    /// Changes the connections of a network, and keeps its rank in step.
    fn change<T>(&mut self, network: NetworkKey, change: impl FnOnce(&mut BTreeMap<u64, Arc<Notify>>) -> T) -> T {
        let connections = self.networks.entry(network).or_default();
        if let Some(rank) = rank(network, connections) {
            self.ranks.remove(&rank);
        }
        let result = change(connections);
        match rank(network, connections) {
            Some(rank) => drop(self.ranks.insert(rank)),
            None => drop(self.networks.remove(&network)),
        }
        result
    }
}

fn rank(network: NetworkKey, connections: &BTreeMap<u64, Arc<Notify>>) -> Option<NetworkRank> {
    let (oldest, _) = connections.first_key_value()?;
    Some((connections.len(), Reverse(*oldest), network))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn add(list: &UnauthenticatedConnections, address: &str) -> (ListedConnection, Arc<Notify>) {
        let close = Arc::default();
        (list.add(address.parse().expect("an address"), &close), close)
    }

    fn is_closed(connection: &(ListedConnection, Arc<Notify>)) -> bool {
        connection.1.notified().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_the_address_with_the_most_goes_first() {
        let list = UnauthenticatedConnections::default();
        let early = add(&list, "192.0.2.1");
        let many: Vec<_> = (0..3).map(|_| add(&list, "198.51.100.7")).collect();
        let late = add(&list, "192.0.2.2");
        for expected in [&many[0], &many[1], &early, &many[2], &late] {
            assert!(list.close_one() && is_closed(expected));
        }
        assert!(!list.close_one(), "all were closed");
        drop((early, many, late));
        assert!(list.lock().networks.is_empty() && list.lock().ranks.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let list = UnauthenticatedConnections::default();
        let phone = add(&list, "192.0.2.1");
        let subnets: Vec<_> = (0..5).map(|subnet| add(&list, &format!("2001:db8:1:{subnet}::1"))).collect();
        assert!((0..4).all(|_| list.close_one()));
        assert!(subnets[..4].iter().all(is_closed) && !is_closed(&subnets[4]) && !is_closed(&phone));
    }

    #[test]
    fn a_connection_that_is_dropped_or_authenticated_is_not_asked_to_close() {
        let list = UnauthenticatedConnections::default();
        let (first, second) = (add(&list, "192.0.2.1"), add(&list, "192.0.2.1"));
        drop(first);
        assert!(list.close_one() && is_closed(&second));
        assert!(!list.close_one());
    }
}
