//! Access tokens: one request shared by all waiting sends, renewal before expiry, and rejections.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use jsonwebtoken::EncodingKey;

use super::super::connect_proxy_stand_in::ConnectProxyStandIn;
use super::super::support::{NOW_MS, closed_port, tls_without_roots};
use super::super::tls_push_service_stand_in::{TlsPushServiceStandIn, tls_with_root};
use super::super::token_endpoint_stand_in::{TokenEndpointStandIn, rsa_key};
use super::*;
use crate::auth::OutboundProxy;

/// A source whose token endpoint answers each request with the next response, and every further one with the last. Also the number of requests.
async fn source(responses: &'static [(u16, &'static str)]) -> (AccessTokenSource, Arc<AtomicUsize>) {
    let TokenEndpointStandIn { token_uri, requests } = TokenEndpointStandIn::answering(responses).await;
    let key = EncodingKey::from_rsa_pem(rsa_key().as_bytes()).expect("a key");
    let account = ServiceAccount { project: "notes".to_owned(), email: "a@b".to_owned(), key_id: None, key, token_uri };
    (AccessTokenSource::new(account, tls_without_roots(), ProxyRoutes::default()), requests)
}

async fn token(tokens: &AccessTokenSource, now_ms: u64) -> Result<String, AccessTokenError> {
    tokens.current(now_ms).await.map(|token| token.header.to_str().expect("a text").to_owned())
}

