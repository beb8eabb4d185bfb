//! The URL of a Web Push endpoint, read strictly: what two programs could read in two ways is refused, because the address that is checked must
//! be the one that is connected to. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// The longest name and label (RFC 1035 section 2.3.4).
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// Names that lead to this machine or its network wherever they are resolved (RFC 6761, RFC 6762, RFC 8375; `internal` is ICANN's).
const PRIVATE_SUFFIXES: [&str; 4] = ["localhost", "local", "internal", "home.arpa"];

pub(super) struct EndpointUrl {
    pub(super) uri: Uri,
    pub(super) host: EndpointHost,
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EndpointHost {
    Address(IpAddr),
    /// In lower case.
    Name(String),
}

/// What is wrong with an endpoint's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointUrlError {
    Scheme,
    Characters,
    UserInfo,
    Fragment,
    Port,
    Zone,
    Address,
    LegacyAddress,
    TrailingDot,
    Host,
}

impl EndpointUrlError {
    /// A text for the app's developer.
    pub(super) fn message(self) -> &'static str {
        match self {
            EndpointUrlError::Scheme => "the endpoint is not an https address",
            EndpointUrlError::Characters => {
                "the endpoint has a character that no URL has: spaces, backslashes and letters beyond ASCII are percent-encoded, names in their xn-- form"
            }
            EndpointUrlError::UserInfo => "the endpoint has a user name before its host",
            EndpointUrlError::Fragment => "the endpoint has a fragment (#), which is never sent to a server",
            EndpointUrlError::Port => "the endpoint's port is not a number from 1 to 65535",
            EndpointUrlError::Zone => "the endpoint's IPv6 address has a zone, which is valid on one machine only",
            EndpointUrlError::Address => "the endpoint's host in brackets is not an IPv6 address",
            EndpointUrlError::LegacyAddress => "the endpoint's IPv4 address is not in the form of four decimal numbers",
            EndpointUrlError::TrailingDot => "the endpoint's host ends in a dot",
            EndpointUrlError::Host => "the endpoint's host is not a name",
        }
    }
}

impl fmt::Display for EndpointHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointHost::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            EndpointHost::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            EndpointHost::Name(name) => f.write_str(name),
        }
    }
}

impl EndpointHost {
    /// Whether the host is a name that is never of the public internet. What other names lead to is known when they are resolved.
    pub(super) fn is_private_name(&self) -> bool {
        let EndpointHost::Name(name) = self else { return false };
        PRIVATE_SUFFIXES.iter().any(|suffix| name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    }
}

impl EndpointUrl {
    pub(super) fn parse(text: &str) -> Result<EndpointUrl, EndpointUrlError> {
        let rest = text.strip_prefix("https://").ok_or(EndpointUrlError::Scheme)?;
        if !rest.bytes().all(is_uri_byte) {
            return Err(EndpointUrlError::Characters);
        }
        if rest.contains('#') {
            return Err(EndpointUrlError::Fragment);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(EndpointUrlError::UserInfo);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (literal, port) = bracketed.split_once(']').ok_or(EndpointUrlError::Address)?;
                (EndpointHost::Address(v6(literal)?), port)
            }
            None => {
                let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
                (name_or_v4(host)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            Some(digits) => port_number(digits)?,
            None if port.is_empty() => 443,
            None => return Err(EndpointUrlError::Port),
        };
        let uri = text.parse().map_err(|_| EndpointUrlError::Characters)?;
        Ok(EndpointUrl { uri, host, port })
    }

    /// `https://host` or `https://host:port` (RFC 6454 section 6.2).
    pub(super) fn origin(&self) -> String {
        match self.port {
            443 => format!("https://{}", self.host),
            port => format!("https://{}:{port}", self.host),
        }
    }
}

/// RFC 3986 section 2: the characters of a URI.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn port_number(digits: &str) -> Result<u16, EndpointUrlError> {
    let is_plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain).ok_or(EndpointUrlError::Port)
}

fn v6(literal: &str) -> Result<IpAddr, EndpointUrlError> {
    if literal.contains('%') {
        return Err(EndpointUrlError::Zone);
    }
    literal.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| EndpointUrlError::Address)
}

fn name_or_v4(host: &str) -> Result<EndpointHost, EndpointUrlError> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(EndpointHost::Address(IpAddr::V4(address)));
    }
    let name = host.to_ascii_lowercase();
    if ends_in_number(&name) {
        return Err(EndpointUrlError::LegacyAddress);
    }
    if name.ends_with('.') {
        return Err(EndpointUrlError::TrailingDot);
    }
    let is_label = |label: &str| {
        (1..=LABEL_BYTES).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match name.len() <= NAME_BYTES && name.split('.').all(is_label) {
        true => Ok(EndpointHost::Name(name)),
        false => Err(EndpointUrlError::Host),
    }
}

