//! The proxy towards issuers and push gateways: `HTTPS_PROXY` and `NO_PROXY`, as other programs read them.

use std::fmt;
use std::sync::Arc;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::config_error::IssuerProblem;

/// Which proxy `https` requests go through. Not checked yet.
#[derive(Clone, Default)]
pub struct OutboundProxy {
    https_proxy: String,
    no_proxy: String,
}

impl OutboundProxy {
    /// A proxy, as `http://host:port`, and the hosts that are reached without it, with commas between them.
    pub fn new(https_proxy: &str, no_proxy: &str) -> Self {
        Self { https_proxy: https_proxy.trim().to_owned(), no_proxy: no_proxy.to_owned() }
    }

    /// As the environment has it: `HTTPS_PROXY` or else `ALL_PROXY`, and `NO_PROXY`, each also in lower case.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.trim().is_empty()));
        let https_proxy = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]);
        let no_proxy = first(&["NO_PROXY", "no_proxy"]);
        Self::new(&https_proxy.unwrap_or_default(), &no_proxy.unwrap_or_default())
    }

    /// The proxy for each destination.
    pub fn routes(&self) -> Result<ProxyRoutes, IssuerProblem> {
        if self.https_proxy.is_empty() {
            return Ok(ProxyRoutes(None));
        }
        let any = Uri::from_static("https://issuer.invalid/");
        let proxy = Matcher::builder().https(self.https_proxy.as_str()).build().intercept(&any);
        if !proxy.is_some_and(|proxy| matches!(proxy.uri().scheme_str(), Some("http" | "https")) && proxy.uri().host().is_some()) {
            return Err(IssuerProblem::BadProxy);
        }
        let matcher = Matcher::builder().https(self.https_proxy.as_str()).no(self.no_proxy.as_str()).build();
        Ok(ProxyRoutes(Some(Arc::new(matcher))))
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
pub struct ProxyRoutes(Option<Arc<Matcher>>);

impl ProxyRoutes {
    /// The proxy that a request goes through; `None`: it goes directly.
    pub fn proxy_for(&self, destination: &Uri) -> Option<Intercept> {
        self.0.as_ref()?.intercept(destination)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn proxy_for(proxy: &OutboundProxy, url: &'static str) -> Option<String> {
        proxy.routes().unwrap().proxy_for(&Uri::from_static(url)).map(|proxy| proxy.uri().to_string())
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
    fn a_proxy_that_cannot_be_used_is_an_error_that_does_not_show_its_password() {
        for wrong in ["socks5://p:1", "ftp://p:1", "http://", "not a url"] {
            assert_eq!(OutboundProxy::new(wrong, "").routes().err(), Some(IssuerProblem::BadProxy), "{wrong}");
        }
        assert!(!format!("{:?}", OutboundProxy::new("http://user:planted@p:1", "")).contains("planted"));
    }
}
