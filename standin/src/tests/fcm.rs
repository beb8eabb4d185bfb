//! Google's side, asked for access tokens by the client library that senders use.

use std::time::Duration;

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::support::{APP, Answered, Client, Sent, http1, now_s};
use crate::{Answer, FcmCode, Gateway};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// A gateway, a connection to it, a message in order, and its token.
async fn start() -> (Gateway, Client, Sent, String) {
    let gateway = Gateway::start().await.unwrap();
    let client = Client::connect(&gateway, &gateway.url()).await;
    let token = gateway.fcm_token(APP);
    let path = format!("/v1/projects/{}/messages:send", gateway.credentials().project);
    let message = Sent::post(&path, &[("content-type", "application/json")], body(message(&token)));
    let message = message.with("authorization", &bearer(&gateway).await);
    (gateway, client, message, token)
}

fn message(token: &str) -> Value {
    let android = json!({ "priority": "high", "ttl": "3600s", "collapse_key": "settings" });
    json!({ "token": token, "data": { "version": "42" }, "android": android })
}

fn body(message: Value) -> String {
    json!({ "message": message }).to_string()
}

async fn bearer(gateway: &Gateway) -> String {
    let answered = ask_for_access(gateway, &form(&assertion(gateway))).await;
    format!("Bearer {}", answered.json()["access_token"].as_str().unwrap())
}

fn account(gateway: &Gateway) -> Value {
    serde_json::from_slice(&std::fs::read(&gateway.credentials().service_account).unwrap()).unwrap()
}

/// What the account says of itself for an access token (RFC 7523 section 3).
fn assertion(gateway: &Gateway) -> String {
    let (account, now) = (account(gateway), now_s());
    let claims = json!({ "iss": account["client_email"], "aud": gateway.token_uri(), "scope": SCOPE, "iat": now, "exp": now + 3600 });
    signed(&account, &claims)
}

fn signed(account: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(account["private_key"].as_str().unwrap().as_bytes()).unwrap();
    encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

fn form(assertion: &str) -> String {
    format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}")
}

#[tokio::test]
async fn a_message_in_order_reaches_its_device() {
    let (gateway, mut client, message, token) = start().await;
    let answered = client.ask(&message).await;
    assert_eq!(answered.status, 200);
    assert!(answered.json()["name"].as_str().unwrap().starts_with("projects/driftless-stand-in/messages/"));
    let pushes = gateway.pushed(&token, 1).await;
    assert_eq!((&pushes[0].payload["data"]["version"], &pushes[0].payload["android"]["priority"]), (&json!("42"), &json!("high")));
    assert_eq!(gateway.complaints(), Vec::<String>::new());
    assert_eq!(gateway.counts().token_calls, 1);
}

#[tokio::test]
async fn what_google_refuses_is_refused() {
    let (gateway, mut client, sent, token) = start().await;
    let spoiled = |spoil: fn(&mut Value)| {
        let mut message = message(&token);
        spoil(&mut message);
        sent.body(body(message))
    };
    let wrong = [
        (sent.method(Method::PUT), 404, ""),
        (sent.path("/v1/projects/driftless-stand-in/messages"), 404, ""),
        (sent.path("/v1/projects/another/messages:send"), 403, "PERMISSION_DENIED"),
        (sent.with("authorization", ""), 401, "UNAUTHENTICATED"),
        (sent.with("authorization", "Bearer ya29.invented"), 401, "UNAUTHENTICATED"),
        (sent.body("{"), 400, "INVALID_ARGUMENT"),
        (sent.body("{}"), 400, "INVALID_ARGUMENT"),
        (sent.body(json!({ "message": message(&token), "more": 1 }).to_string()), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["token"] = json!("abc")), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["token"] = json!(1)), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["notification"] = json!({ "title": "new" })), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["data"]["version"] = json!(42)), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["data"]["from"] = json!("me")), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["data"]["long"] = json!("x".repeat(4097))), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["android"]["priority"] = json!("urgent")), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["android"]["ttl"] = json!(3600)), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["android"]["ttl"] = json!("3600")), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["android"]["ttl"] = json!("9999999s")), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["android"]["collapse_key"] = json!(1)), 400, "INVALID_ARGUMENT"),
        (spoiled(|message| message["android"]["collapseKey"] = json!("1")), 400, "INVALID_ARGUMENT"),
    ];
    for (at, (sent, status, name)) in wrong.iter().enumerate() {
        let answered = client.ask(sent).await;
        assert_eq!(answered.status, *status, "case {at}");
        assert!(name.is_empty() || answered.json()["error"]["status"] == *name, "case {at}");
    }
    assert_eq!((gateway.complaints().len(), gateway.pushes().len()), (wrong.len(), 0));
    let answered = client.ask(&spoiled(|message| message["data"]["version"] = json!(42))).await;
    assert_eq!(answered.json()["error"]["details"][0]["fieldViolations"][0]["field"], "message.data[0].value");
}

