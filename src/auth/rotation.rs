//! Tests of keys that are fetched from an issuer: they rotate without a restart, stay in use while the issuer is down, and forged tokens cannot
//! cause a storm of fetches.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Notify;

use super::config::{CACHE_LIFETIME_S, MAX_JWKS_BYTES, MAX_JWKS_KEYS, REFETCH_AFTER_S, RETRY_AFTER_S};
use super::fetcher::Fetchers;
use super::jwks_server::{JwksResponse, JwksServer, document, response};
use super::support::*;
use super::{IssuerConfig, OutboundProxy, TokenRefusal, Verifier};

/// Long enough for a local server on any machine; tests of a server that never responds use a shorter timeout.
const PATIENT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn keys_rotate_without_a_restart() {
    let (issuer, verifier) = issuer_with_key("old").await;
    let new = TestSigner::new_ed25519();
    issuer.publish(&[P256.jwk("old"), new.jwk("new")]);
    let later_s = NOW_S + REFETCH_AFTER_S;
    assert!(verifier.verify(&token_of(&new, "new"), later_s).await.is_ok());
    assert!(verifier.verify(&token_of(&P256, "old"), later_s).await.is_ok());
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept_for_their_lifetime() {
    let (issuer, verifier) = issuer_with_key("k").await;
    for age_s in [0, 1, CACHE_LIFETIME_S - 1] {
        assert!(verifier.verify(&token_of(&P256, "k"), NOW_S + age_s).await.is_ok());
        assert_eq!(issuer.fetches(), 1);
    }
}

#[tokio::test]
async fn a_withdrawn_key_is_accepted_for_the_cache_lifetime_only() {
    let (issuer, verifier) = issuer_with_key("k").await;
    issuer.publish(&[ED25519.jwk("other")]);
    let token = token_of(&P256, "k");
    assert!(verifier.verify(&token, NOW_S + CACHE_LIFETIME_S - 1).await.is_ok());
    assert_eq!(verifier.verify(&token, NOW_S + CACHE_LIFETIME_S).await, Err(TokenRefusal::UnknownKey));
}

#[tokio::test]
async fn a_key_that_was_replaced_under_the_same_kid_is_fetched_when_its_signature_does_not_fit() {
    let (issuer, verifier) = issuer_with_key("k").await;
    let old = token_of(&P256, "k");
    accepted(&verifier, &old).await;
    let new = TestSigner::new_p256();
    issuer.publish(&[new.jwk("k")]);
    // Until the interval is over, the provider that was made anew is not asked again.
    assert_eq!(verifier.verify(&token_of(&new, "k"), NOW_S + REFETCH_AFTER_S - 1).await, Err(TokenRefusal::BadSignature));
    assert_eq!(issuer.fetches(), 1);
    assert!(verifier.verify(&token_of(&new, "k"), NOW_S + REFETCH_AFTER_S).await.is_ok());
    assert_eq!(issuer.fetches(), 2);
    let refusal = verifier.verify(&old, NOW_S + REFETCH_AFTER_S).await;
    assert_eq!(refusal, Err(TokenRefusal::BadSignature), "although the token was accepted before");
}

#[tokio::test]
async fn a_key_of_another_kind_under_the_same_kid_is_fetched() {
    let (issuer, verifier) = issuer_with_key("k").await;
    issuer.publish(&[RSA.jwk("k")]);
    assert!(verifier.verify(&token_of(&RSA, "k"), NOW_S + REFETCH_AFTER_S).await.is_ok());
}

#[tokio::test]
async fn storm_of_bad_signatures_under_a_known_kid() {
    let (issuer, verifier) = issuer_with_key("k").await;
    let forger = TestSigner::new_p256();
    let tokens: Vec<_> = (0..1_000)
        .map(|number| token(json!({"alg": "ES256", "kid": "k"}), claims_with(json!({"sub": number.to_string()})), &forger))
        .collect();
    for (now_s, fetches) in [(NOW_S, 1), (NOW_S + REFETCH_AFTER_S - 1, 1), (NOW_S + REFETCH_AFTER_S, 2)] {
        let outcomes = join_all(tokens.iter().map(|token| verifier.verify(token, now_s))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Err(TokenRefusal::BadSignature)));
        assert_eq!(issuer.fetches(), fetches);
    }
    assert!(verifier.verify(&token_of(&P256, "k"), NOW_S + REFETCH_AFTER_S).await.is_ok());
}

#[tokio::test]
async fn storm_of_unknown_kids() {
    let (issuer, verifier) = issuer_with_key("k").await;
    let tokens: Vec<_> = (0..1_000).map(|n| token_of(&P256, &format!("unknown-{n}"))).collect();
    for (now_s, fetches) in [(NOW_S, 1), (NOW_S + REFETCH_AFTER_S - 1, 1), (NOW_S + REFETCH_AFTER_S, 2)] {
        let outcomes = join_all(tokens.iter().map(|token| verifier.verify(token, now_s))).await;
        assert!(outcomes.iter().all(|outcome| *outcome == Err(TokenRefusal::UnknownKey)));
        assert_eq!(issuer.fetches(), fetches);
    }
    assert!(verifier.verify(&token_of(&P256, "k"), NOW_S + REFETCH_AFTER_S).await.is_ok());
}

