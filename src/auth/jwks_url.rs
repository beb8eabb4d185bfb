//! Checks a `jwks_url`: it must be `https`, or `http` to this machine.

use std::net::IpAddr;

use hyper::Uri;

use super::config_error::IssuerProblem;

/// How a document is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Over TLS.
    Https,
    /// Without TLS, from this machine only.
    LoopbackHttp,
}

/// Parses and checks a `jwks_url`.
pub(super) fn parse(url: &str) -> Result<(Uri, Scheme), IssuerProblem> {
    let uri: Uri = url.parse().map_err(|_| IssuerProblem::NotAUrl)?;
    let authority = uri.authority().ok_or(IssuerProblem::NotAUrl)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(IssuerProblem::NotAUrl);
    }
    match uri.scheme_str() {
        Some("https") => Ok((uri, Scheme::Https)),
        Some("http") if is_loopback(authority.host()) => Ok((uri, Scheme::LoopbackHttp)),
        Some(_) => Err(IssuerProblem::NotHttps),
        None => Err(IssuerProblem::NotAUrl),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => bare.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_may_leave_this_machine() {
        let scheme = |url| parse(url).map(|(_, scheme)| scheme);
        assert_eq!(scheme("https://issuer.example/jwks.json"), Ok(Scheme::Https));
        assert_eq!(scheme("http://127.0.0.1:8080/jwks.json"), Ok(Scheme::LoopbackHttp));
        assert_eq!(scheme("http://[::1]:8080/"), Ok(Scheme::LoopbackHttp));
        assert_eq!(scheme("http://localhost/"), Ok(Scheme::LoopbackHttp));
        assert_eq!(scheme("http://issuer.example/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("http://127.0.0.1.issuer.example/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("http://10.0.0.1/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("ftp://127.0.0.1/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("https://name:word@issuer.example/"), Err(IssuerProblem::NotAUrl));
        assert_eq!(scheme("/jwks.json"), Err(IssuerProblem::NotAUrl));
        assert_eq!(scheme("issuer.example"), Err(IssuerProblem::NotAUrl));
        assert_eq!(scheme("not a url"), Err(IssuerProblem::NotAUrl));
    }
}
