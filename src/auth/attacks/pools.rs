//! Tokens of one pool used at another (RFC 8725 sections 2.7 and 3.9).
#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::super::support::*;
use super::super::{IssuerConfig, IssuerProblem, TokenRefusal, Verifier};

const OTHER_SECRET: &str = "another secret of enough bytes for HS256";

/// Two pools that trust the same issuer, each with its own audience and its own secret.
fn two_pools() -> Verifier {
    let chat = IssuerConfig { audience: vec!["chat-app".to_owned()], secret: Some(OTHER_SECRET.to_owned()), ..shared_config() };
    verifier_of(&[(POOL, shared_config()), ("chat", chat)]).unwrap()
}

#[tokio::test]
async fn token_of_another_pool() {
    let verifier = two_pools();
    let header = json!({"alg": "HS256"});
    let chat_claims = claims_with(json!({"aud": "chat-app"}));
    let of_chat = token(&header, &chat_claims, &TestSigner::Shared(OTHER_SECRET.into()));
    assert_eq!(&*accepted(&verifier, &of_chat).await.pool, "chat");
    assert_eq!(&*accepted(&verifier, &shared_token(claims())).await.pool, POOL);
    // A pool's secret signs tokens for that pool only.
    assert_eq!(refused(&verifier, &shared_token(&chat_claims)).await, TokenRefusal::BadSignature);
    assert_eq!(refused(&shared_verifier(), &of_chat).await, TokenRefusal::WrongAudience);
}

#[tokio::test]
async fn token_for_two_pools() {
    let both = claims_with(json!({"aud": ["chat-app", AUDIENCE]}));
    assert_eq!(refused(&two_pools(), &shared_token(both)).await, TokenRefusal::WrongAudience);
}

#[tokio::test]
async fn audience_of_another_issuer() {
    let other = IssuerConfig {
        issuer: "https://other.example/".to_owned(),
        audience: vec!["chat-app".to_owned()],
        secret: Some(OTHER_SECRET.to_owned()),
        ..shared_config()
    };
    let verifier = verifier_of(&[(POOL, shared_config()), ("chat", other)]).unwrap();
    let crossed = shared_token(claims_with(json!({"aud": "chat-app"})));
    assert_eq!(refused(&verifier, &crossed).await, TokenRefusal::WrongAudience);
}

#[test]
fn two_pools_with_the_same_issuer_and_audience() {
    let other = IssuerConfig {
        audience: vec!["chat-app".to_owned(), AUDIENCE.to_owned()],
        secret: Some(OTHER_SECRET.to_owned()),
        ..shared_config()
    };
    let error = verifier_of(&[(POOL, shared_config()), ("chat", other)]).unwrap_err();
    assert_eq!(&*error.pool, "chat");
    assert_eq!(error.problem, IssuerProblem::Ambiguous { audience: AUDIENCE.to_owned(), other_pool: POOL.into() });
}