#[tokio::test]
async fn an_app_that_is_gone_is_unregistered() {
    let (gateway, mut client, message, token) = start().await;
    gateway.unregister(&token);
    let answered = client.ask(&message).await;
    assert_eq!((answered.status, &answered.json()["error"]["details"][0]["errorCode"]), (404, &json!("UNREGISTERED")));
    assert_eq!(gateway.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn access_ends_with_its_time_or_when_it_is_taken_back() {
    let (gateway, mut client, message, _) = start().await;
    gateway.revoke_access_tokens();
    assert_eq!(client.ask(&message).await.json()["error"]["status"], "UNAUTHENTICATED");
    assert_eq!(gateway.complaints(), Vec::<String>::new(), "the sender could not know");

    gateway.access_tokens_last(Duration::from_secs(600));
    let message = message.with("authorization", &bearer(&gateway).await);
    assert_eq!(client.ask(&message).await.status, 200);
    gateway.advance(Duration::from_secs(600));
    assert_eq!(client.ask(&message).await.status, 401);
    assert_eq!(gateway.complaints().len(), 1);
}

#[tokio::test]
async fn the_token_endpoint_believes_only_the_service_account() {
    let gateway = Gateway::start().await.unwrap();
    let account = account(&gateway);
    let (now, uri, email) = (now_s(), gateway.token_uri(), account["client_email"].as_str().unwrap());
    let right = json!({ "iss": email, "aud": uri, "scope": SCOPE, "iat": now, "exp": now + 3600 });
    let with = |name: &str, value: Value| {
        let mut claims = right.clone();
        claims[name] = value;
        claims
    };
    let wrong = [
        with("iss", json!("somebody@example.org")),
        with("aud", json!("https://oauth2.googleapis.com/token")),
        with("scope", json!("https://www.googleapis.com/auth/drive")),
        with("exp", json!(now + 3700)),
        with("exp", json!(now - 1)),
        with("iat", json!(now + 600)),
    ];
    let foreign = Gateway::start().await.unwrap();
    let foreign: Value = serde_json::from_slice(&std::fs::read(&foreign.credentials().service_account).unwrap()).unwrap();
    let mut cases: Vec<_> = wrong.iter().map(|claims| (form(&signed(&account, claims)), "invalid_")).collect();
    cases.push((form(&signed(&foreign, &right)), "invalid_grant"));
    cases.push((form("no.j.wt"), "invalid_grant"));
    cases.push(("grant_type=password".to_owned(), "unsupported_grant_type"));
    cases.push((form("").replace("&assertion=", ""), "invalid_request"));
    for (at, (form, error)) in cases.iter().enumerate() {
        let answered = ask_for_access(&gateway, form).await;
        assert!(answered.status == 400 && answered.json()["error"].as_str().unwrap().starts_with(error), "case {at}");
    }
    assert_eq!(gateway.complaints().len(), cases.len());
    let answered = ask_for_access(&gateway, &form(&signed(&account, &right))).await;
    assert_eq!((answered.status, &answered.json()["expires_in"]), (200, &json!(3600)));
}

async fn ask_for_access(gateway: &Gateway, form: &str) -> Answered {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", gateway.ports().tokens)).await.unwrap();
    http1(stream, &Sent::post("/token", &[], form)).await.unwrap()
}

#[tokio::test]
async fn scripts_speak_googles_language() {
    let (gateway, mut client, message, token) = start().await;
    let codes = [FcmCode::SenderIdMismatch, FcmCode::QuotaExceeded, FcmCode::Unavailable, FcmCode::Internal, FcmCode::ThirdPartyAuthError];
    gateway.script(&token, codes.map(Answer::fcm));
    for (code, status) in codes.into_iter().zip([403, 429, 503, 500, 401]) {
        let answered = client.ask(&message).await;
        let detail = &answered.json()["error"]["details"][0];
        assert_eq!((answered.status, &detail["errorCode"]), (status, &json!(code.as_str())));
    }
    gateway.script(&gateway.token_uri(), [Answer::status(400).always()]);
    assert_eq!(ask_for_access(&gateway, &form(&assertion(&gateway))).await.status, 400);
    gateway.unscript(&gateway.token_uri());
    assert_eq!(ask_for_access(&gateway, &form(&assertion(&gateway))).await.status, 200);
}
