//! The addresses at which a person can open a server, on this machine or from another one.

use std::net::{IpAddr, SocketAddr};

/// The most addresses that are named: a machine with containers has dozens.
const MAX_ADDRESSES: usize = 4;

/// Addresses under which a server that listens at `listen` can be opened from another machine; none if it listens on the loopback interface only.
pub fn outside_addresses(listen: IpAddr) -> Vec<IpAddr> {
    let own = if_addrs::get_if_addrs().unwrap_or_default().into_iter().map(|interface| interface.ip());
    reachable(listen, own.collect())
}

/// `0.0.0.0` and `[::]` cannot be opened, so they stand for the machine's own addresses, private ones first: a phone in the same network uses one.
fn reachable(listen: IpAddr, mut own: Vec<IpAddr>) -> Vec<IpAddr> {
    if listen.is_loopback() {
        return Vec::new();
    }
    if !listen.is_unspecified() {
        return vec![listen];
    }
    own.retain(|address| !address.is_loopback() && !is_link_local(*address) && (address.is_ipv4() || listen.is_ipv6()));
    own.sort_by_key(|address| (address.is_ipv6(), !is_private(*address)));
    own.truncate(MAX_ADDRESSES);
    own
}

/// Such an address is of one interface only, and a browser cannot open one of IPv6.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// The address that a person on this machine opens: a loopback address if the server listens on every interface.
pub fn local_address(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], listen.port())),
        // Linux and macOS accept IPv4 on `[::]` too, but a system can be set up without.
        IpAddr::V6(address) if address.is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, listen.port())),
        _ => listen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_addresses_that_another_machine_can_open_are_named() {
        let own = || ["127.0.0.1", "::1", "fe80::1", "169.254.3.4", "203.0.113.7", "fd00::5", "192.168.1.5"].map(ip).to_vec();
        assert!(reachable(ip("127.0.0.1"), own()).is_empty());
        assert!(reachable(ip("::1"), own()).is_empty());
        assert_eq!(reachable(ip("192.168.1.5"), own()), [ip("192.168.1.5")]);
        assert_eq!(reachable(ip("0.0.0.0"), own()), [ip("192.168.1.5"), ip("203.0.113.7")]);
        assert_eq!(reachable(ip("::"), own()), [ip("192.168.1.5"), ip("203.0.113.7"), ip("fd00::5")]);
    }

    #[test]
    fn every_interface_is_opened_at_the_loopback_address() {
        let local = |listen: &str| local_address(listen.parse().expect("an address")).to_string();
        assert_eq!(local("0.0.0.0:7400"), "127.0.0.1:7400");
        assert_eq!(local("[::]:7400"), "[::1]:7400");
        assert_eq!(local("192.168.1.5:80"), "192.168.1.5:80");
    }
}
