//! Token to login: whose token is this, and may it be believed?
//!
//! A pool trusts issuers. A [`Verifier`] takes a signed token (a JWT in the compact form of RFC 7515 section 7.1) and the
//! time, and gives the [`VerifiedLogin`] that it proves or the [`TokenRefusal`] that says what is wrong with it. It follows RFC 8725.
//!
//! - The algorithm belongs to the key. The token's header must name the same one, and chooses nothing.
//! - Until the signature holds, `iss`, `aud` and `kid` only choose the key that must have made it.
//! - Keys come from the configuration only: `jku`, `x5u`, `x5c` and `jwk` in a header are never read.
//! - One token leads to one pool, or to none.
//! - A stranger's tokens cause no work at an issuer beyond one fetch in a stated time, and no work here beyond stated bounds.
//! - No token, no claim of a refused token and no secret is ever logged or shown.
//!
//! This room imports no other room of the house. `token`, `header`, `claims`, `key`, `jwks` and `freshness` decide and do
//! nothing else; `key_file`, `fetcher` and `remote` read files and the network.

mod config;
mod config_error;
mod refusal;
mod verifier;

mod claims;
mod header;
mod json;
mod token;

mod issuers;
mod jwks;
mod jwks_url;
mod key;
mod key_file;
mod key_set;
mod proven;

mod fetcher;
mod freshness;
mod remote;

mod mint;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod support;

pub use config::{
    CACHE_LIFETIME_S, DEVELOPMENT_SECRET, FETCH_TIMEOUT_MS, IssuerConfig, LEEWAY_S, MAX_DATE_S, MAX_JWKS_BYTES, MAX_JWKS_KEYS,
    MAX_RSA_BITS, MAX_SUBJECT_BYTES, MAX_TOKEN_BYTES, MIN_RSA_BITS, MIN_SECRET_BYTES, REFETCH_AFTER_S, RETRY_AFTER_S,
};
pub use config_error::{IssuerConfigError, Problem};
pub use mint::{MintClaims, MintError, mint};
pub use refusal::TokenRefusal;
pub use verifier::{VerifiedLogin, Verifier};
