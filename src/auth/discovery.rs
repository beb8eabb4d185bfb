//! OpenID Connect Discovery: an issuer's metadata says where its keys are.

use std::fmt;

use hyper::Uri;
use serde::Deserialize;

use super::config_error::IssuerProblem;
use super::jwks::without_byte_order_mark;
use super::key_url::{self, UrlScheme};

/// Where the keys of an issuer are.
pub(super) enum KeyLocation {
    /// A JWKS document at this URL.
    Document(Uri),
    /// A JWKS document whose URL the issuer's metadata names.
    Discovered(IssuerMetadata),
}

/// The metadata of an issuer (OpenID Connect Discovery 1.0 section 4).
pub(super) struct IssuerMetadata {
    pub(super) url: Uri,
    pub(super) scheme: UrlScheme,
    /// What the metadata must name as their issuer.
    issuer: String,
    allow_private_http: bool,
}

/// Why metadata name no usable URL of keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MetadataError {
    /// Not a JSON object with `issuer` and `jwks_uri`.
    Malformed,
    /// They are another issuer's.
    OtherIssuer(String),
    /// `jwks_uri` is not reached in the same way as the metadata.
    KeysElsewhere { jwks_uri: String, scheme: UrlScheme },
}

#[derive(Deserialize)]
struct MetadataDocument {
    issuer: String,
    jwks_uri: String,
}

/// Where the metadata are, after the issuer's own URL.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What stands for the tenant in the URL of metadata that are the same for all tenants, as Microsoft Entra ID has them.
const ALL_TENANTS: &str = "common";

/// The longest foreign issuer that an error names, in characters.
const NAME_CHARS: usize = 128;

impl IssuerMetadata {
    /// Where the metadata of an issuer are. In the name of a template the tenant is replaced by [`ALL_TENANTS`].
    pub(super) fn of(issuer: &str, allow_private_http: bool) -> Result<Self, IssuerProblem> {
        if issuer.contains(['?', '#']) {
            return Err(IssuerProblem::NoKeys);
        }
        let base = issuer.replace("{tenantid}", ALL_TENANTS);
        let url = format!("{}{WELL_KNOWN}", base.strip_suffix('/').unwrap_or(&base));
        match key_url::parse(&url, allow_private_http) {
            Ok((url, scheme)) => Ok(Self { url, scheme, issuer: issuer.to_owned(), allow_private_http }),
            Err(IssuerProblem::NotAUrl) => Err(IssuerProblem::NoKeys),
            Err(problem) => Err(problem),
        }
    }

    /// The URL of the keys. The metadata must name this issuer, exactly (section 4.3), and keys that are fetched with the same protection.
    pub(super) fn keys_url(&self, json: &[u8]) -> Result<Uri, MetadataError> {
        let document: MetadataDocument = serde_json::from_slice(without_byte_order_mark(json)).map_err(|_| MetadataError::Malformed)?;
        if document.issuer != self.issuer {
            return Err(MetadataError::OtherIssuer(shortened(&document.issuer)));
        }
        match key_url::parse(&document.jwks_uri, self.allow_private_http) {
            Ok((url, scheme)) if scheme == self.scheme => Ok(url),
            // This machine is as private as a network.
            Ok((url, UrlScheme::LoopbackHttp)) if self.scheme == UrlScheme::PrivateHttp => Ok(url),
            Ok(_) | Err(_) => Err(MetadataError::KeysElsewhere { jwks_uri: shortened(&document.jwks_uri), scheme: self.scheme }),
        }
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the metadata must be a JSON object with issuer and jwks_uri"),
            Self::OtherIssuer(named) => {
                write!(f, "the metadata name the issuer {named:?}; set issuer to the iss claim of the tokens, exactly")
            }
            Self::KeysElsewhere { jwks_uri, scheme } => {
                let demanded = match scheme {
                    UrlScheme::Https => "must be https, like the metadata",
                    UrlScheme::LoopbackHttp => "must be plain http to this machine (127.0.0.1, ::1, localhost), like the metadata",
                    UrlScheme::PrivateHttp => "must be plain http to a private address, like the metadata",
                };
                write!(f, "the metadata name {jwks_uri:?} as jwks_uri, which {demanded}")
            }
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_stand_below_the_issuers_url() {
        let url = |issuer| IssuerMetadata::of(issuer, false).map(|metadata| metadata.url.to_string());
        assert_eq!(url("https://a.example").unwrap(), "https://a.example/.well-known/openid-configuration");
        assert_eq!(url("https://a.example/").unwrap(), "https://a.example/.well-known/openid-configuration");
        assert_eq!(url("https://a.example/realms/app").unwrap(), "https://a.example/realms/app/.well-known/openid-configuration");
        assert_eq!(url("https://a.example/{tenantid}/v2.0").unwrap(), "https://a.example/common/v2.0/.well-known/openid-configuration");
        for name in ["accounts.example", "a name", "https://a.example/?tenant=1", "https://a.example/#a", "https://a@b.example"] {
            assert_eq!(url(name), Err(IssuerProblem::NoKeys), "{name}");
        }
        assert_eq!(url("http://a.example"), Err(IssuerProblem::NotHttps));
    }

    #[test]
    fn metadata_must_name_the_issuer_exactly_and_keys_over_tls() {
        let metadata = IssuerMetadata::of("https://a.example", true).unwrap();
        let keys = |issuer: &str, jwks_uri: &str| metadata.keys_url(json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string().as_bytes());
        assert_eq!(keys("https://a.example", "https://keys.example/jwks").unwrap().to_string(), "https://keys.example/jwks");
        for other in ["https://a.example/", "https://A.example", "https://b.example", ""] {
            assert_eq!(keys(other, "https://keys.example/jwks"), Err(MetadataError::OtherIssuer(other.to_owned())));
        }
        for elsewhere in ["http://keys.example/jwks", "http://127.0.0.1/jwks", "http://10.0.0.1/", "file:///etc/passwd", "/jwks", ""] {
            let refused = MetadataError::KeysElsewhere { jwks_uri: elsewhere.to_owned(), scheme: UrlScheme::Https };
            assert_eq!(keys("https://a.example", elsewhere), Err(refused));
        }
        for (issuer, jwks_uri, demanded) in [
            ("https://a.example", "http://10.0.0.1/", "which must be https"),
            ("http://127.0.0.1:1", "https://a.example/", "which must be plain http to this machine"),
            ("http://127.0.0.1:1", "http://10.0.0.1/", "which must be plain http to this machine"),
            ("http://10.0.0.1", "https://a.example/", "which must be plain http to a private address"),
        ] {
            let metadata = IssuerMetadata::of(issuer, true).unwrap();
            let json = json!({"issuer": issuer, "jwks_uri": jwks_uri}).to_string();
            let told = metadata.keys_url(json.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(demanded) && told.contains(jwks_uri), "{told}");
        }
        let private = IssuerMetadata::of("http://10.0.0.1", true).unwrap();
        for jwks_uri in ["http://10.0.0.1/keys", "http://keycloak:8080/keys", "http://localhost/keys"] {
            let json = json!({"issuer": "http://10.0.0.1", "jwks_uri": jwks_uri}).to_string();
            assert_eq!(private.keys_url(json.as_bytes()).unwrap().to_string(), jwks_uri);
        }
        for text in ["", "[]", "{}", r#"{"issuer":"https://a.example"}"#, r#"{"issuer":7,"jwks_uri":"https://a.example"}"#] {
            assert_eq!(metadata.keys_url(text.as_bytes()), Err(MetadataError::Malformed), "{text}");
        }
    }
}