const GOOD: (u16, &str) = (200, r#"{"access_token": "one", "expires_in": 3600, "token_type": "AccessTokenSource"}"#);
const NEXT: (u16, &str) = (200, r#"{"access_token": "two", "expires_in": 3600, "token_type": "AccessTokenSource"}"#);
const DOWN: (u16, &str) = (503, "down");
const GONE: (u16, &str) = (400, r#"{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}"#);
const MINUTE_MS: u64 = 60_000;

fn is_failed_endpoint(error: &AccessTokenError) -> bool {
    matches!(error, AccessTokenError::Unavailable(fault) if fault.cause == FailureCause::GatewayFailed)
}

#[tokio::test]
async fn what_keeps_a_token_away_has_its_cause_and_names_the_endpoint() {
    let verdict_at = async |token_uri: String, tls| {
        let key = EncodingKey::from_rsa_pem(rsa_key().as_bytes()).expect("a key");
        let account = ServiceAccount { project: "notes".to_owned(), email: "a@b".to_owned(), key_id: None, key, token_uri };
        let error = AccessTokenSource::new(account, tls, ProxyRoutes::default()).current(NOW_MS).await.err().expect("no token");
        let verdict = error.verdict();
        verdict.failure().map(|(cause, reason)| (cause, reason.to_owned())).expect("a failure")
    };
    let port = closed_port();
    let (cause, reason) = verdict_at(format!("https://localhost:{port}/token"), tls_without_roots()).await;
    assert_eq!((cause, reason), (FailureCause::ConnectionRefused, format!("no access token: connection refused (localhost:{port})")));
    let (cause, reason) = verdict_at("https://x.invalid/token".to_owned(), tls_without_roots()).await;
    assert!(cause == FailureCause::NameNotFound && reason.contains("name not found (x.invalid: "), "{reason}");
    let google = TlsPushServiceStandIn::answering(String::new()).await;
    let (cause, reason) = verdict_at(format!("https://localhost:{}/token", google.port), tls_without_roots()).await;
    assert!(cause == FailureCause::CertificateNotTrusted, "{reason}");
    let (cause, reason) = verdict_at(TokenEndpointStandIn::answering(&[GONE]).await.token_uri, tls_without_roots()).await;
    assert_eq!((cause, reason.as_str()), (FailureCause::CredentialRefused, "service account refused: invalid_grant"));
}

#[tokio::test]
async fn the_endpoint_is_reached_through_the_operators_proxy() {
    let body = r#"{"access_token": "one", "expires_in": 3600}"#;
    let google = TlsPushServiceStandIn::answering(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    let proxy = ConnectProxyStandIn::answering("HTTP/1.1 200 OK\r\n\r\n").await;
    let key = EncodingKey::from_rsa_pem(rsa_key().as_bytes()).expect("a key");
    let token_uri = format!("https://localhost:{}/token", google.port);
    let account = ServiceAccount { project: "notes".to_owned(), email: "a@b".to_owned(), key_id: None, key, token_uri };
    let routes = OutboundProxy::new(&proxy.url, "").routes();
    let tokens = AccessTokenSource::new(account, tls_with_root(&google.authority), routes);
    assert_eq!(token(&tokens, NOW_MS).await.as_deref(), Ok("Bearer one"));
    assert_eq!(proxy.tunnels.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn concurrent_sends_share_one_token_request() {
    let (tokens, requests) = source(&[GOOD]).await;
    let all = join_all((0..50).map(|_| token(&tokens, NOW_MS))).await;
    assert!(all.iter().all(|one| one.as_deref() == Ok("Bearer one")));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_is_renewed_five_minutes_early_and_the_old_one_is_used_while_that_fails() {
    let (tokens, requests) = source(&[GOOD, DOWN, NEXT]).await;
    assert_eq!(token(&tokens, NOW_MS).await.as_deref(), Ok("Bearer one"));
    assert_eq!(token(&tokens, NOW_MS + 55 * MINUTE_MS - 1).await.as_deref(), Ok("Bearer one"));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(token(&tokens, NOW_MS + 55 * MINUTE_MS).await.as_deref(), Ok("Bearer one"));
    assert_eq!(token(&tokens, NOW_MS + 55 * MINUTE_MS + 1).await.as_deref(), Ok("Bearer one"));
    assert_eq!(requests.load(Ordering::SeqCst), 2, "no request so soon after a failure");
    assert_eq!(token(&tokens, NOW_MS + 56 * MINUTE_MS).await.as_deref(), Ok("Bearer two"));
}

#[tokio::test]
async fn a_failure_is_returned_to_every_waiting_send_and_not_repeated_at_once() {
    let (tokens, requests) = source(&[DOWN, GONE, GOOD]).await;
    let all = join_all((0..50).map(|_| token(&tokens, NOW_MS))).await;
    assert!(all.iter().all(|one| one.as_ref().is_err_and(is_failed_endpoint)));
    assert!(token(&tokens, NOW_MS + FAILURE_PAUSE_MS - 1).await.is_err_and(|why| is_failed_endpoint(&why)));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_eq!(token(&tokens, NOW_MS + FAILURE_PAUSE_MS).await, Err(AccessTokenError::Rejected("invalid_grant".to_owned())));
    assert_eq!(token(&tokens, NOW_MS + 3 * FAILURE_PAUSE_MS).await.as_deref(), Ok("Bearer one"));
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
    let (tokens, requests) = source(&[GOOD, NEXT]).await;
    let first = tokens.current(NOW_MS).await.unwrap_or_else(|_| panic!("a token"));
    tokens.invalidate(&first);
    assert_eq!(token(&tokens, NOW_MS).await.as_deref(), Ok("Bearer two"));
    // Concurrent sends whose requests were rejected with the first token get the second.
    tokens.invalidate(&first);
    assert_eq!(token(&tokens, NOW_MS).await.as_deref(), Ok("Bearer two"));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_request_goes_on_when_the_send_that_started_it_is_dropped() {
    let (tokens, requests) = source(&[GOOD]).await;
    let mut first = Box::pin(tokens.current(NOW_MS));
    assert!(first.as_mut().now_or_never().is_none(), "the request has started");
    let second = token(&tokens, NOW_MS);
    drop(first);
    assert_eq!(second.await.as_deref(), Ok("Bearer one"));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_response_is_a_token_a_rejection_or_of_no_use() {
    let of = |status, text: &str| {
        parse_response(status, text.as_bytes(), NOW_MS).map(|token| (token.renew_ms - NOW_MS, token.expires_ms - NOW_MS)).ok()
    };
    assert_eq!(of(200, GOOD.1), Some((55 * MINUTE_MS, 60 * MINUTE_MS)));
    assert_eq!(of(200, r#"{"access_token": "x", "expires_in": 60}"#), Some((30_000, 60_000)));
    assert_eq!(of(200, r#"{"access_token": "x", "expires_in": 18446744073709551615}"#), Some((1435 * MINUTE_MS, 1440 * MINUTE_MS)));
    let why = |status, text: &str| parse_response(status, text.as_bytes(), NOW_MS).err();
    for text in ["", "{}", "[]", r#"{"access_token": "a\nb", "expires_in": 1}"#, r#"{"access_token": "x", "expires_in": -1}"#] {
        assert!(why(200, text).is_some_and(|why| is_failed_endpoint(&why)), "{text}");
    }
    for error in ["invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope", "access_denied"] {
        assert_eq!(why(400, &format!(r#"{{"error": "{error}"}}"#)), Some(AccessTokenError::Rejected(error.to_owned())));
    }
    assert!(why(400, r#"{"error": "temporarily_unavailable"}"#).is_some_and(|why| is_failed_endpoint(&why)));
    assert!(why(503, "down").is_some_and(|why| is_failed_endpoint(&why)));
}

#[test]
fn an_assertion_names_its_issuer_scope_and_audience() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).expect("a key");
    let token_uri = "https://oauth2.googleapis.com/token".to_owned();
    let account = ServiceAccount { project: "p".to_owned(), email: "a@b".to_owned(), key_id: Some("KEY".to_owned()), key, token_uri };
    let text = signed_assertion(&account, NOW_MS / 1000).expect("signed");
    let public = jsonwebtoken::DecodingKey::from_rsa_der(pair.public_key_raw());
    let mut rules = jsonwebtoken::Validation::new(Algorithm::RS256);
    rules.set_audience(&["https://oauth2.googleapis.com/token"]);
    rules.validate_exp = false;
    let read = jsonwebtoken::decode::<serde_json::Value>(&text, &public, &rules).expect("signed");
    assert_eq!((read.header.kid.as_deref(), &read.claims["iss"], &read.claims["scope"]), (Some("KEY"), &"a@b".into(), &SCOPE.into()));
    assert_eq!(read.claims["exp"], NOW_MS / 1000 + 3600);
}
