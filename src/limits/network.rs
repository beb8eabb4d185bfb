//! Which addresses count as one client.

use std::net::{IpAddr, Ipv6Addr};

/// How many addresses' worth a /48 of IPv6 may use together. Providers give a site a /56 or /48, so with one /64 after the other a single machine
/// gets no more than this; a mobile network has a /64 for each phone.
pub const NETWORK_SHARE: u8 = 16;

/// The addresses of IPv6 in which a translator puts addresses of IPv4, in their last 32 bits (RFC 6052 section 2.1): 64:ff9b::/96.
const TRANSLATED: u128 = 0x0064_ff9b << 96;

/// The addresses that are limited as one: an address of IPv4, a prefix of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkKey {
    bits: u64,
    prefix: u8,
}

impl NetworkKey {
    /// The client that has this address: the address itself, or its /64.
    pub fn of_client(address: IpAddr) -> NetworkKey {
        NetworkKey::of(address, 64)
    }

    /// The site of a client: the address itself, or its /48.
    pub fn of_site(address: IpAddr) -> NetworkKey {
        NetworkKey::of(address, 48)
    }

    fn of(address: IpAddr, prefix: u8) -> NetworkKey {
        match untranslated(address) {
            IpAddr::V4(address) => NetworkKey { bits: u64::from(address.to_bits()), prefix: 32 },
            IpAddr::V6(address) => NetworkKey { bits: (address.to_bits() >> (128 - u32::from(prefix))) as u64, prefix },
        }
    }
}

/// An address of IPv4 as itself: also one that a listener of both families has mapped, or a translator in front of a server without IPv4. To that
/// server all clients of IPv4 have addresses of one /64.
fn untranslated(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(translated) if translated.to_bits() >> 32 == TRANSLATED >> 32 => {
            Ipv6Addr::from_bits(0xffff_0000_0000 | translated.to_bits() & 0xffff_ffff).to_canonical()
        }
        address => address,
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
        assert_eq!(client("64:ff9b::192.0.2.1"), client("192.0.2.1"), "as a server behind a translator sees it");
        assert_ne!(client("64:ff9b::192.0.2.1"), client("64:ff9b::192.0.2.2"));
        assert_ne!(client("64:ff9b:0:1::192.0.2.1"), client("192.0.2.1"), "of another prefix");
    }
}
