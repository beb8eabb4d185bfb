//! Reads the usable keys of a JWKS document (RFC 7517 section 5).
//!
//! Keys for other purposes and of other kinds are passed over, as the RFC demands. Symmetric keys (`oct`) are always passed over: a published document
//! must not contain a secret. A key that must not be used is reported apart, and the caller decides whether that is an error.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::algorithm::{Algorithm, KeyKind};
use super::config::MAX_JWKS_KEYS;
use super::key::{KeyFlaw, PublicParameters, VerificationKey};

/// The content of a document.
pub(super) struct Jwks {
    /// The usable keys, in the document's order.
    pub(super) keys: Vec<VerificationKey>,
    /// The flaws of keys that must not be used.
    pub(super) flaws: Vec<KeyFlaw>,
}

/// Why a text is not a JWKS document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JwksError {
    /// It is not a JSON object with an array `keys`.
    NoKeys,
    /// It has more than [`MAX_JWKS_KEYS`] keys.
    TooManyKeys,
}

#[derive(Deserialize)]
struct JwksDocument {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<IgnoredAny>,
    /// Not registered: Microsoft Entra ID names here whose tokens the key signs, one tenant's or, with a template, any tenant's.
    issuer: Option<String>,
}

/// What some servers write before a text in UTF-8, and a JSON text must not begin with (RFC 8259 section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A text without the byte order mark before it.
pub(super) fn without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

impl Jwks {
    pub(super) fn read(json: &[u8]) -> Result<Self, JwksError> {
        let document: JwksDocument = serde_json::from_slice(without_byte_order_mark(json)).map_err(|_| JwksError::NoKeys)?;
        if document.keys.len() > MAX_JWKS_KEYS {
            return Err(JwksError::TooManyKeys);
        }
        let mut jwks = Self { keys: Vec::new(), flaws: Vec::new() };
        for value in document.keys {
            match Jwk::deserialize(value).ok().and_then(Jwk::into_key) {
                Some(Ok(key)) => jwks.keys.push(key),
                Some(Err(flaw)) => jwks.flaws.push(flaw),
                None => {}
            }
        }
        Ok(jwks)
    }
}

impl Jwk {
    /// The key or its flaw; `None` for a key that is to be passed over.
    fn into_key(self) -> Option<Result<VerificationKey, KeyFlaw>> {
        let kind = self.kind()?;
        let only = match &self.alg {
            Some(alg) => Some(Algorithm::from_name(alg).filter(|only| only.key_kind() == kind)?),
            None => None,
        };
        if !self.is_for_verifying() {
            return None;
        }
        if self.d.is_some() {
            return Some(Err(KeyFlaw::Private));
        }
        let key = self.parameters(kind).map_or(Err(KeyFlaw::Invalid), |parameters| VerificationKey::public(&parameters));
        Some(key.map(|key| key.named(self.kid, only, self.issuer)))
    }

    fn kind(&self) -> Option<KeyKind> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(KeyKind::Rsa),
            ("EC", Some("P-256")) => Some(KeyKind::P256),
            ("EC", Some("P-384")) => Some(KeyKind::P384),
            ("EC", Some("P-521")) => Some(KeyKind::P521),
            ("EC", Some("secp256k1")) => Some(KeyKind::Secp256k1),
            ("OKP", Some("Ed25519")) => Some(KeyKind::Ed25519),
            _ => None,
        }
    }

    /// Whether `use` and `key_ops` permit verifying; an absent one permits everything (RFC 7517 sections 4.2 and 4.3).
    fn is_for_verifying(&self) -> bool {
        let purpose = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let operations = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        purpose && operations
    }

    fn parameters(&self, kind: KeyKind) -> Option<PublicParameters<'_>> {
        match kind {
            KeyKind::Secret => None,
            KeyKind::Rsa => Some(PublicParameters::Rsa { n: self.n.as_deref()?, e: self.e.as_deref()? }),
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Secp256k1 => {
                Some(PublicParameters::Ec { curve: kind, x: self.x.as_deref()?, y: self.y.as_deref()? })
            }
            KeyKind::Ed25519 => Some(PublicParameters::Ed25519 { x: self.x.as_deref()? }),
        }
    }
}

impl fmt::Display for JwksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str("not a JWKS document: it must be a JSON object with an array named keys"),
            Self::TooManyKeys => write!(f, "a JWKS document with more than {MAX_JWKS_KEYS} keys"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn read(keys: Value) -> Jwks {
        Jwks::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn keys_for_other_purposes_and_of_other_kinds_are_passed_over() {
        let jwks = read(json!([
            {"kty": "oct", "kid": "secret", "k": "AAAA"},
            {"kty": "oct", "kid": "secret", "alg": "HS256", "k": "AAAA"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "use": "enc"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "key_ops": ["sign"]},
            {"kty": "OKP", "crv": "Ed448", "x": X},
            {"kty": "EC", "crv": "BP-256", "x": X, "y": X},
            {"kty": "OKP", "crv": "X25519", "x": X},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "alg": "ES256"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "use": ["sig"]},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "key_ops": []},
            {"kty": "RSA", "alg": "RSA-OAEP", "n": X, "e": "AQAB"},
            {"kty": "AKP", "alg": "ML-DSA-44", "pub": X},
            {"kid": "no kind"}, "no key", null, {"kty": 7},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "use": "sig", "kid": "ours"},
        ]));
        assert_eq!(jwks.flaws, []);
        assert_eq!(jwks.keys.len(), 1);
        assert_eq!(jwks.keys[0].kid.as_deref(), Some("ours"));
    }

    #[test]
    fn keys_that_must_not_be_used_are_reported_apart() {
        let jwks = read(json!([
            {"kty": "RSA", "n": X, "e": "AQAB"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
            {"kty": "EC", "crv": "P-256", "x": X},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "d": X},
        ]));
        assert_eq!(jwks.flaws, [KeyFlaw::WeakRsa, KeyFlaw::Invalid, KeyFlaw::Invalid, KeyFlaw::Private]);
        assert!(jwks.keys.is_empty());
    }

    #[test]
    fn a_document_has_a_bounded_array_of_keys() {
        let many = json!({ "keys": vec![Value::Null; MAX_JWKS_KEYS + 1] }).to_string();
        assert_eq!(Jwks::read(many.as_bytes()).err(), Some(JwksError::TooManyKeys));
        for text in ["", "{}", "[]", "<html>", r#"{"keys":{}}"#] {
            assert_eq!(Jwks::read(text.as_bytes()).err(), Some(JwksError::NoKeys), "{text}");
        }
    }

    #[test]
    fn a_byte_order_mark_before_the_document_is_read_over() {
        let document = json!({ "keys": [{"kty": "OKP", "crv": "Ed25519", "x": X}] });
        assert_eq!(Jwks::read(format!("\u{feff}{document}").as_bytes()).unwrap().keys.len(), 1);
        assert_eq!(Jwks::read(format!("\u{feff}\u{feff}{document}").as_bytes()).err(), Some(JwksError::NoKeys));
    }
}
