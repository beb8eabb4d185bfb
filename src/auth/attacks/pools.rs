//! Tokens of one pool used at another (RFC 8725 sections 2.7 and 3.9).
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use serde_json::json;

use super::super::jwks_server::JwksServer;
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
    assert_eq!(
        error.problem,
        IssuerProblem::Ambiguous { audience: AUDIENCE.to_owned(), other_issuer: ISSUER.into(), other_pool: POOL.into() }
    );
}

#[test]
fn templates_that_can_be_the_same_issuer_need_audiences_of_their_own() {
    let of =
        |issuer: &str, audience: &str| IssuerConfig { issuer: issuer.to_owned(), audience: vec![audience.to_owned()], ..shared_config() };
    let both = |one: &str, another: &str, audience: &str| verifier_of(&[(POOL, of(one, AUDIENCE)), ("chat", of(another, audience))]);
    let first = "https://login.example/{tenantid}/v2";
    for second in ["https://login.example/contoso/{tenantid}", "https://login.example/contoso/v2", first] {
        for (one, another) in [(first, second), (second, first)] {
            let error = both(one, another, AUDIENCE).unwrap_err();
            let expected = IssuerProblem::Ambiguous { audience: AUDIENCE.to_owned(), other_issuer: one.into(), other_pool: POOL.into() };
            assert_eq!(error.problem, expected, "{one} {another}");
            assert!(both(one, another, "another").is_ok(), "{one} {another}");
        }
    }
    assert!(both(first, "https://login.example/{tenantid}/v3", AUDIENCE).is_ok());
}

#[tokio::test]
async fn of_several_entries_that_fit_the_exact_name_comes_first_and_then_the_first_template() {
    let (exact, first, second) = (TestSigner::new_p256(), TestSigner::new_p256(), TestSigner::new_p256());
    let folder = tempfile::tempdir().unwrap();
    let entry = |issuer: &str, audience: &str, signer: &TestSigner| {
        let file = folder.path().join(audience);
        std::fs::write(&file, signer.pem()).unwrap();
        IssuerConfig {
            issuer: issuer.to_owned(),
            audience: vec![audience.to_owned()],
            keys_file: Some(file),
            secret: None,
            ..shared_config()
        }
    };
    let entries = vec![
        entry("https://a.example/{tenantid}/v2", "one", &first),
        entry("https://a.example/b/{tenantid}", "two", &second),
        entry("https://a.example/b/v2", "three", &exact),
    ];
    let verifier = Verifier::new([(POOL.into(), entries)]).unwrap();
    let verdict = async |audience: serde_json::Value, signer: &TestSigner| {
        let claims = claims_with(json!({"iss": "https://a.example/b/v2", "aud": audience}));
        verifier.verify(&token(json!({"alg": "ES256"}), claims, signer), NOW_S).await.map(drop)
    };
    for (audience, signer) in [(json!(["one", "two", "three"]), &exact), (json!(["two", "one"]), &first), (json!("two"), &second)] {
        assert_eq!(verdict(audience.clone(), signer).await, Ok(()), "{audience}");
    }
    assert_eq!(verdict(json!(["one", "two", "three"]), &first).await, Err(TokenRefusal::BadSignature), "no other entry's keys are tried");
}

#[tokio::test]
async fn an_audience_that_one_entry_cannot_read_refuses_no_token_of_another_entry() {
    let chat = IssuerConfig { audience_claim: "client_id".to_owned(), audience: vec!["chat".to_owned()], ..shared_config() };
    let entries = [(POOL, shared_config()), ("chat", chat)];
    let verifiers = [verifier_of(&entries).unwrap(), verifier_of(&[entries[1].clone(), entries[0].clone()]).unwrap()];
    for verifier in &verifiers {
        for aud in [json!(7), json!({"a": 1}), json!([1]), json!(["x", null]), json!(true)] {
            let of_chat =
                shared_token(claims_with(json!({"client_id": "chat"})).to_string().replace(&json!(AUDIENCE).to_string(), &aud.to_string()));
            assert_eq!(&*accepted(verifier, &of_chat).await.pool, "chat", "aud {aud}");
            let of_notes = shared_token(claims_with(json!({"client_id": aud})));
            assert_eq!(&*accepted(verifier, &of_notes).await.pool, POOL, "client_id {aud}");
            let neither = shared_token(claims_with(json!({"client_id": aud, "aud": aud})));
            assert!(
                matches!(refused(verifier, &neither).await, TokenRefusal::Malformed(why) if why.contains("names its audience")),
                "{aud}"
            );
            let other = shared_token(claims_with(json!({"client_id": aud, "aud": "other"})));
            assert_eq!(refused(verifier, &other).await, TokenRefusal::WrongAudience, "{aud}");
        }
    }
}

