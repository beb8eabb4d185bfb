//! Splits a token in the compact form into header, claims, signature and the signed bytes (RFC 7515 section 7.1). Nothing is verified here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::TokenClaims;
use super::config::MAX_TOKEN_BYTES;
use super::header::TokenHeader;
use super::refusal::TokenRefusal;

/// The parts of a token.
pub(super) struct CompactToken<'t> {
    header_json: Vec<u8>,
    claims_json: Vec<u8>,
    /// The bytes that were signed: the first two parts and the full stop between them.
    pub(super) message: &'t [u8],
    /// The signature, in base64url.
    pub(super) signature: &'t str,
}

impl<'t> CompactToken<'t> {
    /// Splits a token. Its size is checked before anything else.
    pub(super) fn split(token: &'t str) -> Result<Self, TokenRefusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefusal::TooLarge);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(NOT_THREE_PARTS)?;
        let (header, claims) = message.split_once('.').ok_or(NOT_THREE_PARTS)?;
        if claims.contains('.') {
            return Err(too_many_parts(token));
        }
        Ok(Self { header_json: decode(header)?, claims_json: decode(claims)?, message: message.as_bytes(), signature })
    }

    /// The header, if it is acceptable.
    pub(super) fn header(&self) -> Result<TokenHeader<'_>, TokenRefusal> {
        TokenHeader::read(&self.header_json)
    }

    /// The claims as JSON text, which nobody has checked.
    pub(super) fn claims_json(&self) -> &[u8] {
        &self.claims_json
    }

    /// The claims, if every required claim is present. Their times are not checked yet.
    pub(super) fn claims(&self) -> Result<TokenClaims<'_>, TokenRefusal> {
        TokenClaims::read(&self.claims_json)
    }
}

const NOT_THREE_PARTS: TokenRefusal = TokenRefusal::Malformed("it must have three parts with a full stop between them");

/// Five parts are the compact form of an encrypted token (RFC 7516 section 7.1).
fn too_many_parts(token: &str) -> TokenRefusal {
    match token.split('.').count() {
        5 => TokenRefusal::Malformed("encrypted tokens (JWE) are not supported"),
        _ => NOT_THREE_PARTS,
    }
}

/// Decodes base64url without padding, which has exactly one encoding of each byte string (RFC 7515 section 2).
fn decode(part: &str) -> Result<Vec<u8>, TokenRefusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefusal::Malformed("its parts must be base64url without padding"))
}
