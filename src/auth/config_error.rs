//! Why the configuration of an issuer cannot be used, and what to do about it.

use std::fmt;
use std::sync::Arc;

use super::config::{MAX_JWKS_BYTES, MIN_SECRET_BYTES};
use super::proxy::UnusableProxy;

/// The configuration of a pool's issuer cannot be used. Shown to the operator when the server starts; contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfigError {
    pub pool: Arc<str>,
    /// The issuer's name in the configuration.
    pub issuer: String,
    /// What is wrong, and what to do about it.
    pub problem: IssuerProblem,
}

/// What is wrong with a configured issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerProblem {
    /// `issuer` is empty.
    NoIssuer,
    /// `issuer` has braces, and is no template.
    BadTemplate,
    /// `audience_claim` is empty.
    NoAudienceClaim,
    /// `audience` is empty or contains an empty name.
    NoAudience,
    /// No source of keys is set, and `issuer` is no URL with metadata below it.
    NoKeys,
    /// More than one of `jwks_url`, `keys_file`, `secret` and `secret_file` is set.
    SeveralKeySources,
    /// The file with the shared secret cannot be read, is empty, or too large.
    UnreadableSecret(String),
    /// The file has the development secret, which is public.
    DevelopmentSecretInFile,
    /// `authority_file` cannot be read, or has no certificate.
    BadAuthority(String),
    /// The proxy through which the keys would be fetched is of a kind that is not supported.
    BadProxy(UnusableProxy),
    /// The shared secret is under [`MIN_SECRET_BYTES`].
    ShortSecret,
    /// The shared secret is a key in PEM form. A public key is not a secret.
    SecretIsPem,
    /// `jwks_url` is not a URL, or it contains a user name.
    NotAUrl,
    /// `jwks_url` is `http` to another machine, or of another scheme.
    NotHttps,
    /// The system has no root certificates to verify an issuer's certificate with.
    NoRootCertificates(String),
    /// The key file cannot be read.
    UnreadableFile(String),
    /// The key file is over [`MAX_JWKS_BYTES`].
    LargeFile,
    /// The key file contains no key, or one that must not be used.
    UnusableFile(String),
    /// The same issuer and audience are configured twice, so it would be ambiguous which pool a token is for.
    Ambiguous {
        /// The common audience.
        audience: String,
        /// The issuer of the other entry: the same one, or one that a template covers.
        other_issuer: Arc<str>,
        /// The pool of the other entry.
        other_pool: Arc<str>,
    },
}

impl fmt::Display for IssuerConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {:?}, issuer {:?}: {}", self.pool, self.issuer, self.problem)
    }
}

impl std::error::Error for IssuerConfigError {}

impl fmt::Display for IssuerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIssuer => f.write_str("issuer is empty; set it to the iss claim of the tokens"),
            Self::BadTemplate => {
                f.write_str("issuer may have {tenantid} once, as a whole segment of the path of an https URL: https://host/{tenantid}/v2.0")
            }
            Self::NoAudienceClaim => f.write_str("audience_claim is empty; leave it out for aud"),
            Self::NoAudience => {
                f.write_str("audience is empty or contains an empty name; set it to the aud claim of the tokens for this pool")
            }
            Self::NoKeys => f.write_str(
                "no source of keys: issuer is not an https URL below which metadata could name them; set one of jwks_url, keys_file, secret and secret_file",
            ),
            Self::SeveralKeySources => {
                f.write_str("several sources of keys; set only one of jwks_url, keys_file, secret and secret_file")
            }
            Self::UnreadableSecret(why) => write!(f, "secret_file: {why}"),
            Self::DevelopmentSecretInFile => f.write_str("secret_file has the development secret, which is public; use a secret of your own"),
            Self::BadAuthority(why) => write!(f, "authority_file cannot be used: {why}"),
            Self::BadProxy(unusable) => write!(f, "{unusable}"),
            Self::ShortSecret => {
                write!(f, "secret is under {MIN_SECRET_BYTES} bytes; generate one with `openssl rand -base64 48`")
            }
            Self::SecretIsPem => f.write_str("secret is a key in PEM form; set keys_file for a public key"),
            Self::NotAUrl => f.write_str("jwks_url must be a URL without a user name: https://host/path"),
            Self::NotHttps => f.write_str("jwks_url, or issuer without it, must be https (http only for 127.0.0.1, ::1 and localhost, and with allow_private_http for private addresses)"),
            Self::NoRootCertificates(why) => {
                write!(f, "no root certificates for https ({why}); install the ca-certificates package")
            }
            Self::UnreadableFile(why) => write!(f, "keys_file cannot be read: {why}"),
            Self::LargeFile => write!(f, "keys_file is over {MAX_JWKS_BYTES} bytes; remove keys that are not in use"),
            Self::UnusableFile(why) => write!(f, "keys_file cannot be used: {why}"),
            Self::Ambiguous { audience, other_issuer, other_pool } => write!(
                f,
                "audience {audience:?} is also configured for issuer {other_issuer:?} in pool {other_pool:?}, which can be the same issuer; \
                 a token must be for one entry only, so give each its own audience"
            ),
        }
    }
}
