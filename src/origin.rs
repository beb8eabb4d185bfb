//! The origins of web pages, and which of them may use a pool.
//!
//! A browser names the origin of the page in the header `Origin`, always in one canonical form; an app that is no page sends none. So a configured
//! origin is brought into that form once, when the configuration is read, and compared byte by byte from then on.

use std::collections::HashSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An origin as a browser sends it: scheme, host, and the port unless it is the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(Box<str>);

/// Why a text is not an origin, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError(String);

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OriginError {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Origin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Origin, OriginError> {
        text.parse()
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    /// Capitals, the scheme's own port and a slash at the end are taken away. What names more or less than one origin is an error.
    fn from_str(text: &str) -> Result<Origin, OriginError> {
        let wrong = |why: &str| OriginError(format!("origin {text}: {why}"));
        match text {
            "*" => return Err(wrong("leave the list empty to allow every origin")),
            "null" => return Err(wrong("every page in a sandbox has this origin; leave the list empty to allow every origin")),
            _ => {}
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong(&format!("the scheme is missing; write https://{text}")));
        };
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(wrong("the scheme must be like https"));
        }
        if scheme == "ws" || scheme == "wss" {
            return Err(wrong("it is the origin of the page, not the address of the socket; write http:// or https://"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(wrong("an origin has a scheme, a host and perhaps a port, and nothing else"));
        }
        // A web view that shows local files sends file:// alone.
        if rest.is_empty() && scheme == "file" {
            return Ok(Origin("file://".into()));
        }
        let (host, port) = split_port(rest).ok_or_else(|| wrong("the port must be 1 to 65535"))?;
        let host = canonical_host(host).map_err(wrong)?;
        match (port, &*scheme) {
            (None, _) | (Some(80), "http") | (Some(443), "https") => Ok(Origin(format!("{scheme}://{host}").into())),
            (Some(port), _) => Ok(Origin(format!("{scheme}://{host}:{port}").into())),
        }
    }
}

/// Splits `host:port`; an IPv6 address stands in brackets. `None` if what follows the host is not a port.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let host_end = if authority.starts_with('[') { authority.find(']')? + 1 } else { authority.find(':').unwrap_or(authority.len()) };
    let (host, rest) = authority.split_at(host_end);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((host, None)),
        None => None,
        // URLs allow an empty port, which is the scheme's own.
        Some("") => Some((host, None)),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok().filter(|port| *port > 0)?)))
        }
        Some(_) => None,
    }
}

/// A host as browsers write it.
fn canonical_host(host: &str) -> Result<String, &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        return address.map(|address| format!("[{address}]")).ok_or("the IPv6 address is invalid");
    }
    if host.is_empty() {
        return Err("the host is missing");
    }
    if host.contains('*') {
        return Err("a pattern is not supported; name each origin");
    }
    if !host.is_ascii() {
        return Err("write the host as browsers send it, in ASCII: xn--...");
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()+;=".contains(&byte)) {
        return Err("the host has a character that no host has");
    }
    let is_number = host.rsplit('.').next().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    match host.parse::<Ipv4Addr>() {
        Err(_) if is_number => Err("the IPv4 address is invalid"),
        Ok(_) | Err(_) => Ok(host.to_ascii_lowercase()),
    }
}

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOrigin {
    /// An app or a program: it sends no `Origin`.
    App,
    /// A web page, as its browser names its origin.
    Page(Box<str>),
}

/// How a page's origin is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginMatch {
    /// The operator has named it.
    Named,
    /// Every origin is allowed.
    Any,
    NotAllowed,
}

/// The origins that may use a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigins {
    allow_any: bool,
    named: HashSet<Origin>,
}

impl AllowedOrigins {
    /// These origins; if there are none, every origin.
    pub fn new(named: impl IntoIterator<Item = Origin>) -> AllowedOrigins {
        let named: HashSet<Origin> = named.into_iter().collect();
        AllowedOrigins { allow_any: named.is_empty(), named }
    }

