//! Google's service. The test signs assertions with the library that the server uses.

use std::time::Duration;

use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::support::{APP, TestClient, TestRequest, TestResponse, http1, now_s};
use crate::{FcmErrorCode, ScriptedResponse, StandInGateway};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// A gateway, a connection to it, a valid message, and its token.
async fn start() -> (StandInGateway, TestClient, TestRequest, String) {
    let gateway = StandInGateway::start().await.unwrap();
    let client = TestClient::connect(&gateway, &gateway.url()).await;
    let token = gateway.new_fcm_token(APP);
    let path = format!("/v1/projects/{}/messages:send", gateway.credentials().project);
    let message = TestRequest::post(&path, &[("content-type", "application/json")], body(message(&token)));
    let message = message.with("authorization", &bearer(&gateway).await);
    (gateway, client, message, token)
}

fn message(token: &str) -> Value {
    let android = json!({ "priority": "high", "ttl": "3600s", "collapse_key": "settings" });
    let headers = json!({ "apns-push-type": "background", "apns-priority": "5" });
    let apns = json!({ "headers": headers, "payload": { "aps": { "content-available": 1 } } });
    json!({ "token": token, "data": { "version": "42" }, "android": android, "apns": apns, "webpush": { "headers": { "TTL": "60" } } })
}

fn body(message: Value) -> String {
    json!({ "message": message }).to_string()
}

async fn bearer(gateway: &StandInGateway) -> String {
    let response = request_access_token(gateway, &form(&assertion(gateway))).await;
    format!("Bearer {}", response.json()["access_token"].as_str().unwrap())
}

fn account(gateway: &StandInGateway) -> Value {
    serde_json::from_slice(&std::fs::read(&gateway.credentials().service_account).unwrap()).unwrap()
}

/// The service account's assertion for an access token (RFC 7523 section 3).
fn assertion(gateway: &StandInGateway) -> String {
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
async fn a_valid_message_reaches_its_device() {
    let (gateway, mut client, message, token) = start().await;
    let response = client.exchange(&message).await;
    assert_eq!(response.status, 200);
    assert!(response.json()["name"].as_str().unwrap().starts_with("projects/driftless-stand-in/messages/"));
    let pushes = gateway.wait_for_pushes(&token, 1).await;
    assert_eq!((&pushes[0].payload["data"]["version"], &pushes[0].payload["android"]["priority"]), (&json!("42"), &json!("high")));
    assert_eq!(pushes[0].fcm_apns_payload(), json!({ "aps": { "content-available": 1 }, "version": "42" }));
    assert_eq!(gateway.violations(), Vec::<String>::new());
    assert_eq!(gateway.counts().token_requests, 1);
}

#[tokio::test]
async fn invalid_messages_are_rejected_with_googles_errors() {
    let (gateway, mut client, request, token) = start().await;
    let modified = |modify: fn(&mut Value)| {
        let mut message = message(&token);
        modify(&mut message);
        request.body(body(message))
    };
    let invalid = [
        (request.method(Method::PUT), 404, ""),
        (request.path("/v1/projects/driftless-stand-in/messages"), 404, ""),
        (request.path("/v1/projects/another/messages:send"), 403, "PERMISSION_DENIED"),
        (request.with("authorization", ""), 401, "UNAUTHENTICATED"),
        (request.with("authorization", "Bearer ya29.invented"), 401, "UNAUTHENTICATED"),
        (request.body("{"), 400, "INVALID_ARGUMENT"),
        (request.body("{}"), 400, "INVALID_ARGUMENT"),
        (request.body(json!({ "message": message(&token), "more": 1 }).to_string()), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["token"] = json!("abc")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["token"] = json!(1)), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["notification"] = json!({ "title": 1 })), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["webpush"] = json!({ "headers": { "TTL": 60 } })), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["webpush"] = json!({ "headers": { "Urgency": "most" } })), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["apns"] = json!({ "aps": {} })), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["apns"]["headers"]["apns-priority"] = json!(5)), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["apns"]["headers"]["apns-priority"] = json!("10")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["apns"]["headers"]["apns-expiration"] = json!("soon")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["apns"]["payload"]["aps"] = json!({})), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["apns"]["payload"]["aps"]["alert"] = json!("new")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["notification"] = json!({ "title": "new", "body": "n" })), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["data"]["version"] = json!(42)), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["data"]["from"] = json!("me")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["data"]["long"] = json!("x".repeat(4097))), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["android"]["priority"] = json!("urgent")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["android"]["ttl"] = json!(3600)), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["android"]["ttl"] = json!("3600")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["android"]["ttl"] = json!("9999999s")), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["android"]["collapse_key"] = json!(1)), 400, "INVALID_ARGUMENT"),
        (modified(|message| message["android"]["collapseKey"] = json!("1")), 400, "INVALID_ARGUMENT"),
    ];
    for (at, (request, status, name)) in invalid.iter().enumerate() {
        let response = client.exchange(request).await;
        assert_eq!(response.status, *status, "case {at}");
        assert!(name.is_empty() || response.json()["error"]["status"] == *name, "case {at}");
    }
    assert_eq!((gateway.violations().len(), gateway.pushes().len()), (invalid.len(), 0));
    let response = client.exchange(&modified(|message| message["data"]["version"] = json!(42))).await;
    assert_eq!(response.json()["error"]["details"][0]["fieldViolations"][0]["field"], "message.data[0].value");
}

