//! The proxy towards issuers and push gateways: `HTTPS_PROXY` and `NO_PROXY`, as other programs read them.

use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// Which proxy `https` requests go through. Not checked yet: a proxy that nothing needs does no harm.
#[derive(Clone, Default)]
pub struct OutboundProxy {
    /// The variable that names the proxy.
    variable: &'static str,
    https_proxy: String,
    no_proxy: String,
}

/// A proxy that is not spoken to over HTTP, such as a SOCKS proxy, or no URL. Contains no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableProxy {
    /// The variable that names it.
    pub variable: &'static str,
}

/// The variables that name a proxy, the first that is set counts.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

impl OutboundProxy {
    /// A proxy, as `http://host:port`, and the hosts that are reached without it, with commas between them.
    pub fn new(https_proxy: &str, no_proxy: &str) -> Self {
        Self { variable: PROXY_VARIABLES[0], https_proxy: https_proxy.trim().to_owned(), no_proxy: no_proxy.to_owned() }
    }

    /// As the environment has it: `HTTPS_PROXY` or else `ALL_PROXY`, and `NO_PROXY`, each also in lower case.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let no_proxy = set("NO_PROXY").or_else(|| set("no_proxy")).unwrap_or_default();
        match PROXY_VARIABLES.into_iter().find_map(|name| Some((name, set(name)?))) {
            Some((name, https_proxy)) => Self { variable: name, ..Self::new(&https_proxy, &no_proxy) },
            None => Self::new("", &no_proxy),
        }
    }

    /// The proxy for each destination.
    pub fn routes(&self) -> ProxyRoutes {
        if self.https_proxy.is_empty() {
            return ProxyRoutes(None);
        }
        let any = Uri::from_static("https://issuer.invalid/");
        let proxy = Matcher::builder().https(self.https_proxy.as_str()).build().intercept(&any);
        let is_usable =
            proxy.is_some_and(|proxy| matches!(proxy.uri().scheme_str(), Some("http" | "https")) && proxy.uri().host().is_some());
        // With the name of any proxy the library still says which destinations need none.
        let https_proxy = if is_usable { self.https_proxy.as_str() } else { "http://unusable.invalid" };
        let matcher = Matcher::builder().https(https_proxy).no(self.no_proxy.as_str()).build();
        let unusable = (!is_usable).then_some(UnusableProxy { variable: self.variable });
        ProxyRoutes(Some(Arc::new(ConfiguredRoutes { matcher, unusable })))
    }
}

impl fmt::Debug for OutboundProxy {
    /// Without the proxy, whose URL may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundProxy").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

/// The proxy for each destination. Cheap to clone; by default there is none.
#[derive(Clone, Default)]
pub struct ProxyRoutes(Option<Arc<ConfiguredRoutes>>);

struct ConfiguredRoutes {
    matcher: Matcher,
    /// The proxy cannot be used; only what needs none is reached.
    unusable: Option<UnusableProxy>,
}

impl ProxyRoutes {
    /// The proxy that a request goes through; `None`: it goes directly.
    pub fn proxy_for(&self, destination: &Uri) -> Result<Option<Intercept>, UnusableProxy> {
        let Some(routes) = &self.0 else { return Ok(None) };
        match (routes.matcher.intercept(destination), routes.unusable) {
            (None, _) => Ok(None),
            (Some(_), Some(unusable)) => Err(unusable),
            (Some(proxy), None) => Ok(Some(proxy)),
        }
    }

    /// Whether a destination can be reached, as far as its proxy is concerned.
    pub fn check(&self, destination: &Uri) -> Result<(), UnusableProxy> {
        self.proxy_for(destination).map(drop)
    }
}

impl fmt::Display for UnusableProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the variable {} names a proxy that is not supported: it must be http://host:port or https://host:port (not socks); \
             correct it, set HTTPS_PROXY, which comes before ALL_PROXY, or except the host in NO_PROXY",
            self.variable
        )
    }
}

impl std::error::Error for UnusableProxy {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn proxy_for(proxy: &OutboundProxy, url: &'static str) -> Option<String> {
        proxy.routes().proxy_for(&Uri::from_static(url)).unwrap().map(|proxy| proxy.uri().to_string())
    }

    #[test]
    fn variables_are_read_in_upper_and_in_lower_case() {
        let of = |set: &'static [(&str, &str)]| {
            OutboundProxy::from_variables(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        let used = |set| proxy_for(&of(set), "https://issuer.example/");
        assert_eq!(used(&[]), None);
        assert_eq!(used(&[("HTTPS_PROXY", "http://p:1")]).unwrap(), "http://p:1/");
        assert_eq!(used(&[("https_proxy", "http://p:2")]).unwrap(), "http://p:2/");
        assert_eq!(used(&[("https_proxy", "p:2")]).unwrap(), "http://p:2/", "as curl takes it");
        assert_eq!(used(&[("all_proxy", "http://p:3")]).unwrap(), "http://p:3/");
        assert_eq!(used(&[("HTTPS_PROXY", ""), ("https_proxy", "http://p:2")]).unwrap(), "http://p:2/");
        assert_eq!(used(&[("HTTP_PROXY", "http://p:4")]), None);
        assert_eq!(used(&[("HTTPS_PROXY", "http://p:1"), ("no_proxy", "other.example, issuer.example")]), None);
        assert_eq!(used(&[("HTTPS_PROXY", "http://p:1"), ("NO_PROXY", "*")]), None);
    }

    #[test]
    fn hosts_without_proxy_and_plain_http_go_directly() {
        let proxy = OutboundProxy::new("http://p:1", ".example, 10.0.0.0/8");
        assert_eq!(proxy_for(&proxy, "https://issuer.example/"), None);
        assert_eq!(proxy_for(&proxy, "https://10.1.2.3/"), None);
        assert_eq!(proxy_for(&proxy, "http://127.0.0.1/"), None);
        assert!(proxy_for(&proxy, "https://issuer.test/").is_some());
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_of_what_needs_it_and_names_its_variable() {
        let (needs, excepted, plain) = ("https://issuer.test/", "https://issuer.example/", "http://127.0.0.1/");
        for wrong in ["socks5://p:1", "socks5h://user:planted@p:1", "socks://p:1", "ftp://p:1", "http://", "not a url"] {
            for variable in PROXY_VARIABLES {
                let proxy = OutboundProxy::from_variables(|name| match name {
                    "NO_PROXY" => Some(".example".to_owned()),
                    _ => (name == variable).then(|| wrong.to_owned()),
                });
                let check = |url: &'static str| proxy.routes().check(&Uri::from_static(url));
                assert_eq!(check(needs), Err(UnusableProxy { variable }), "{wrong}");
                assert_eq!((check(excepted), check(plain)), (Ok(()), Ok(())), "{wrong}");
                let told = check(needs).unwrap_err().to_string();
                assert!(told.contains(&format!("variable {variable} ")) && !told.contains("planted"), "{told}");
            }
        }
        // A proxy of the first variable makes the others irrelevant, as for other programs.
        let both = OutboundProxy::from_variables(|name| match name {
            "HTTPS_PROXY" => Some("http://p:1".to_owned()),
            "ALL_PROXY" => Some("socks5://p:2".to_owned()),
            _ => None,
        });
        assert_eq!(proxy_for(&both, "https://issuer.test/").unwrap(), "http://p:1/");
        assert!(!format!("{:?}", OutboundProxy::new("http://user:planted@p:1", "")).contains("planted"));
    }
}
