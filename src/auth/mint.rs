//! Mints tokens for development and tests, signed with a shared secret as an issuer would.

use std::fmt;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

use super::config::MIN_SECRET_BYTES;

/// The claims of a minted token.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MintClaims<'a> {
    /// `iss`: an issuer that the pool trusts.
    #[serde(rename = "iss")]
    pub issuer: &'a str,
    /// `aud`: one of the audiences configured for the issuer.
    #[serde(rename = "aud")]
    pub audience: &'a str,
    /// `sub`: the user, 1 to 255 bytes.
    #[serde(rename = "sub")]
    pub subject: &'a str,
    /// `iat`: when the token is issued, in Unix seconds.
    #[serde(rename = "iat")]
    pub issued_s: u64,
    /// `exp`: when it expires, in Unix seconds.
    #[serde(rename = "exp")]
    pub expires_s: u64,
}

/// Why no token was minted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MintError {
    /// The secret is under [`MIN_SECRET_BYTES`]: no pool would accept it.
    ShortSecret,
    /// The cryptographic library failed to sign.
    NotSigned,
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortSecret => write!(f, "the secret is under {MIN_SECRET_BYTES} bytes"),
            Self::NotSigned => f.write_str("the token could not be signed"),
        }
    }
}

impl std::error::Error for MintError {}

/// Mints an HS256 token (RFC 7518 section 3.2).
pub fn mint(secret: &str, claims: &MintClaims<'_>) -> Result<String, MintError> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(MintError::ShortSecret);
    }
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).map_err(|_| MintError::NotSigned)
}