#[tokio::test]
async fn issuers_of_a_pool_come_and_go_while_tokens_are_verified() {
    let (verifier, made) = (shared_verifier(), Arc::from("local:7d1f6a2e-3a52-4a7e-9c34-0a5d8b1c2e3f"));
    let shared = verifier.clone();
    let of_chat = token(json!({"alg": "HS256"}), claims_with(json!({"aud": "chat-app"})), &TestSigner::Shared(OTHER_SECRET.into()));
    let chat = IssuerConfig { audience: vec!["chat-app".to_owned()], secret: Some(OTHER_SECRET.to_owned()), ..shared_config() };
    assert_eq!(refused(&shared, &of_chat).await, TokenRefusal::WrongAudience);
    verifier.set_issuers(&made, vec![chat.clone()]).unwrap();
    assert_eq!(accepted(&shared, &of_chat).await.pool, made);
    // One that cannot be used changes nothing.
    let broken = IssuerConfig { audience: vec![], ..chat.clone() };
    assert_eq!(verifier.set_issuers(&made, vec![broken]).unwrap_err().problem, IssuerProblem::NoAudience);
    assert_eq!(verifier.set_issuers(&made, vec![chat.clone(), chat]).unwrap_err().pool, made, "twice the same");
    assert_eq!(accepted(&shared, &of_chat).await.pool, made);
    verifier.set_issuers(&made, vec![]).unwrap();
    assert_eq!(refused(&shared, &of_chat).await, TokenRefusal::WrongAudience);
    accepted(&shared, &shared_token(claims())).await;
}

#[tokio::test]
async fn a_token_that_two_pools_trust_is_accepted_in_the_one_that_is_named() {
    let (verifier, made) = (shared_verifier(), Arc::from("local:7d1f6a2e-3a52-4a7e-9c34-0a5d8b1c2e3f"));
    verifier.set_issuers(&made, vec![shared_config()]).unwrap();
    let token = shared_token(claims());
    assert_eq!(refused(&verifier, &token).await, TokenRefusal::WrongAudience);
    for pool in [POOL, &made] {
        assert_eq!(&*verifier.verify_in(pool, &token, NOW_S).await.unwrap().pool, pool);
    }
    assert_eq!(verifier.verify_in("another", &token, NOW_S).await, Err(TokenRefusal::UnknownIssuer));
}

#[tokio::test]
async fn keys_of_an_issuer_that_stays_are_not_fetched_again() {
    let issuer = JwksServer::start().await;
    issuer.publish(&[P256.jwk("k")]);
    let config = IssuerConfig { jwks_url: Some(issuer.url()), secret: None, ..shared_config() };
    let other = IssuerConfig { issuer: "https://other.example".to_owned(), ..shared_config() };
    let verifier = verifier_of(&[]).unwrap();
    verifier.set_issuers(&POOL.into(), vec![config.clone()]).unwrap();
    accepted(&verifier, &token_of(&P256, "k")).await;
    verifier.set_issuers(&POOL.into(), vec![other.clone(), config.clone()]).unwrap();
    accepted(&verifier, &token_of(&P256, "k")).await;
    assert_eq!(issuer.fetches(), 1);
    verifier.set_issuers(&POOL.into(), vec![other]).unwrap();
    assert_eq!(refused(&verifier, &token_of(&P256, "k")).await, TokenRefusal::UnknownIssuer);
}