    /// What at least one of these allows.
    pub fn union<'a>(all: impl IntoIterator<Item = &'a AllowedOrigins>) -> AllowedOrigins {
        let nothing = AllowedOrigins { allow_any: false, named: HashSet::new() };
        all.into_iter().fold(nothing, |mut union, one| {
            union.allow_any |= one.allow_any;
            union.named.extend(one.named.iter().cloned());
            union
        })
    }

    pub fn allow_any(&self) -> bool {
        self.allow_any
    }

    /// How the origin of a page is allowed, in the form in which browsers send it.
    pub fn find(&self, page: &str) -> OriginMatch {
        match (self.named.contains(page), self.allow_any) {
            (true, _) => OriginMatch::Named,
            (false, true) => OriginMatch::Any,
            (false, false) => OriginMatch::NotAllowed,
        }
    }

    pub fn allow(&self, from: &RequestOrigin) -> bool {
        match from {
            RequestOrigin::App => true,
            RequestOrigin::Page(page) => self.find(page) != OriginMatch::NotAllowed,
        }
    }
}

impl std::borrow::Borrow<str> for Origin {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn an_origin_is_brought_into_the_form_that_browsers_send() {
        for (written, sent) in [
            ("https://app.example.com", "https://app.example.com"),
            ("https://app.example.com/", "https://app.example.com"),
            ("HTTPS://App.Example.COM", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("http://app.example.com:80/", "http://app.example.com"),
            ("https://app.example.com:80", "https://app.example.com:80"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("http://localhost:03000", "http://localhost:3000"),
            ("http://localhost:", "http://localhost"),
            ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
            ("http://[0:0::1]:5173", "http://[::1]:5173"),
            ("http://[FE80::A]", "http://[fe80::a]"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
            ("file://", "file://"),
        ] {
            assert_eq!(origin(written).to_string(), sent, "{written}");
        }
    }

    #[test]
    fn a_text_that_is_no_origin_is_refused_with_what_to_write() {
        for (written, says) in [
            ("app.example.com", "write https://app.example.com"),
            ("localhost:3000", "write https://localhost:3000"),
            ("//app.example.com", "scheme"),
            ("", "scheme"),
            ("*", "leave the list empty"),
            ("null", "sandbox"),
            ("https://*.example.com", "pattern"),
            ("https://app.example.com/path", "nothing else"),
            ("https://app.example.com//", "nothing else"),
            ("https://user@app.example.com", "nothing else"),
            ("https://app.example.com?x", "nothing else"),
            ("wss://app.example.com", "write http://"),
            ("https://", "host is missing"),
            ("https:///", "host is missing"),
            ("https://:443", "host is missing"),
            ("https://app.example.com:0", "1 to 65535"),
            ("https://app.example.com:65536", "1 to 65535"),
            ("https://app.example.com:+1", "1 to 65535"),
            ("https://[::1", "1 to 65535"),
            ("https://[::g]", "IPv6"),
            ("https://[fe80::1%25eth0]", "IPv6"),
            ("https://127.1", "IPv4"),
            ("https://256.0.0.1", "IPv4"),
            ("https://b\u{fc}cher.example", "xn--"),
            ("https://app example.com", "character"),
            ("https://a.example,https://b.example", "nothing else"),
            ("ht tp://app.example.com", "scheme"),
        ] {
            let error = written.parse::<Origin>().expect_err(written).to_string();
            assert!(error.contains(says) && !error.contains('"'), "{written:?}: {error}");
        }
    }

    #[test]
    fn a_pool_without_named_origins_allows_every_page_and_any_pool_allows_an_app() {
        let any = AllowedOrigins::new([]);
        let named = AllowedOrigins::new([origin("https://a.example")]);
        assert_eq!((any.find("https://a.example"), any.find("null")), (OriginMatch::Any, OriginMatch::Any));
        assert_eq!((named.find("https://a.example"), named.find("null")), (OriginMatch::Named, OriginMatch::NotAllowed));
        assert!(named.allow(&RequestOrigin::App) && !named.allow(&RequestOrigin::Page("https://b.example".into())));
        let other = AllowedOrigins::new([origin("https://b.example")]);
        let union = AllowedOrigins::union([&named, &other]);
        assert_eq!((union.find("https://b.example"), union.find("https://c.example")), (OriginMatch::Named, OriginMatch::NotAllowed));
        let union = AllowedOrigins::union([&named, &any]);
        assert_eq!((union.find("https://a.example"), union.find("https://c.example")), (OriginMatch::Named, OriginMatch::Any));
        assert_eq!(AllowedOrigins::union([]).find("https://a.example"), OriginMatch::NotAllowed);
    }
}