#[tokio::test]
async fn storm_of_tokens_that_no_published_key_can_have_signed() {
    let (issuer, verifier) = issuer_of(PATIENT).await;
    for alg in ["HS256", "HS384", "HS512"] {
        let token = token_with(&TestSigner::shared(), alg, Some("k"));
        assert_eq!(refused(&verifier, &token).await, TokenRefusal::WrongAlgorithm, "a secret is never published");
    }
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said_while_its_issuers_keys_are_not_at_hand() {
    let (_issuer, verifier) = issuer_of(PATIENT).await;
    let of = |claims: serde_json::Value| token(json!({"alg": "ES256", "kid": "k"}), claims_with(claims), &P256);
    for (claims, refusal) in [
        (json!({"exp": NOW_S - 3600}), TokenRefusal::Expired),
        (json!({"nbf": NOW_S + 3600}), TokenRefusal::NotYetValid),
        (json!({"aud": "another"}), TokenRefusal::WrongAudience),
        (json!({"iss": "https://another.example"}), TokenRefusal::UnknownIssuer),
        (json!({}), TokenRefusal::KeysUnavailable),
    ] {
        assert_eq!(refused(&verifier, &of(claims.clone())).await, refusal, "{claims}");
    }
    // The same once there were keys, and the issuer has gone away.
    let (mut issuer, verifier) = issuer_with_key("k").await;
    issuer.stop().await;
    let late_s = NOW_S + CACHE_LIFETIME_S;
    let forged = token(json!({"alg": "ES256", "kid": "new"}), claims_with(json!({"exp": NOW_S})), &TestSigner::new_p256());
    assert_eq!(verifier.verify(&forged, late_s).await, Err(TokenRefusal::Expired));
}

#[tokio::test]
async fn the_log_says_what_a_document_has_when_it_changes() {
    let lines = LogLines::default();
    let written = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || written.clone()).with_ansi(false).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (issuer, verifier) = issuer_of(PATIENT).await;
    let count = |text: &str| String::from_utf8_lossy(&lines.0.lock().unwrap()).matches(text).count();
    let (weak, private) =
        (json!({"kty": "RSA", "n": base64url([0xff; 128]), "e": "AQAB"}), json!({"kty": "OKP", "crv": "Ed25519", "d": "AA"}));
    let mut now_s = NOW_S;
    for (keys, ignored, fetched) in [
        (vec![P256.jwk("k"), weak.clone(), weak.clone()], 1, 1),
        (vec![P256.jwk("k"), weak.clone(), weak.clone()], 1, 1),
        (vec![weak.clone(), P256.jwk("k"), weak.clone()], 1, 1),
        (vec![P256.jwk("k"), weak.clone(), private], 2, 2),
        (vec![P256.jwk("k")], 2, 3),
        (vec![P256.jwk("k"), weak.clone(), weak.clone()], 3, 4),
    ] {
        issuer.publish(&keys);
        assert_eq!(verifier.verify(&token_of(&P256, "unknown"), now_s).await, Err(TokenRefusal::UnknownKey));
        now_s += REFETCH_AFTER_S;
        assert_eq!((count("issuer keys ignored"), count("issuer keys fetched")), (ignored, fetched), "{keys:?}");
    }
    assert_eq!(count("an RSA key under 2048 bits"), 3, "once in a line");
}

