//! Which client a request comes from, if proxies stand before the server.
//!
//! - What a peer says of other addresses counts only if the peer is trusted, because anyone can send these headers.
//! - Proxies append: what a client has sent itself stands on the left. So the list is read from the right, and the first address that is no trusted
//!   proxy is the client.
//! - Only the one configured header is read: a proxy that writes one of them passes the other on as the client sent it.

use std::collections::VecDeque;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The most proxies in one header that are looked at. A client can write thousands of addresses into it, of trusted proxies too.
const MOST_PROXIES: usize = 32;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The header in which proxies name the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// Whether proxies name the client before the first byte of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    #[default]
    None,
    /// Version 2 of the PROXY protocol, in every connection of a trusted proxy.
    ProxyV2,
}

/// The proxies before the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxiesConfig {
    pub trusted: Vec<IpNet>,
    pub header: ForwardedHeader,
    pub protocol: ProxyProtocol,
}

/// Where a request comes from that a trusted proxy has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestPeer {
    /// The proxy names nobody: the request is its own, such as a health check.
    Proxy(IpAddr),
    Client(IpAddr),
    /// Somebody behind this proxy, whom it names so that nobody can tell who it is.
    Unnamed(IpAddr),
}

impl ProxiesConfig {
    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// Whether a request names a client although its peer is not trusted.
    pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
        headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(header::FORWARDED)
    }

    /// The client of a request that came over a connection of this trusted proxy.
    pub(super) fn client_behind(&self, proxy: IpAddr, headers: &HeaderMap) -> RequestPeer {
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => header::FORWARDED,
        };
        let mut nearest = proxy;
        // A proxy may add its address to the last header of that name, or add a header after the others.
        for line in headers.get_all(name).into_iter().rev() {
            let line = String::from_utf8_lossy(line.as_bytes());
            let found = match self.header {
                ForwardedHeader::XForwardedFor => self.find_client(line.rsplit(','), address_of, &mut nearest),
                ForwardedHeader::Forwarded => match split_outside_quotes(&line, ',') {
                    Some(elements) => self.find_client(elements.into_iter().rev(), forwarded_for, &mut nearest),
                    None => Some(RequestPeer::Unnamed(nearest)),
                },
            };
            if let Some(client) = found {
                return client;
            }
        }
        RequestPeer::Proxy(nearest)
    }

    /// The first address that is no trusted proxy, of elements from the right, or the proxy that wrote an element which names none. `None` if all
    /// are trusted. `nearest` is the last trusted one.
    fn find_client<'a>(
        &self,
        elements: impl Iterator<Item = &'a str>,
        address_of: fn(&str) -> Option<IpAddr>,
        nearest: &mut IpAddr,
    ) -> Option<RequestPeer> {
        let mut named = elements.map(str::trim).filter(|element| !element.is_empty());
        for element in named.by_ref().take(MOST_PROXIES) {
            match address_of(element) {
                Some(address) if self.is_trusted(address) => *nearest = address,
                Some(address) => return Some(RequestPeer::Client(address)),
                None => return Some(RequestPeer::Unnamed(*nearest)),
            }
        }
        named.next().map(|_| RequestPeer::Unnamed(*nearest))
    }
}

/// The `for` of a forwarded-element (RFC 7239 section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = split_outside_quotes(element, ';')?.into_iter().filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address_of(node.trim())
}

