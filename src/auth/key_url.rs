//! Checks the URL of an issuer's keys or metadata: it must be `https`, or `http` to this machine, or, if the configuration allows it, `http` to a
//! private address.

use std::net::IpAddr;

use hyper::Uri;

use super::config_error::IssuerProblem;

/// How a document is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum UrlScheme {
    /// Over TLS.
    Https,
    /// Without TLS, from this machine only.
    LoopbackHttp,
    /// Without TLS, from this machine or a private network only.
    PrivateHttp,
}

impl UrlScheme {
    /// Whether a document may be fetched from this address. Over TLS the certificate decides.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Https => true,
            Self::LoopbackHttp => address.to_canonical().is_loopback(),
            Self::PrivateHttp => is_private(address.to_canonical()),
        }
    }
}

/// Parses and checks a URL. A name is checked again when it has been resolved.
pub(super) fn parse(url: &str, allow_private_http: bool) -> Result<(Uri, UrlScheme), IssuerProblem> {
    let uri: Uri = url.parse().map_err(|_| IssuerProblem::NotAUrl)?;
    let authority = uri.authority().ok_or(IssuerProblem::NotAUrl)?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return Err(IssuerProblem::NotAUrl);
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let allows = |scheme: UrlScheme| match bare.parse::<IpAddr>() {
        Ok(address) => scheme.allows(address),
        Err(_) => scheme == UrlScheme::PrivateHttp || bare.eq_ignore_ascii_case("localhost"),
    };
    match uri.scheme_str() {
        Some("https") => Ok((uri, UrlScheme::Https)),
        Some("http") if allows(UrlScheme::LoopbackHttp) => Ok((uri, UrlScheme::LoopbackHttp)),
        Some("http") if allow_private_http && allows(UrlScheme::PrivateHttp) => Ok((uri, UrlScheme::PrivateHttp)),
        Some(_) => Err(IssuerProblem::NotHttps),
        None => Err(IssuerProblem::NotAUrl),
    }
}

/// Whether an address is this machine's or in a private network (RFC 1918, RFC 4193). Link-local addresses are not: at them a cloud offers a
/// machine's own credentials.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_may_leave_this_machine() {
        let scheme = |url| parse(url, false).map(|(_, scheme)| scheme);
        assert_eq!(scheme("https://issuer.example/jwks.json"), Ok(UrlScheme::Https));
        assert_eq!(scheme("http://127.0.0.1:8080/jwks.json"), Ok(UrlScheme::LoopbackHttp));
        assert_eq!(scheme("http://[::1]:8080/"), Ok(UrlScheme::LoopbackHttp));
        assert_eq!(scheme("http://localhost/"), Ok(UrlScheme::LoopbackHttp));
        assert_eq!(scheme("http://issuer.example/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("http://127.0.0.1.issuer.example/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("http://10.0.0.1/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("ftp://127.0.0.1/"), Err(IssuerProblem::NotHttps));
        assert_eq!(scheme("https://name:word@issuer.example/"), Err(IssuerProblem::NotAUrl));
        assert_eq!(scheme("/jwks.json"), Err(IssuerProblem::NotAUrl));
        assert_eq!(scheme("issuer.example"), Err(IssuerProblem::NotAUrl));
        assert_eq!(scheme("not a url"), Err(IssuerProblem::NotAUrl));
    }

    #[test]
    fn plain_http_reaches_private_addresses_if_the_configuration_allows_it_and_never_public_ones() {
        let scheme = |url| parse(url, true).map(|(_, scheme)| scheme);
        for private in ["http://10.0.0.1/", "http://172.16.3.4:8080/", "http://192.168.1.1/", "http://[fd00::1]/", "http://keycloak:8080/"]
        {
            assert_eq!(scheme(private), Ok(UrlScheme::PrivateHttp), "{private}");
        }
        assert_eq!(scheme("http://localhost/"), Ok(UrlScheme::LoopbackHttp));
        for other in ["http://192.0.2.1/", "http://169.254.169.254/", "http://[fe80::1]/", "http://[2001:db8::1]/", "http://0.0.0.0/"] {
            assert_eq!(scheme(other), Err(IssuerProblem::NotHttps), "{other}");
        }
        let resolved = |address: &str| address.parse().is_ok_and(|address| UrlScheme::PrivateHttp.allows(address));
        assert!(resolved("::ffff:10.0.0.1") && !resolved("::ffff:192.0.2.1") && !resolved("::ffff:169.254.169.254"));
        assert!(
            UrlScheme::LoopbackHttp.allows(IpAddr::from([127, 0, 0, 1])) && !UrlScheme::LoopbackHttp.allows(IpAddr::from([10, 0, 0, 1]))
        );
    }
}
