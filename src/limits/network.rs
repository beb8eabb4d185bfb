//! Which addresses count as one client.

use std::net::IpAddr;

/// How many addresses' worth a /48 of IPv6 may use together. Providers give a site a /56 or /48, so with one /64 after the other a single machine
/// gets no more than this; a mobile network has a /64 for each phone.
pub const NETWORK_SHARE: u32 = 16;

/// The addresses that are limited as one: an address of IPv4, a prefix of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkKey {
    bits: u128,
    prefix: u8,
}

impl NetworkKey {
    /// The client that has this address: the address itself, or its /64.
    pub fn of_client(address: IpAddr) -> NetworkKey {
        match address.to_canonical() {
            IpAddr::V4(address) => NetworkKey { bits: u128::from(address.to_bits()), prefix: 32 },
            IpAddr::V6(address) => NetworkKey::of_v6(address.to_bits(), 64),
        }
    }

    /// The site of a client: the address itself, or its /48.
    pub fn of_site(address: IpAddr) -> NetworkKey {
        match address.to_canonical() {
            IpAddr::V4(_) => NetworkKey::of_client(address),
            IpAddr::V6(address) => NetworkKey::of_v6(address.to_bits(), 48),
        }
    }

    fn of_v6(bits: u128, prefix: u8) -> NetworkKey {
        NetworkKey { bits: bits >> (128 - u32::from(prefix)), prefix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv4_is_a_client_and_of_ipv6_its_64() {
        let client = |text: &str| NetworkKey::of_client(text.parse().expect("an address"));
        let site = |text: &str| NetworkKey::of_site(text.parse().expect("an address"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"), "a listener of both families sees it so");
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(site("2001:db8:1:2::1"), site("2001:db8:1:ffff::1"));
        assert_ne!(site("2001:db8:1::1"), site("2001:db8:2::1"));
        assert_ne!(site("2001:db8::1"), client("2001:db8::1"), "of the same bits");
        assert_eq!(site("192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("0.0.0.1"), client("::1"));
    }
}
