//! The notations of an address to listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// What an address must be, after "must be".
pub(super) const EXPECTED: &str =
    "an IP address and a port, as in 127.0.0.1:7400, [::1]:7400 or localhost:7400; 7400 for this machine only, :7400 for every address";

/// Parses an address and a port, or a port. A port alone is that of this machine, as by default, so that it opens nothing to the network;
/// with a colon before it, of every address, as elsewhere. No name but `localhost` is looked up.
pub(super) fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let port = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    match host {
        "" | "*" => Some(SocketAddr::new(every_address(), port)),
        _ if host.eq_ignore_ascii_case("localhost") => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        _ => None,
    }
}

/// Every address of IPv6 and IPv4; of IPv4 on a machine without IPv6.
fn every_address() -> IpAddr {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_several_notations() {
        let parsed = |text| parse(text).map(|address| address.to_string());
        for (text, address) in [
            ("127.0.0.1:7400", "127.0.0.1:7400"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:7400", "[::1]:7400"),
            ("[::]:7400", "[::]:7400"),
            ("localhost:7400", "127.0.0.1:7400"),
            ("LocalHost:7400", "127.0.0.1:7400"),
            ("7400", "127.0.0.1:7400"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(address), "{text}");
        }
        let every = parse(":7400").expect("every address");
        assert!(every.ip().is_unspecified() && every.port() == 7400 && parse("*:7400") == Some(every));
        for bad in
            ["", ":", "localhost", "127.0.0.1", "::1:7400", "example.com:7400", "http://127.0.0.1:7400", "7400 ", "-1", "+1", "70000"]
        {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