#[tokio::test]
async fn a_shown_message_reaches_an_apple_device_as_an_alert() {
    let (gateway, mut client, request, token) = start().await;
    let mut message = message(&token);
    message["notification"] = json!({ "title": "Notes", "body": "new" });
    message["apns"]["headers"] = json!({ "apns-push-type": "alert", "apns-priority": "10" });
    assert_eq!(client.exchange(&request.body(body(message.clone()))).await.status, 200);
    let push = gateway.wait_for_pushes(&token, 1).await.remove(0);
    assert_eq!(push.fcm_apns_payload()["aps"]["alert"], json!({ "title": "Notes", "body": "new" }));
    message["apns"]["headers"]["apns-push-type"] = json!("background");
    let refused = client.exchange(&request.body(body(message))).await;
    assert_eq!((refused.status, &refused.json()["error"]["details"][1]["reason"]), (400, &json!("BadPriority")));
}

#[tokio::test]
async fn an_unregistered_token_is_rejected() {
    let (gateway, mut client, message, token) = start().await;
    gateway.unregister(&token);
    let response = client.exchange(&message).await;
    assert_eq!((response.status, &response.json()["error"]["details"][0]["errorCode"]), (404, &json!("UNREGISTERED")));
    assert_eq!(gateway.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_access_token_can_expire_and_be_revoked() {
    let (gateway, mut client, message, _) = start().await;
    gateway.revoke_access_tokens();
    assert_eq!(client.exchange(&message).await.json()["error"]["status"], "UNAUTHENTICATED");
    assert_eq!(gateway.violations(), Vec::<String>::new(), "not a violation: the sender could not know");

    gateway.set_access_token_lifetime(Duration::from_secs(600));
    let message = message.with("authorization", &bearer(&gateway).await);
    assert_eq!(client.exchange(&message).await.status, 200);
    gateway.advance_clock(Duration::from_secs(600));
    assert_eq!(client.exchange(&message).await.status, 401);
    assert_eq!(gateway.violations().len(), 1);
}

#[tokio::test]
async fn the_token_endpoint_accepts_only_the_service_accounts_assertion() {
    let gateway = StandInGateway::start().await.unwrap();
    let account = account(&gateway);
    let (now, uri, email) = (now_s(), gateway.token_uri(), account["client_email"].as_str().unwrap());
    let valid = json!({ "iss": email, "aud": uri, "scope": SCOPE, "iat": now, "exp": now + 3600 });
    let with = |name: &str, value: Value| {
        let mut claims = valid.clone();
        claims[name] = value;
        claims
    };
    let invalid = [
        with("iss", json!("somebody@example.org")),
        with("aud", json!("https://oauth2.googleapis.com/token")),
        with("scope", json!("https://www.googleapis.com/auth/drive")),
        with("exp", json!(now + 3700)),
        with("exp", json!(now - 1)),
        with("iat", json!(now + 600)),
    ];
    let foreign = StandInGateway::start().await.unwrap();
    let foreign: Value = serde_json::from_slice(&std::fs::read(&foreign.credentials().service_account).unwrap()).unwrap();
    let mut cases: Vec<_> = invalid.iter().map(|claims| (form(&signed(&account, claims)), "invalid_")).collect();
    cases.push((form(&signed(&foreign, &valid)), "invalid_grant"));
    cases.push((form("no.j.wt"), "invalid_grant"));
    cases.push(("grant_type=password".to_owned(), "unsupported_grant_type"));
    cases.push((form("").replace("&assertion=", ""), "invalid_request"));
    for (at, (form, error)) in cases.iter().enumerate() {
        let response = request_access_token(&gateway, form).await;
        assert!(response.status == 400 && response.json()["error"].as_str().unwrap().starts_with(error), "case {at}");
    }
    assert_eq!(gateway.violations().len(), cases.len());
    let response = request_access_token(&gateway, &form(&signed(&account, &valid))).await;
    assert_eq!((response.status, &response.json()["expires_in"]), (200, &json!(3600)));
}

async fn request_access_token(gateway: &StandInGateway, form: &str) -> TestResponse {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", gateway.ports().tokens)).await.unwrap();
    http1(stream, &TestRequest::post("/token", &[], form)).await.unwrap()
}

#[tokio::test]
async fn scripted_errors_have_googles_form() {
    let (gateway, mut client, message, token) = start().await;
    let codes = [
        FcmErrorCode::SenderIdMismatch,
        FcmErrorCode::QuotaExceeded,
        FcmErrorCode::Unavailable,
        FcmErrorCode::Internal,
        FcmErrorCode::ThirdPartyAuthError,
    ];
    gateway.script(&token, codes.map(ScriptedResponse::fcm));
    for (code, status) in codes.into_iter().zip([403, 429, 503, 500, 401]) {
        let response = client.exchange(&message).await;
        let detail = &response.json()["error"]["details"][0];
        assert_eq!((response.status, &detail["errorCode"]), (status, &json!(code.as_str())));
    }
    gateway.script(&gateway.token_uri(), [ScriptedResponse::status(400).always()]);
    assert_eq!(request_access_token(&gateway, &form(&assertion(&gateway))).await.status, 400);
    gateway.clear_script(&gateway.token_uri());
    assert_eq!(request_access_token(&gateway, &form(&assertion(&gateway))).await.status, 200);
}
