//! Whether an IP address belongs to the public internet.
//!
//! A Web Push endpoint is an address that a device registered. Without this check any device could make the server connect to its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address belongs to the public internet, by IANA's special-purpose registries (RFC 6890 and later entries). An IPv6 address with
/// an embedded IPv4 address (mapped, translated, 6to4, NAT64) is decided by the embedded one. Teredo's addresses, which obfuscate theirs, are not
/// public.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 127, ..] => true,                         // this network, loopback (RFC 791, RFC 1122)
        [10, ..] => true,                              // private (RFC 1918)
        [172, second, ..] => second & 0xf0 == 16,      // private (RFC 1918)
        [192, 168, ..] => true,                        // private (RFC 1918)
        [169, 254, ..] => true,                        // link-local, the clouds' metadata service (RFC 3927)
        [100, second, ..] => second & 0xc0 == 64,      // carrier-grade NAT (RFC 6598)
        [192, 0, 0 | 2, _] => true,                    // protocol assignments, documentation (RFC 6890, RFC 5737)
        [192, 31, 196, _] | [192, 52, 193, _] => true, // AS112, AMT (RFC 7535, RFC 7450)
        [192, 88, 99, _] => true,                      // 6to4 relays, withdrawn (RFC 7526)
        [192, 175, 48, _] => true,                     // AS112 (RFC 7534)
        [198, 18 | 19, ..] => true,                    // benchmarks (RFC 2544)
        [198, 51, 100, _] | [203, 0, 113, _] => true,  // documentation (RFC 5737)
        [224..=255, ..] => true,                       // multicast, reserved, broadcast (RFC 5771, RFC 1112)
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => is_public_v4(embedded(high, low)), // mapped (RFC 4291 section 2.5.5.2)
        [0, 0, 0, 0, 0xffff, 0, high, low] => is_public_v4(embedded(high, low)), // translated (RFC 2765)
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(embedded(high, low)), // NAT64 (RFC 6052)
        [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),            // 6to4 (RFC 3056)
        [0x2001, second, ..] if second < 0x200 => false,                         // protocol assignments, Teredo, ORCHID (RFC 2928)
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => false,                 // documentation (RFC 3849, RFC 9637)
        [0x2620, 0x4f, 0x8000, ..] => false,                                     // AS112 (RFC 7534)
        // Global unicast is 2000::/3 alone. That excludes unspecified, loopback, compatible, NAT64's local prefix (64:ff9b:1::/48), discard
        // (100::/64), segment routing (5f00::/16), unique local (fc00::/7), link-local (fe80::/10), site-local (fec0::/10) and multicast (ff00::/8).
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "2002:101:101::1",
            "64:ff9b::101:101",
            "2001:200::1",
            "3fff:1000::1",
        ];
        for address in public {
            assert!(is_public(address.parse().expect(address)), "{address} is public");
        }
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.175.48.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "2002:c0a8:1::",
            "2620:4f:8000::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in special {
            assert!(!is_public(address.parse().expect(address)), "{address} is not public");
        }
    }
}