/// An address with or without a port, brackets, quotes and a zone.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        // One colon stands before a port, several are those of IPv6.
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    let host = host.split_once('%').map_or(host, |(address, _)| address);
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The parts between separators that are not in quotes, the last ones if there are many; `None` if a quote is not closed.
fn split_outside_quotes(text: &str, separator: char) -> Option<VecDeque<&str>> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (VecDeque::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if c == separator && !is_quoted => {
                parts.push_back(&text[start..at]);
                if parts.len() > 2 * MOST_PROXIES {
                    parts.pop_front();
                }
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push_back(&text[start..]);
    (!is_quoted).then_some(parts)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn client(header: ForwardedHeader, peer: &str, lines: &[&str]) -> RequestPeer {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network")).to_vec();
        let mut headers = HeaderMap::new();
        let name = if header == ForwardedHeader::Forwarded { header::FORWARDED } else { X_FORWARDED_FOR };
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).expect("a header"));
        }
        let proxies = ProxiesConfig { trusted, header, protocol: ProxyProtocol::None };
        proxies.client_behind(peer.parse().expect("an address"), &headers)
    }

    fn is(address: &str) -> RequestPeer {
        RequestPeer::Client(address.parse().expect("an address"))
    }

    fn unnamed(proxy: &str) -> RequestPeer {
        RequestPeer::Unnamed(proxy.parse().expect("an address"))
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        let of = |peer, lines: &[&str]| client(ForwardedHeader::XForwardedFor, peer, lines);
        assert_eq!(of(PROXY, &["192.0.2.1"]), is("192.0.2.1"));
        assert_eq!(of(PROXY, &[]), RequestPeer::Proxy(PROXY.parse().expect("an address")), "its own health check");
    }

    #[test]
    fn what_the_client_has_sent_itself_is_not_looked_at() {
        let of = |lines: &[&str]| client(ForwardedHeader::XForwardedFor, PROXY, lines);
        assert_eq!(of(&["203.0.113.66, 192.0.2.1"]), is("192.0.2.1"), "a proxy that appends to the line");
        assert_eq!(of(&["203.0.113.66", "192.0.2.1"]), is("192.0.2.1"), "a proxy that adds a line");
        assert_eq!(of(&["10.0.0.7, 192.0.2.1, 10.0.0.2"]), is("192.0.2.1"), "two proxies, and an address that the client made up");
        assert_eq!(of(&["10.0.0.7,10.0.0.2"]), RequestPeer::Proxy("10.0.0.7".parse().expect("an address")), "another service of ours");
    }

    #[test]
    fn every_notation_of_an_address_is_read() {
        let of = |line| client(ForwardedHeader::XForwardedFor, PROXY, &[line]);
        for line in
            ["192.0.2.1", " 192.0.2.1 ", "192.0.2.1:5050", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80", "\"192.0.2.1\"", "192.0.2.1,"]
        {
            assert_eq!(of(line), is("192.0.2.1"), "{line}");
        }
        for line in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:443", "2001:DB8:0::7", "2001:db8::7%eth0"] {
            assert_eq!(of(line), is("2001:db8::7"), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read_counts_for_the_proxy_and_what_is_left_of_it_is_not_looked_at() {
        for line in ["203.0.113.66, unknown", "203.0.113.66, -", "203.0.113.66, 1.2.3", "203.0.113.66, 192.0.2.1:1:", "localhost", "[::1"] {
            assert_eq!(client(ForwardedHeader::XForwardedFor, PROXY, &[line]), unnamed(PROXY), "{line}");
        }
        assert_eq!(client(ForwardedHeader::XForwardedFor, PROXY, &["203.0.113.66, junk, 10.0.0.2"]), unnamed("10.0.0.2"));
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        let of = |lines: &[&str]| client(ForwardedHeader::Forwarded, PROXY, lines);
        for line in [
            "for=192.0.2.1",
            "For=\"192.0.2.1:4711\"",
            "for=203.0.113.66, for=192.0.2.1;proto=https;by=10.0.0.2",
            "proto=http;by=\"x;y,z\";for=192.0.2.1",
            "for=192.0.2.1, for=\"[fd00::5]:80\"",
        ] {
            assert_eq!(of(&[line]), is("192.0.2.1"), "{line}");
        }
        assert_eq!(of(&["for=\"[2001:db8:cafe::17]:4711\""]), is("2001:db8:cafe::17"));
        for line in ["for=_hidden", "for=unknown", "by=10.0.0.2", "192.0.2.1", "for=\"203.0.113.66, for=192.0.2.1", "for="] {
            assert_eq!(of(&[line]), unnamed(PROXY), "{line}");
        }
        // A quote that the client has not closed does not hide what the proxy adds in a line of its own.
        assert_eq!(of(&["for=\"203.0.113.66", "for=192.0.2.1"]), is("192.0.2.1"));
        assert_eq!(client(ForwardedHeader::XForwardedFor, PROXY, &["192.0.2.1"]), is("192.0.2.1"));
    }

    #[test]
    fn a_header_of_many_addresses_costs_little_and_names_nobody() {
        let proxies = "10.0.0.2,".repeat(3000);
        assert_eq!(client(ForwardedHeader::XForwardedFor, PROXY, &[&format!("203.0.113.66,{proxies}")]), unnamed("10.0.0.2"));
        assert_eq!(
            client(ForwardedHeader::XForwardedFor, PROXY, &[&",".repeat(30_000)]),
            RequestPeer::Proxy(PROXY.parse().expect("an address"))
        );
        let elements = "for=10.0.0.2,".repeat(2000);
        assert_eq!(client(ForwardedHeader::Forwarded, PROXY, &[&format!("for=203.0.113.66,{elements}")]), unnamed("10.0.0.2"));
    }

    #[test]
    fn the_other_header_is_not_read() {
        let mut headers = HeaderMap::new();
        headers.insert(header::FORWARDED, HeaderValue::from_static("for=203.0.113.66"));
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
        let trusted = vec![IpNet::from(PROXY.parse::<IpAddr>().expect("an address"))];
        let proxies = ProxiesConfig { trusted, ..ProxiesConfig::default() };
        assert_eq!(proxies.client_behind(PROXY.parse().expect("an address"), &headers), is("192.0.2.1"));
    }
}
