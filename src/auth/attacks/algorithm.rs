//! Attacks on the choice of the algorithm (RFC 8725 sections 2.1, 3.1 and 3.2).
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::support::*;
use super::super::{IssuerConfig, IssuerProblem, TokenRefusal};

#[tokio::test]
async fn none_in_every_spelling() {
    let verifiers = [shared_verifier(), keys_verifier(&[RSA.jwk("k")]), keys_verifier(&[P256.jwk("k")])];
    for verifier in &verifiers {
        for alg in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
            let header = json!({"alg": alg, "kid": "k"});
            assert_eq!(refused(verifier, &token(&header, claims(), &TestSigner::Unsigned)).await, TokenRefusal::WrongAlgorithm);
            assert_eq!(refused(verifier, &token(&header, claims(), &TestSigner::shared())).await, TokenRefusal::WrongAlgorithm);
        }
        for header in [json!({}), json!({"alg": null}), json!({"alg": 0}), json!({"alg": ["HS256"]})] {
            let refusal = refused(verifier, &token(header, claims(), &TestSigner::shared())).await;
            assert!(matches!(refusal, TokenRefusal::Malformed(_)));
        }
    }
}

#[tokio::test]
async fn no_signature_under_a_true_algorithm() {
    let unsigned = token(json!({"alg": "HS256"}), claims(), &TestSigner::Unsigned);
    assert_eq!(refused(&shared_verifier(), &unsigned).await, TokenRefusal::BadSignature);
}

#[tokio::test]
async fn public_key_as_shared_secret() {
    for signer in [&*RSA, &*P256, &*ED25519] {
        let verifier = keys_verifier(&[signer.jwk("k")]);
        accepted(&verifier, &token_of(signer, "k")).await;
        let jwk = signer.jwk("k");
        let spellings = [signer.pem(), signer.pem().trim().to_owned(), jwk.to_string(), text(&jwk["n"]), text(&jwk["x"])];
        for spelling in spellings {
            let forger = TestSigner::Shared(spelling.into());
            assert_eq!(refused(&verifier, &token_of(&forger, "k")).await, TokenRefusal::WrongAlgorithm);
        }
    }
}

#[test]
fn public_key_configured_as_shared_secret() {
    let config = IssuerConfig { secret: Some(RSA.pem()), ..shared_config() };
    assert_eq!(verifier_of(&[(POOL, config)]).unwrap_err().problem, IssuerProblem::SecretIsPem);
}

#[tokio::test]
async fn header_that_names_another_algorithm_than_its_key() {
    let verifier = keys_verifier(&[RSA.jwk("rsa"), P256.jwk("p256"), ED25519.jwk("ed")]);
    for (signer, own) in [(&*RSA, "rsa"), (&*P256, "p256"), (&*ED25519, "ed")] {
        accepted(&verifier, &token_of(signer, own)).await;
        for other in ["rsa", "p256", "ed"].into_iter().filter(|kid| *kid != own) {
            assert_eq!(refused(&verifier, &token_of(signer, other)).await, TokenRefusal::WrongAlgorithm);
        }
    }
    for alg in ["ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed25519", "HS256", "HS384", "HS512", "rs256", "RS256 ", "RSA-OAEP"] {
        let renamed = token(json!({"alg": alg, "kid": "rsa"}), claims(), &RSA);
        assert_eq!(refused(&verifier, &renamed).await, TokenRefusal::WrongAlgorithm);
    }
    for alg in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let renamed = token(json!({"alg": alg, "kid": "rsa"}), claims(), &RSA);
        assert_eq!(refused(&verifier, &renamed).await, TokenRefusal::BadSignature, "the key fits, but RS256 made the signature");
    }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