#[tokio::test]
async fn a_thousand_first_logins_share_one_fetch() {
    let (issuer, verifier) = issuer_of(PATIENT).await;
    issuer.publish(&[P256.jwk("k")]);
    let token = token_of(&P256, "k");
    let outcomes = join_all((0..1_000).map(|_| verifier.verify(&token, NOW_S))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn an_issuer_that_is_down_keeps_its_keys() {
    let (mut issuer, verifier) = issuer_with_key("k").await;
    issuer.stop().await;
    for age_s in [CACHE_LIFETIME_S, CACHE_LIFETIME_S + 1, 100 * CACHE_LIFETIME_S] {
        let claims = claims_with(json!({"exp": NOW_S + 200 * CACHE_LIFETIME_S}));
        let token = token(json!({"alg": "ES256", "kid": "k"}), claims, &P256);
        assert!(verifier.verify(&token, NOW_S + age_s).await.is_ok());
    }
    // While the issuer is down it is unknown whether a key that is not cached exists.
    let unknown = verifier.verify(&token_of(&P256, "new"), NOW_S + CACHE_LIFETIME_S).await;
    assert_eq!(unknown, Err(TokenRefusal::KeysUnavailable));
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_is_retried_soon() {
    let (issuer, verifier) = issuer_of(PATIENT).await;
    let token = token_of(&P256, "k");
    for (age_s, fetches) in [(0, 1), (0, 1), (RETRY_AFTER_S - 1, 1), (RETRY_AFTER_S, 2)] {
        assert_eq!(verifier.verify(&token, NOW_S + age_s).await, Err(TokenRefusal::KeysUnavailable));
        assert_eq!(issuer.fetches(), fetches);
    }
    issuer.publish(&[P256.jwk("k")]);
    assert!(verifier.verify(&token, NOW_S + 2 * RETRY_AFTER_S).await.is_ok());
}

#[tokio::test]
async fn unusable_responses_leave_the_cached_keys_in_use() {
    let (issuer, verifier) = issuer_with_key("k").await;
    let elsewhere = JwksServer::start().await;
    elsewhere.publish(&[ED25519.jwk("evil")]);
    // Every response that can contain a key contains one that would be accepted if the response were valid.
    let good = json!({ "keys": [ED25519.jwk("evil")] }).to_string();
    let padded = format!("{good}{}", " ".repeat(MAX_JWKS_BYTES));
    let location = format!("302 Found\r\nlocation: {}", elsewhere.url());
    let weak = json!({"kty": "RSA", "kid": "evil", "n": base64url([0xff; 128]), "e": "AQAB"});
    let secret = json!({"kty": "oct", "kid": "evil", "k": base64url(SECRET)});
    let responses = [
        response(&location, &good),
        response("500 Oops", &good),
        response("204 No Content", ""),
        response("200 OK", &padded),
        format!("HTTP/1.1 200 OK\r\n\r\n{padded}"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{good}"),
        response("200 OK", "<html>"),
        document(&vec![ED25519.jwk("evil"); MAX_JWKS_KEYS + 1]),
        document(&[weak]),
        document(&[secret]),
        document(&[]),
    ];
    let mut now_s = NOW_S;
    for (done, response) in responses.into_iter().enumerate() {
        issuer.respond_with(JwksResponse::Raw(response));
        now_s += REFETCH_AFTER_S;
        let refusal = verifier.verify(&token_of(&ED25519, "evil"), now_s).await;
        assert_eq!((done, refusal), (done, Err(TokenRefusal::KeysUnavailable)));
        assert_eq!(issuer.fetches(), done + 2);
        assert!(verifier.verify(&token_of(&P256, "k"), now_s).await.is_ok());
    }
    assert_eq!(elsewhere.fetches(), 0);
}

#[tokio::test]
async fn a_fetch_from_a_slow_issuer_times_out() {
    let (issuer, verifier) = issuer_of(Duration::from_millis(50)).await;
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":";
    let mut now_s = NOW_S;
    for bytes in ["", "HTTP/1.1 200 OK\r\n", half] {
        issuer.respond_with(JwksResponse::Stall(bytes.to_owned()));
        let refusal = verifier.verify(&token_of(&P256, "k"), now_s).await;
        assert_eq!(refusal, Err(TokenRefusal::KeysUnavailable));
        now_s += RETRY_AFTER_S;
    }
}

#[tokio::test]
async fn a_login_with_a_cached_key_does_not_wait_for_a_refresh_in_progress() {
    let (issuer, verifier) = issuer_with_key("k").await;
    let may_respond = Arc::new(Notify::new());
    issuer.requested().await;
    issuer.respond_with(JwksResponse::After(may_respond.clone(), document(&[P256.jwk("k"), ED25519.jwk("new")])));
    let stale_s = NOW_S + CACHE_LIFETIME_S;
    let first = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.verify(&token_of(&P256, "k"), stale_s).await }
    });
    issuer.requested().await;
    assert!(verifier.verify(&token_of(&P256, "k"), stale_s).await.is_ok());
    may_respond.notify_one();
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_fetch_outlives_the_login_that_started_it() {
    let (issuer, verifier) = issuer_with_key("k").await;
    let may_respond = Arc::new(Notify::new());
    issuer.requested().await;
    issuer.respond_with(JwksResponse::After(may_respond.clone(), document(&[P256.jwk("k"), ED25519.jwk("new")])));
    let now_s = NOW_S + REFETCH_AFTER_S;
    let cancelled = tokio::spawn({
        let verifier = verifier.clone();
        async move { verifier.verify(&token_of(&P256, "invented"), now_s).await }
    });
    issuer.requested().await;
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    may_respond.notify_one();
    assert!(verifier.verify(&token_of(&ED25519, "new"), now_s).await.is_ok());
    assert_eq!(issuer.fetches(), 2);
}

/// An issuer that does not publish keys yet, and a verifier that trusts it.
async fn issuer_of(fetch_timeout: Duration) -> (JwksServer, Verifier) {
    let issuer = JwksServer::start().await;
    let config = IssuerConfig { jwks_url: Some(issuer.url()), secret: None, ..shared_config() };
    let verifier = Verifier::with_fetchers([(POOL.into(), vec![config])], Fetchers::new(fetch_timeout, OutboundProxy::default())).unwrap();
    (issuer, verifier)
}

/// An issuer whose one key was fetched at [`NOW_S`].
async fn issuer_with_key(kid: &str) -> (JwksServer, Verifier) {
    let (issuer, verifier) = issuer_of(PATIENT).await;
    issuer.publish(&[P256.jwk(kid)]);
    accepted(&verifier, &token_of(&P256, kid)).await;
    (issuer, verifier)
}

/// What is logged.
#[derive(Clone, Default)]
struct LogLines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
