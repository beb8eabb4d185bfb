//! Verifies tokens: from a token to the login that it proves.
//!
//! A pool trusts issuers. A [`Verifier`] takes a signed token (a JWT in the compact form, RFC 7515 section 7.1) and the time, and returns
//! the [`VerifiedLogin`] that the token proves or the [`TokenRefusal`] that says why it is rejected. It follows RFC 8725.
//!
//! - Key and algorithm must fit: a key serves the algorithms of its kind only, and a secret never verifies what a public key should. The
//!   token's header can choose among those, and nothing else.
//! - Until the signature is verified, `iss`, the audience, `alg` and `kid` are used only to select the keys that are tried.
//! - Keys come from where the configuration says only: `jku`, `x5u`, `x5c` and `jwk` in a header are never read.
//! - A token belongs to exactly one pool, or is rejected.
//! - Forged tokens cause at most one fetch from an issuer in [`REFETCH_AFTER_S`] ([`RETRY_AFTER_S`] until one has succeeded), which is one request or,
//!   with discovery, two; and bounded work here.
//! - No token and no secret is ever logged or shown. Of a rejected token the log has the issuer and the audience that it names.
//!
//! This module imports no other module of the server but `secret_file`. `token`, `header`, `claims`, `algorithm`, `key`, `jwks`, `issuer_name` and
//! `freshness` are pure; `key_file`,
//! `fetcher` and `remote` read files and the network.

mod config;
mod config_error;
mod refusal;
mod refusal_log;
mod verifier;

mod claims;
mod header;
mod json;
mod token;

mod algorithm;
mod issuer_name;
mod issuers;
mod jwks;
mod key;
mod key_file;
mod key_set;
mod shared_issuers;
mod shared_secret;
mod signature_cache;

mod discovery;
mod fetcher;
mod freshness;
mod key_url;
mod outbound;
mod proxy;
mod remote;

mod mint;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod choice;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod jwks_server;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod support;

pub use config::{
    CACHE_LIFETIME_S, DEVELOPMENT_SECRET, FETCH_TIMEOUT_MS, IssuerConfig, LEEWAY_S, MAX_DATE_S, MAX_JWKS_BYTES, MAX_JWKS_KEYS,
    MAX_RSA_BITS, MAX_SUBJECT_BYTES, MAX_TENANT_BYTES, MAX_TOKEN_BYTES, MAX_TRIED_KEYS, MIN_RSA_BITS, MIN_SECRET_BYTES, REFETCH_AFTER_S,
    RETRY_AFTER_S,
};
pub use config_error::{IssuerConfigError, IssuerProblem};
pub use mint::{MintClaims, MintError, mint};
pub use proxy::{OutboundProxy, ProxyRoutes, UnusableProxy};
pub use refusal::TokenRefusal;
pub use remote::IssuerWithoutKeys;
pub use shared_secret::shared_secret;
pub use verifier::{VerifiedLogin, Verifier};
