//! Parses a signed JWT (compact form, RFC 7515 section 7.1) and verifies its signature, without the library that the server signs with.

use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

pub(crate) struct ParsedJwt<'a> {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> ParsedJwt<'a> {
    /// Splits and decodes a token. Ignores padding, which RFC 7515 forbids and Google accepts.
    pub(crate) fn parse(token: &'a str) -> Option<ParsedJwt<'a>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&decode_base64url(part)?).ok();
        Some(ParsedJwt { header: json(header)?, claims: json(claims)?, signed, signature: decode_base64url(signature)? })
    }

    pub(crate) fn is_signed_by(&self, algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm, key).verify(self.signed.as_bytes(), &self.signature).is_ok()
    }

    /// The header's `alg`.
    pub(crate) fn algorithm(&self) -> Option<&str> {
        self.header["alg"].as_str()
    }
}

/// Decodes base64url (RFC 4648 section 5), padded or not.
pub(crate) fn decode_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}
