//! Access tokens: one request for all who wait, renewal before the end, and what a refusal means.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use jsonwebtoken::EncodingKey;

use super::super::support::{NOW_MS, trusting_nobody};
use super::super::token_stand_in::{TokenEndpoint, rsa_key};
use super::*;

/// A bearer whose endpoint answers each request with the next of these, and the last one from then on.
async fn endpoint(answers: &'static [(u16, &'static str)]) -> (Bearer, Arc<AtomicUsize>) {
    let TokenEndpoint { token_uri, asked } = TokenEndpoint::answering(answers).await;
    let key = EncodingKey::from_rsa_pem(rsa_key().as_bytes()).expect("a key");
    let account = ServiceAccount { project: "notes".to_owned(), email: "a@b".to_owned(), key_id: None, key, token_uri };
    (Bearer::new(account, trusting_nobody()), asked)
}

async fn token(bearer: &Bearer, now_ms: u64) -> Result<String, NoToken> {
    bearer.token(now_ms).await.map(|token| token.header.to_str().expect("a text").to_owned())
}

const GOOD: (u16, &str) = (200, r#"{"access_token": "one", "expires_in": 3600, "token_type": "Bearer"}"#);
const NEXT: (u16, &str) = (200, r#"{"access_token": "two", "expires_in": 3600, "token_type": "Bearer"}"#);
const DOWN: (u16, &str) = (503, "down");
const GONE: (u16, &str) = (400, r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#);
const MINUTE_MS: u64 = 60_000;

#[tokio::test]
async fn many_who_need_a_token_share_one_request() {
    let (bearer, asked) = endpoint(&[GOOD]).await;
    let all = join_all((0..50).map(|_| token(&bearer, NOW_MS))).await;
    assert!(all.iter().all(|one| one.as_deref() == Ok("Bearer one")));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_is_renewed_five_minutes_early_and_the_old_one_serves_while_that_fails() {
    let (bearer, asked) = endpoint(&[GOOD, DOWN, NEXT]).await;
    assert_eq!(token(&bearer, NOW_MS).await.as_deref(), Ok("Bearer one"));
    assert_eq!(token(&bearer, NOW_MS + 55 * MINUTE_MS - 1).await.as_deref(), Ok("Bearer one"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(token(&bearer, NOW_MS + 55 * MINUTE_MS).await.as_deref(), Ok("Bearer one"));
    assert_eq!(token(&bearer, NOW_MS + 55 * MINUTE_MS + 1).await.as_deref(), Ok("Bearer one"));
    assert_eq!(asked.load(Ordering::SeqCst), 2, "nobody asks again so soon after a failure");
    assert_eq!(token(&bearer, NOW_MS + 56 * MINUTE_MS).await.as_deref(), Ok("Bearer two"));
}

#[tokio::test]
async fn without_a_token_a_failure_is_told_to_all_and_not_repeated_at_once() {
    let (bearer, asked) = endpoint(&[DOWN, GONE, GOOD]).await;
    let all = join_all((0..50).map(|_| token(&bearer, NOW_MS))).await;
    assert!(all.iter().all(|one| *one == Err(NoToken::NotNow)));
    assert_eq!(token(&bearer, NOW_MS + PAUSE_MS - 1).await, Err(NoToken::NotNow));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(token(&bearer, NOW_MS + PAUSE_MS).await, Err(NoToken::Invalid));
    assert_eq!(token(&bearer, NOW_MS + 3 * PAUSE_MS).await.as_deref(), Ok("Bearer one"));
}

#[tokio::test]
async fn a_token_that_is_refused_is_fetched_anew_once() {
    let (bearer, asked) = endpoint(&[GOOD, NEXT]).await;
    let first = bearer.token(NOW_MS).await.unwrap_or_else(|_| panic!("a token"));
    bearer.refused(&first);
    assert_eq!(token(&bearer, NOW_MS).await.as_deref(), Ok("Bearer two"));
    // The others whose requests were refused with the first find the second.
    bearer.refused(&first);
    assert_eq!(token(&bearer, NOW_MS).await.as_deref(), Ok("Bearer two"));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_fetch_goes_on_when_who_began_it_gives_up() {
    let (bearer, asked) = endpoint(&[GOOD]).await;
    let mut first = Box::pin(bearer.token(NOW_MS));
    assert!(first.as_mut().now_or_never().is_none(), "it has begun");
    let second = token(&bearer, NOW_MS);
    drop(first);
    assert_eq!(second.await.as_deref(), Ok("Bearer one"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn an_answer_of_a_token_endpoint_is_a_token_a_no_or_nothing() {
    let of = |status, text: &str| read(status, text.as_bytes(), NOW_MS).map(|token| (token.renew_ms - NOW_MS, token.end_ms - NOW_MS)).ok();
    assert_eq!(of(200, GOOD.1), Some((55 * MINUTE_MS, 60 * MINUTE_MS)));
    assert_eq!(of(200, r#"{"access_token": "x", "expires_in": 60}"#), Some((30_000, 60_000)));
    assert_eq!(of(200, r#"{"access_token": "x", "expires_in": 18446744073709551615}"#), Some((1435 * MINUTE_MS, 1440 * MINUTE_MS)));
    let why = |status, text: &str| read(status, text.as_bytes(), NOW_MS).err();
    for text in ["", "{}", "[]", r#"{"access_token": "a\nb", "expires_in": 1}"#, r#"{"access_token": "x", "expires_in": -1}"#] {
        assert_eq!(why(200, text), Some(NoToken::NotNow), "{text}");
    }
    for error in ["invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "access_denied"] {
        assert_eq!(why(400, &format!(r#"{{"error": "{error}"}}"#)), Some(NoToken::Invalid));
    }
    assert_eq!(why(400, r#"{"error": "temporarily_unavailable"}"#), Some(NoToken::NotNow));
    assert_eq!(why(503, "down"), Some(NoToken::NotNow));
}

#[test]
fn an_assertion_says_who_for_what_and_to_whom() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a key");
    let token_uri = "https://oauth2.googleapis.com/token".to_owned();
    let account = ServiceAccount { project: "p".to_owned(), email: "a@b".to_owned(), key_id: Some("KEY".to_owned()), key, token_uri };
    let text = assertion(&account, NOW_MS / 1000).expect("signed");
    let public = jsonwebtoken::DecodingKey::from_rsa_der(pair.public_key_raw());
    let mut rules = jsonwebtoken::Validation::new(Algorithm::RS256);
    rules.set_audience(&["https://oauth2.googleapis.com/token"]);
    rules.validate_exp = false;
    let read = jsonwebtoken::decode::<serde_json::Value>(&text, &public, &rules).expect("signed");
    assert_eq!((read.header.kid.as_deref(), &read.claims["iss"], &read.claims["scope"]), (Some("KEY"), &"a@b".into(), &SCOPE.into()));
    assert_eq!(read.claims["exp"], NOW_MS / 1000 + 3600);
}
