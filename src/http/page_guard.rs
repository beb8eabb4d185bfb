//! Keeps web pages of other machines out of a server that runs for development: its keys are public, so any page that its developer visits could
//! otherwise read and write the store, from the developer's own browser.
//!
//! - The `Host` must be an address, or a name of the loopback interface. A page that points its own name at this machine (DNS rebinding) has a
//!   name there.
//! - The `Origin` must be of this machine or of this server. A browser sends it with every request that a page could use to write or to read.
//! - A request without `Origin` that a browser made for a page of another site may only open a page (Fetch Metadata).

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, header, request::Parts};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The web pages that may use a server at all; each pool's own `origins` hold beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServedPages {
    /// Those of any site.
    #[default]
    Any,
    /// Those of this machine, of this server, and of the origins that are named in the configuration.
    OfThisMachine,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageRefusal {
    ForeignHost,
    ForeignPage,
    /// Metrics were asked for under a name that a web page may have made up.
    MetricsUnderForeignName,
}

impl PageRefusal {
    /// What the developer can do.
    pub(super) fn message(self) -> &'static str {
        match self {
            PageRefusal::ForeignHost => {
                "a development server answers under an address or localhost only, so that no web page can reach it under a name of its own"
            }
            PageRefusal::ForeignPage => {
                "a development server answers web pages of this machine only, because its keys are public; to use it from another page name \
                 that page's origin in the setting origins"
            }
            PageRefusal::MetricsUnderForeignName => {
                "without TLS metrics are served under an address, localhost, a name without a dot, or one that ends with .internal or \
                 .svc; under another name, which could be a web page's own, send the operator key: Authorization: Bearer <key>"
            }
        }
    }
}

/// Checks the head of a request. `is_named` says of an origin whether the configuration names it.
pub(super) fn check(pages: ServedPages, head: &Parts, is_named: impl Fn(&str) -> bool) -> Result<(), PageRefusal> {
    match pages {
        ServedPages::Any => Ok(()),
        ServedPages::OfThisMachine => check_origin_and_host(head, is_named),
    }
}

fn check_origin_and_host(head: &Parts, is_named: impl Fn(&str) -> bool) -> Result<(), PageRefusal> {
    let text = |name: &HeaderName| text_of(&head.headers, name);
    let host = head.uri.authority().map(Authority::as_str).or_else(|| text(&header::HOST)).unwrap_or_default();
    if !host.is_empty() && !is_own_name(host_without_port(host)) {
        return Err(PageRefusal::ForeignHost);
    }
    match text(&header::ORIGIN) {
        Some(origin) if is_of_this_machine(origin, host) || is_named(origin) => Ok(()),
        Some(_) => Err(PageRefusal::ForeignPage),
        // A header whose bytes are no text.
        None if head.headers.contains_key(header::ORIGIN) => Err(PageRefusal::ForeignPage),
        None => match text(&SEC_FETCH_SITE) {
            Some("cross-site" | "same-site") if !is_navigation(head) => Err(PageRefusal::ForeignPage),
            _ => Ok(()),
        },
    }
}

/// The port has TLS: under a name of its own no web page reaches it, because the certificate has another name.
#[derive(Clone, Copy)]
pub(super) struct EncryptedPort;

/// Whether a web page can have made this request under a name of its own, and so read the answer. Nobody outside decides where an address, a name
/// without a dot or a name that is reserved for private networks leads.
pub(super) fn has_foreign_name(request: &Request) -> bool {
    let host = request.uri().authority().map(Authority::as_str).or_else(|| text_of(request.headers(), &header::HOST));
    let host = host_without_port(host.unwrap_or_default());
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_private = !name.contains('.') || [".internal", ".svc"].iter().any(|ending| name.ends_with(ending));
    !is_private && !is_own_name(host) && request.extensions().get::<EncryptedPort>().is_none()
}

fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A link to this server, followed or typed.
fn is_navigation(head: &Parts) -> bool {
    matches!(head.method, Method::GET | Method::HEAD) && text_of(&head.headers, &SEC_FETCH_MODE) == Some("navigate")
}

