//! A JWKS document (RFC 7517 section 5) read into the keys that we can use.
//!
//! Keys for other purposes and of other kinds are passed over, as the RFC asks; secrets (`oct`) always are, as a document
//! that others can read holds none. A key that we would use but must not is told apart, for its reader to judge.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::config::MAX_JWKS_KEYS;
use super::key::{Algorithm, Flaw, Key, PublicNumbers};

/// What a document holds for us.
pub(super) struct Jwks {
    /// The keys that can be used, in the document's order.
    pub(super) keys: Vec<Key>,
    /// Why others must not be used.
    pub(super) flaws: Vec<Flaw>,
}

/// Why a text is no JWKS document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotJwks {
    /// It is no JSON object with an array `keys`.
    NoKeys,
    /// It has more than [`MAX_JWKS_KEYS`].
    TooManyKeys,
}

#[derive(Deserialize)]
struct Document {
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
    /// Reads a document.
    pub(super) fn read(json: &[u8]) -> Result<Self, NotJwks> {
        let document: Document = serde_json::from_slice(json).map_err(|_| NotJwks::NoKeys)?;
        if document.keys.len() > MAX_JWKS_KEYS {
            return Err(NotJwks::TooManyKeys);
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
    /// The key, its flaw, or `None` for a key that is not meant for us.
    fn into_key(self) -> Option<Result<Key, Flaw>> {
        let algorithm = self.algorithm()?;
        let named_otherwise = self.alg.as_deref().is_some_and(|alg| Algorithm::from_name(alg) != Some(algorithm));
        if named_otherwise || !self.is_for_verifying() {
            return None;
        }
        if self.d.is_some() {
            return Some(Err(Flaw::Private));
        }
        let key = self.numbers(algorithm).map(|numbers| Key::public(self.kid.clone(), &numbers));
        Some(key.unwrap_or(Err(Flaw::Broken)))
    }

    /// The algorithm that a key of this kind is used with.
    fn algorithm(&self) -> Option<Algorithm> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Some(Algorithm::Rs256),
            ("EC", Some("P-256")) => Some(Algorithm::Es256),
            ("OKP", Some("Ed25519")) => Some(Algorithm::EdDsa),
            _ => None,
        }
    }

    /// Sections 4.2 and 4.3: what is not said is allowed.
    fn is_for_verifying(&self) -> bool {
        let purpose = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
        let operations = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        purpose && operations
    }

    fn numbers(&self, algorithm: Algorithm) -> Option<PublicNumbers<'_>> {
        match algorithm {
            Algorithm::Hs256 => None,
            Algorithm::Rs256 => Some(PublicNumbers::Rsa { n: self.n.as_deref()?, e: self.e.as_deref()? }),
            Algorithm::Es256 => Some(PublicNumbers::P256 { x: self.x.as_deref()?, y: self.y.as_deref()? }),
            Algorithm::EdDsa => Some(PublicNumbers::Ed25519 { x: self.x.as_deref()? }),
        }
    }
}

impl fmt::Display for NotJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str("no JWKS document, which is a JSON object with an array named keys"),
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
    fn keys_that_are_not_for_us_are_passed_over() {
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
    fn keys_that_must_not_be_used_are_told_apart() {
        let jwks = read(json!([
            {"kty": "RSA", "n": X, "e": "AQAB"},
            {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"},
            {"kty": "EC", "crv": "P-256", "x": X},
            {"kty": "OKP", "crv": "Ed25519", "x": X, "d": X},
        ]));
        assert_eq!(jwks.flaws, [Flaw::WeakRsa, Flaw::Broken, Flaw::Broken, Flaw::Private]);
        assert!(jwks.keys.is_empty());
    }

    #[test]
    fn a_document_has_a_bounded_array_of_keys() {
        let many = json!({ "keys": vec![Value::Null; MAX_JWKS_KEYS + 1] }).to_string();
        assert_eq!(Jwks::read(many.as_bytes()).err(), Some(NotJwks::TooManyKeys));
        for text in ["", "{}", "[]", "<html>", r#"{"keys":{}}"#] {
            assert_eq!(Jwks::read(text.as_bytes()).err(), Some(NotJwks::NoKeys), "{text}");
        }
    }
}
