//! Support for the tests of this module: keys of every type, tokens with any content, and verifiers that trust them.
#![allow(clippy::unwrap_used)]

use std::fmt::Display;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{encoding, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

use super::{IssuerConfig, IssuerConfigError, TokenRefusal, VerifiedLogin, Verifier};

pub(super) const NOW_S: u64 = 1_790_000_000;
pub(super) const POOL: &str = "notes";
pub(super) const ISSUER: &str = "https://issuer.example/";
pub(super) const AUDIENCE: &str = "notes-app";
pub(super) const SECRET: &str = "a secret for tests: forty bytes or so long";

pub(super) enum TestSigner {
    Unsigned,
    Shared(Vec<u8>),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

pub(super) static RSA: LazyLock<TestSigner> = LazyLock::new(|| TestSigner::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<TestSigner> = LazyLock::new(TestSigner::new_p256);
pub(super) static ED25519: LazyLock<TestSigner> = LazyLock::new(TestSigner::new_ed25519);

impl TestSigner {
    pub(super) fn shared() -> Self {
        Self::Shared(SECRET.into())
    }

    pub(super) fn new_p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn new_ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(super) fn alg(&self) -> &'static str {
        match self {
            Self::Unsigned => "none",
            Self::Shared(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
            Self::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Unsigned => Vec::new(),
            Self::Shared(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as a JWK.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let key = match self {
            Self::Unsigned | Self::Shared(_) => panic!("no public key"),
            Self::Rsa(pair) => DecodingKey::from_rsa_der(pair.public_key().as_ref()),
            Self::P256(pair) => DecodingKey::from_ec_der(pair.public_key().as_ref()),
            Self::Ed25519(pair) => DecodingKey::from_ed_der(pair.public_key().as_ref()),
        };
        let mut jwk = serde_json::to_value(Jwk::from_decoding_key(&key, None).unwrap()).unwrap();
        jwk["kid"] = kid.into();
        jwk
    }

    /// The public key in PEM form (RFC 7468 section 13).
    pub(super) fn pem(&self) -> String {
        use encoding::AsDer;
        let spki: Vec<u8> = match self {
            Self::Unsigned | Self::Shared(_) => panic!("no public key"),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::P256(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
        };
        pem("PUBLIC KEY", &spki)
    }
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a valid token with these changes; a null value removes a claim.
pub(super) fn claims_with(changes: Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": NOW_S, "exp": NOW_S + 3600});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

pub(super) fn claims() -> Value {
    claims_with(json!({}))
}

/// A signed token with this header and these claims.
pub(super) fn token(header: impl Display, claims: impl Display, signer: &TestSigner) -> String {
    let message = message(header, claims);
    with_signature(&message, signer.sign(message.as_bytes()))
}

/// A token with these claims, signed with the shared secret.
pub(super) fn shared_token(claims: impl Display) -> String {
    token(json!({"alg": "HS256"}), claims, &TestSigner::shared())
}

/// A valid token of a signer.
pub(super) fn token_of(signer: &TestSigner, kid: &str) -> String {
    token(json!({"alg": signer.alg(), "kid": kid}), claims(), signer)
}

pub(super) fn message(header: impl Display, claims: impl Display) -> String {
    format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()))
}

pub(super) fn with_signature(message: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{message}.{}", base64url(signature))
}

pub(super) fn shared_config() -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: vec![AUDIENCE.to_owned()],
        jwks_url: None,
        keys_file: None,
        secret: Some(SECRET.to_owned()),
    }
}

pub(super) fn verifier_of(pools: &[(&str, IssuerConfig)]) -> Result<Verifier, IssuerConfigError> {
    Verifier::new(pools.iter().map(|(pool, config)| (Arc::from(*pool), vec![config.clone()])))
}

/// A verifier that trusts the shared secret.
pub(super) fn shared_verifier() -> Verifier {
    verifier_of(&[(POOL, shared_config())]).unwrap()
}

/// A verifier that trusts the keys in a key file with this text.
pub(super) fn file_verifier(text: impl Display) -> Result<Verifier, IssuerConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text.to_string()).unwrap();
    let config = IssuerConfig { keys_file: Some(file.path().to_owned()), secret: None, ..shared_config() };
    verifier_of(&[(POOL, config)])
}

/// A verifier that trusts these public keys.
pub(super) fn keys_verifier(keys: &[Value]) -> Verifier {
    file_verifier(json!({ "keys": keys })).unwrap()
}

pub(super) async fn accepted(verifier: &Verifier, token: &str) -> VerifiedLogin {
    verifier.verify(token, NOW_S).await.unwrap()
}

pub(super) async fn refused(verifier: &Verifier, token: &str) -> TokenRefusal {
    verifier.verify(token, NOW_S).await.unwrap_err()
}