/// A page of the loopback interface (an app in development on another port), or of this server itself under the address that it was opened at.
fn is_of_this_machine(origin: &str, host: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    is_loopback(host_without_port(authority)) || (!host.is_empty() && authority.eq_ignore_ascii_case(host))
}

/// A name that nobody else can point at this machine: an address, or a name of the loopback interface (RFC 6761 section 6.3).
fn is_own_name(host: &str) -> bool {
    is_loopback(host) || address_of(host).is_some()
}

fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || address_of(host).is_some_and(|address| address.is_loopback())
}

fn address_of(host: &str) -> Option<std::net::IpAddr> {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).parse().ok()
}

fn host_without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn checked(host: &str, headers: &[(&str, &str)]) -> Result<(), PageRefusal> {
        let request = Request::builder().uri("/demo/token").header("host", host);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        check(ServedPages::OfThisMachine, &request.body(()).expect("a request").into_parts().0, |origin| {
            origin == "https://app.example.com"
        })
    }

    #[test]
    fn the_host_is_an_address_or_a_loopback_name() {
        for host in [
            "127.0.0.1:7400",
            "localhost:7400",
            "LOCALHOST",
            "demo.localhost:1",
            "localhost.",
            "[::1]:7400",
            "192.168.1.5:7400",
            "[fd00::5]",
        ] {
            assert_eq!(checked(host, &[]), Ok(()), "{host}");
        }
        for host in
            ["evil.example:7400", "localhost.evil.example", "127.0.0.1.evil.example:7400", "evillocalhost", "127.1", "0x7f.1", "2130706433"]
        {
            assert_eq!(checked(host, &[]), Err(PageRefusal::ForeignHost), "{host}");
        }
    }

    #[test]
    fn a_name_that_a_page_can_own_is_foreign_to_operators() {
        let is_foreign =
            |host: &str| has_foreign_name(&Request::builder().uri("/").header("host", host).body(Body::empty()).expect("a request"));
        for host in ["127.0.0.1:7401", "localhost", "[::1]:7401", "10.1.2.3:7401", "driftless:7401", "sync.internal:7401", "a.b.svc", ""] {
            assert!(!is_foreign(host), "{host}");
        }
        for host in
            ["evil.example:7401", "127.0.0.1.evil.example", "localhost.evil.example.", "internal.example", "EVIL.EXAMPLE", "db.local"]
        {
            assert!(is_foreign(host), "{host}");
        }
        let mut over_tls = Request::builder().uri("/").header("host", "sync.example.com").body(Body::empty()).expect("a request");
        assert!(has_foreign_name(&over_tls));
        over_tls.extensions_mut().insert(EncryptedPort);
        assert!(!has_foreign_name(&over_tls));
    }

    #[test]
    fn the_origin_is_of_this_machine_or_of_this_server_or_configured() {
        let of_page = |origin| checked("192.168.1.5:7400", &[("origin", origin)]);
        for origin in
            ["http://localhost:5173", "http://127.0.0.1:7400", "http://[::1]:3000", "http://192.168.1.5:7400", "https://app.example.com"]
        {
            assert_eq!(of_page(origin), Ok(()), "{origin}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://192.168.1.5:8000",
            "http://192.168.1.66:7400",
            "http://localhost.evil.example",
            "",
            "file://",
            "é",
        ] {
            assert_eq!(of_page(origin), Err(PageRefusal::ForeignPage), "{origin}");
        }
    }

    #[test]
    fn a_page_of_another_site_may_only_link_here() {
        let from = |site, mode| checked("127.0.0.1:7400", &[("sec-fetch-site", site), ("sec-fetch-mode", mode)]);
        assert_eq!(from("cross-site", "navigate"), Ok(()), "a link");
        assert_eq!(from("same-origin", "cors"), Ok(()), "the demo page's own request");
        assert_eq!(from("none", "navigate"), Ok(()), "a typed address");
        assert_eq!(from("cross-site", "no-cors"), Err(PageRefusal::ForeignPage), "a script or image of a foreign page");
        assert_eq!(from("same-site", "cors"), Err(PageRefusal::ForeignPage));
    }
}
