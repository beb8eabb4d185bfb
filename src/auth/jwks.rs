//! Reads the usable keys of a JWKS document (RFC 7517 section 5).
//!
//! Keys for other purposes and of other types are ignored, as the RFC demands. Symmetric keys (`oct`) are always ignored: a published document
//! must not contain a secret. A key that must not be used is reported apart, and the caller decides whether that is an error.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::config::MAX_JWKS_KEYS;
use super::key::{Algorithm, KeyFlaw, PublicParameters, VerificationKey};

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
}

impl Jwks {
    pub(super) fn read(json: &[u8]) -> Result<Self, JwksError> {
        let document: JwksDocument = serde_json::from_slice(json).map_err(|_| JwksError::NoKeys)?;
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
    /// The key or its flaw; `None` for a key that is to be ignored.
    fn into_key(self) -> Option<Result<VerificationKey, KeyFlaw>> {
        let algorithm = self.algorithm()?;
        let has_other_alg = self.alg.as_deref().is_some_and(|alg| Algorithm::from_name(alg) != Some(algorithm));
        if has_other_alg || !self.is_for_verifying() {
            return None;
        }
        if self.d.is_some() {
            return Some(Err(KeyFlaw::Private));
        }
        let key = self.parameters(algorithm).map(|parameters| VerificationKey::public(self.kid.clone(), &parameters));
        Some(key.unwrap_or(Err(KeyFlaw::Invalid)))
    }

    /// The algorithm for a key of this type.
    fn algorithm(&self) -> Option<Algorithm> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(Algorithm::Rs256),
            ("EC", Some("P-256")) => Some(Algorithm::Es256),
            ("OKP", Some("Ed25519")) => Some(Algorithm::EdDsa),
            _ => None,
        }
    }

    /// Whether `use` and `key_ops` permit verifying; an absent one permits everything (RFC 7517 sections 4.2 and 4.3).
    fn is_for_verifying(&self) -> bool {
        let purpose = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let operations = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        purpose && operations
    }

    fn parameters(&self, algorithm: Algorithm) -> Option<PublicParameters<'_>> {
        match algorithm {
            Algorithm::Hs256 => None,
            Algorithm::Rs256 => Some(PublicParameters::Rsa { n: self.n.as_deref()?, e: self.e.as_deref()? }),
            Algorithm::Es256 => Some(PublicParameters::P256 { x: self.x.as_deref()?, y: self.y.as_deref()? }),
            Algorithm::EdDsa => Some(PublicParameters::Ed25519 { x: self.x.as_deref()? }),
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
    fn keys_for_other_purposes_are_ignored() {
        let jwks = read(json!([
            {"kty": "oct", "kid": "secret", "k": "AAAA"},
            {"kty": "oct", "kid": "secret", "alg": "HS256", "k": "AAAA"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "use": "enc"},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "key_ops": ["sign"]},
            {"kty": "OKP", "crv": "Ed448", "x": X},
            {"kty": "EC", "crv": "P-384", "x": X, "y": X},
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
}