/// Whether a host is an IPv4 address in a legacy form, for example 0x7f.1 or 2130706433. No domain name "ends in a number" (WHATWG URL).
fn ends_in_number(host: &str) -> bool {
    let label = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    let hexadecimal = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hexadecimal || (!label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_can_be_read_in_two_ways_is_refused_with_what_is_wrong() {
        use EndpointUrlError::*;
        let long_label = format!("https://{}.example/", "a".repeat(64));
        let long_name = format!("https://{}example/", "abcdefghi.".repeat(26));
        for (text, why) in [
            ("", Scheme),
            ("http://push.example/1", Scheme),
            ("HTTPS://push.example/1", Scheme),
            ("https:push.example", Scheme),
            ("//push.example/1", Scheme),
            ("wss://push.example/1", Scheme),
            ("file:///etc/passwd", Scheme),
            ("https://push.example:0/1", Port),
            ("https://push.example:65536/1", Port),
            ("https://push.example:99999999999999999999/1", Port),
            ("https://push.example:/1", Port),
            ("https://push.example:-1/1", Port),
            ("https://push.example:+443/1", Port),
            ("https://push.example:0443/1", Port),
            ("https://push.example:80:443/1", Port),
            ("https://push.example:443a/1", Port),
            ("https://[2606:4700::1]443/1", Port),
            ("https://[2606:4700::1]:0/1", Port),
            ("https://[2606:4700::1]:65536/1", Port),
            ("https://[fe80::1%25eth0]/1", Zone),
            ("https://[fe80::1%eth0]:8443/1", Zone),
            ("https://[2606:4700::1", Address),
            ("https://[]/1", Address),
            ("https://[1.1.1.1]/1", Address),
            ("https://[v1.a]/1", Address),
            ("https://[push.example]/1", Address),
            ("https://user@push.example/", UserInfo),
            ("https://u:p@push.example/", UserInfo),
            ("https://push.example:443@10.0.0.1/", UserInfo),
            ("https://push.example/1#a", Fragment),
            ("https://push.example#@10.0.0.1/", Fragment),
            ("https://push.example\\@10.0.0.1/", Characters),
            ("https://push.example/a b", Characters),
            ("https://push.example/a\tb", Characters),
            ("https://push.example/\r\nhost: a", Characters),
            ("https://push.example/\u{0}", Characters),
            ("https://push.example/\u{7f}", Characters),
            ("https://p\u{fc}sh.example/1", Characters),
            ("https://\u{ff11}.1.1.1/", Characters),
            ("https://push.example/<a>", Characters),
            ("https://0x7f.1/", LegacyAddress),
            ("https://0X7F000001/", LegacyAddress),
            ("https://2130706433/", LegacyAddress),
            ("https://017700000001/", LegacyAddress),
            ("https://127.1/", LegacyAddress),
            ("https://127.0.0.1./", LegacyAddress),
            ("https://0127.0.0.1/", LegacyAddress),
            ("https://1.2.3.4.5/", LegacyAddress),
            ("https://256.1.1.1/", LegacyAddress),
            ("https://push.example./1", TrailingDot),
            ("https://localhost./1", TrailingDot),
            ("https:///1", Host),
            ("https://:443/1", Host),
            ("https://?a", Host),
            ("https://push..example/1", Host),
            ("https://.example/1", Host),
            ("https://%31%30.0.0.a/", Host),
            ("https://push%2eexample/", Host),
            ("https://a,b/", Host),
            (&long_label, Host),
            (&long_name, Host),
        ] {
            assert_eq!(EndpointUrl::parse(text).map(|url| url.origin()), Err(why), "{text}");
        }
    }

    #[test]
    fn what_browsers_and_distributors_register_is_taken() {
        for (text, origin) in [
            ("https://push.example", "https://push.example"),
            ("https://push.example?up=1", "https://push.example"),
            ("https://Push.Example:443/A/b", "https://push.example"),
            ("https://push.example:65535/a?b=%2F#".trim_end_matches('#'), "https://push.example:65535"),
            ("https://push.example:1/", "https://push.example:1"),
            ("https://xn--psh-hoa.example/1", "https://xn--psh-hoa.example"),
            ("https://my_ntfy.example/up:a;b=c~d", "https://my_ntfy.example"),
            ("https://1.1.1.1:8443/", "https://1.1.1.1:8443"),
            ("https://[2606:4700:0:0::1111]:8443/1", "https://[2606:4700::1111]:8443"),
            ("https://4ever.example/1", "https://4ever.example"),
            ("https://0xcafe.example/1", "https://0xcafe.example"),
        ] {
            let url = EndpointUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why:?}"));
            assert_eq!(url.origin(), origin, "{text}");
            assert_eq!(url.uri.port_u16().unwrap_or(443), url.port, "{text}: the port that is connected to is the one that was checked");
        }
    }

    #[test]
    fn names_of_private_networks_are_known() {
        let is_private = |text: &str| EndpointUrl::parse(text).map(|url| url.host.is_private_name());
        for text in [
            "https://localhost/",
            "https://LOCALHOST:8443/",
            "https://a.localhost/",
            "https://printer.local/",
            "https://metadata.google.internal/",
        ] {
            assert_eq!(is_private(text), Ok(true), "{text}");
        }
        for text in ["https://notlocalhost.example/", "https://mylocalhost/", "https://local.example/", "https://1.1.1.1/"] {
            assert_eq!(is_private(text), Ok(false), "{text}");
        }
    }
}
