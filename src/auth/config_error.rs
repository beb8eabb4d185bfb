//! Why a pool's issuers cannot be used as they are configured, and what to do about it.

use std::fmt;
use std::sync::Arc;

use super::config::{MAX_JWKS_BYTES, MIN_SECRET_BYTES};

/// A pool's issuer cannot be used. Shown to the operator when the server starts; holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfigError {
    /// The pool's name.
    pub pool: Arc<str>,
    /// The issuer as it is configured.
    pub issuer: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a configured issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// `issuer` is empty.
    NoIssuer,
    /// `audience` is empty or holds an empty name.
    NoAudience,
    /// None of `jwks_url`, `keys_file` and `secret` is set.
    NoKeys,
    /// More than one of `jwks_url`, `keys_file` and `secret` is set.
    SeveralKeySources,
    /// The shared secret is under [`MIN_SECRET_BYTES`].
    ShortSecret,
    /// The shared secret is a key in PEM form. A public key is no secret.
    SecretIsPem,
    /// `jwks_url` is no URL, or holds a user name.
    NotAUrl,
    /// `jwks_url` is `http` to another machine, or of another scheme.
    NotHttps,
    /// This machine has no root certificates to check an issuer's certificate with.
    NoRootCertificates(String),
    /// The key file cannot be read.
    UnreadableFile(String),
    /// The key file is over [`MAX_JWKS_BYTES`].
    LargeFile,
    /// The key file holds something else, or a key that must not be used.
    UnusableFile(String),
    /// The same issuer is configured with the same audience a second time, so a token could lead to two places.
    Ambiguous {
        /// The audience that both have.
        audience: String,
        /// The pool that has them as well.
        other_pool: Arc<str>,
    },
}

impl fmt::Display for IssuerConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool {:?}, issuer {:?}: {}", self.pool, self.issuer, self.problem)
    }
}

impl std::error::Error for IssuerConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIssuer => f.write_str("issuer is empty; set it to the iss claim of the tokens"),
            Self::NoAudience => {
                f.write_str("audience is empty or holds an empty name; set it to the aud claim of the tokens meant for this pool")
            }
            Self::NoKeys => f.write_str("no keys; set one of jwks_url, keys_file and secret"),
            Self::SeveralKeySources => f.write_str("keys from several places; keep one of jwks_url, keys_file and secret"),
            Self::ShortSecret => {
                write!(f, "secret is under {MIN_SECRET_BYTES} bytes; make one with `openssl rand -base64 48`")
            }
            Self::SecretIsPem => f.write_str("secret is a key in PEM form; put a public key into keys_file"),
            Self::NotAUrl => f.write_str("jwks_url is no URL without a user name; write https://host/path"),
            Self::NotHttps => f.write_str("jwks_url must be https (http only to 127.0.0.1, ::1 or localhost)"),
            Self::NoRootCertificates(why) => {
                write!(f, "no root certificates for https ({why}); install the ca-certificates package")
            }
            Self::UnreadableFile(why) => write!(f, "keys_file cannot be read: {why}"),
            Self::LargeFile => write!(f, "keys_file is over {MAX_JWKS_BYTES} bytes; keep only the keys that are in use"),
            Self::UnusableFile(why) => write!(f, "keys_file cannot be used: {why}"),
            Self::Ambiguous { audience, other_pool } => write!(
                f,
                "audience {audience:?} of this issuer is configured a second time, in pool {other_pool:?}; \
                 a token must lead to one pool, so give each pool its own audience"
            ),
        }
    }
}
