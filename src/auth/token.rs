//! A token in the compact form, taken apart: header, claims, signature, and the bytes that were signed (RFC 7515
//! section 7.1). Nothing in it is believed here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::claims::Claims;
use super::config::MAX_TOKEN_BYTES;
use super::header::Header;
use super::refusal::TokenRefusal;

/// A token's three parts.
pub(super) struct Token<'t> {
    header_json: Vec<u8>,
    claims_json: Vec<u8>,
    /// The bytes that were signed: the first two parts and the full stop between them.
    pub(super) message: &'t [u8],
    /// The signature, still in base64url.
    pub(super) signature: &'t str,
}

impl<'t> Token<'t> {
    /// Takes a token apart. Its size is judged before anything else.
    pub(super) fn split(token: &'t str) -> Result<Self, TokenRefusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenRefusal::TooLarge);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(NOT_THREE_PARTS)?;
        let (header, claims) = message.split_once('.').ok_or(NOT_THREE_PARTS)?;
        if claims.contains('.') {
            return Err(more_parts(token));
        }
        Ok(Self { header_json: decode(header)?, claims_json: decode(claims)?, message: message.as_bytes(), signature })
    }

    /// The header, if it is one that we accept.
    pub(super) fn header(&self) -> Result<Header<'_>, TokenRefusal> {
        Header::read(&self.header_json)
    }

    /// The claims, if all that are needed are there. Their times are not judged yet.
    pub(super) fn claims(&self) -> Result<Claims<'_>, TokenRefusal> {
        Claims::read(&self.claims_json)
    }
}

const NOT_THREE_PARTS: TokenRefusal = TokenRefusal::Malformed("it must have three parts with a full stop between them");

/// Five parts are the compact form of an encrypted token (RFC 7516 section 7.1).
fn more_parts(token: &str) -> TokenRefusal {
    match token.split('.').count() {
        5 => TokenRefusal::Malformed("encrypted tokens (JWE) are not supported"),
        _ => NOT_THREE_PARTS,
    }
}

/// base64url without padding, each text with one spelling only (RFC 7515 section 2).
fn decode(part: &str) -> Result<Vec<u8>, TokenRefusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefusal::Malformed("its parts must be base64url without padding"))
}
