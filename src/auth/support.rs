//! Support for the tests of this module: keys of every type, tokens with any content, and verifiers that trust them.
#![allow(clippy::unwrap_used)]

use std::fmt::Display;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaSignatureEncoding,
};
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
    Ec(EcdsaKeyPair, TestCurve),
    Ed25519(Ed25519KeyPair),
}

/// A curve's name in a JWK, and the name of its algorithm.
#[derive(Clone, Copy)]
pub(super) struct TestCurve {
    crv: &'static str,
    alg: &'static str,
}

pub(super) static RSA: LazyLock<TestSigner> = LazyLock::new(|| TestSigner::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
pub(super) static P256: LazyLock<TestSigner> = LazyLock::new(TestSigner::new_p256);
pub(super) static P384: LazyLock<TestSigner> = LazyLock::new(|| TestSigner::ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384"));
pub(super) static P521: LazyLock<TestSigner> = LazyLock::new(|| TestSigner::ec(&ECDSA_P521_SHA512_FIXED_SIGNING, "P-521", "ES512"));
pub(super) static SECP256K1: LazyLock<TestSigner> =
    LazyLock::new(|| TestSigner::ec(&ECDSA_P256K1_SHA256_FIXED_SIGNING, "secp256k1", "ES256K"));
pub(super) static ED25519: LazyLock<TestSigner> = LazyLock::new(TestSigner::new_ed25519);

impl TestSigner {
    pub(super) fn shared() -> Self {
        Self::Shared(SECRET.into())
    }

    pub(super) fn new_p256() -> Self {
        Self::ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256")
    }

    fn ec(algorithm: &'static EcdsaSigningAlgorithm, crv: &'static str, alg: &'static str) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap(), TestCurve { crv, alg })
    }

    pub(super) fn new_ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    /// The algorithm that the signer uses if a test names none.
    pub(super) fn alg(&self) -> &'static str {
        match self {
            Self::Unsigned => "none",
            Self::Shared(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::Ec(_, curve) => curve.alg,
            Self::Ed25519(_) => "EdDSA",
        }
    }

    /// Signs with the algorithm of this name, which only a secret and an RSA key have a choice of.
    fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Unsigned => Vec::new(),
            Self::Shared(secret) => {
                let hash = match alg {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
            Self::Rsa(pair) => {
                let encoding: &'static RsaSignatureEncoding = match alg {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as a JWK.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let mut jwk = match self {
            Self::Unsigned | Self::Shared(_) => panic!("no public key"),
            Self::Rsa(pair) => {
                let key = DecodingKey::from_rsa_der(pair.public_key().as_ref());
                serde_json::to_value(Jwk::from_decoding_key(&key, None).unwrap()).unwrap()
            }
            Self::Ec(pair, TestCurve { crv, .. }) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
                json!({"kty": "EC", "crv": crv, "x": base64url(x), "y": base64url(y)})
            }
            Self::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key())}),
        };
        jwk["kid"] = kid.into();
        jwk
    }

    /// The public key in PEM form (RFC 7468 section 13).
    pub(super) fn pem(&self) -> String {
        use encoding::AsDer;
        let spki: Vec<u8> = match self {
            Self::Unsigned | Self::Shared(_) => panic!("no public key"),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Ec(pair, _) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
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
    with_signature(&message, signer.sign(signer.alg(), message.as_bytes()))
}

/// A token whose header has this `alg` and perhaps a `kid`, signed with the algorithm of this name.
pub(super) fn token_with(signer: &TestSigner, alg: &str, kid: Option<&str>) -> String {
    let mut header = json!({ "alg": alg });
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let message = message(header, claims());
    with_signature(&message, signer.sign(alg, message.as_bytes()))
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
        secret: Some(SECRET.to_owned()),
        ..IssuerConfig::default()
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
