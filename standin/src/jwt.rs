//! Reads a signed token (a JWT in the compact form, RFC 7515 section 7.1) and checks its signature, without the senders' library.

use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

pub(super) struct Jwt<'a> {
    pub(super) header: Value,
    pub(super) claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// The three parts of a token. Padding, which RFC 7515 forbids and Google takes, is passed over.
    pub(super) fn read(token: &'a str) -> Option<Jwt<'a>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&base64url(part)?).ok();
        Some(Jwt { header: json(header)?, claims: json(claims)?, signed, signature: base64url(signature)? })
    }

    /// Whether this key signed it.
    pub(super) fn is_signed_by(&self, algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> bool {
        UnparsedPublicKey::new(algorithm, key).verify(self.signed.as_bytes(), &self.signature).is_ok()
    }

    /// What the header says about the algorithm.
    pub(super) fn algorithm(&self) -> Option<&str> {
        self.header["alg"].as_str()
    }
}

/// Bytes in base64url (RFC 4648 section 5), padded or not.
pub(super) fn base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}
