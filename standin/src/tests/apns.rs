//! Apple's service.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::support::{APP, TestClient, background_push, es256, now_s, provider_token, start};
use crate::ApnsEnvironment;
use driftless_protocol::Provider;

#[tokio::test]
async fn a_valid_push_reaches_its_device() {
    let (gateway, mut client, push, token) = start().await;
    let id = "8f7e6d5c-4b3a-4291-8807-f6e5d4c3b2a1";
    let push = push.with("apns-id", id).with("apns-collapse-id", "settings").with("apns-expiration", "0");
    let response = client.exchange(&push).await;
    assert_eq!((response.status, response.headers["apns-id"].to_str().unwrap()), (200, id));

    let pushes = gateway.wait_for_pushes(&token, 1).await;
    assert_eq!((pushes[0].provider, pushes[0].stream, pushes[0].connection, pushes[0].attempt), (Provider::Apns, 1, 1, 1));
    assert_eq!(pushes[0].payload["aps"]["content-available"], 1);
    assert_eq!(pushes[0].header("apns-collapse-id"), Some("settings"));

    let shown = push.with("apns-push-type", "alert").with("apns-priority", "10").body(r#"{"aps":{"alert":"new"}}"#);
    assert_eq!(client.exchange(&shown.with("apns-id", "")).await.status, 200);
    assert_eq!(gateway.wait_for_pushes(&token, 2).await[1].payload["aps"]["alert"], "new");
    assert_eq!(gateway.violations(), Vec::<String>::new());
    assert_eq!((gateway.counts().accepted, gateway.counts().provider_tokens), (2, 1));
}

#[tokio::test]
async fn invalid_requests_are_rejected_with_apples_reasons() {
    let (gateway, mut client, push, token) = start().await;
    let other = gateway.new_apns_token("org.example.other", ApnsEnvironment::Production);
    let long = format!(r#"{{"aps":{{"content-available":1}},"x":"{}"}}"#, "x".repeat(4096));
    let to = |token: &str| format!("/3/device/{token}");
    let invalid = [
        (push.method(Method::GET), 405, "MethodNotAllowed"),
        (push.path("/3/devices/00"), 404, "BadPath"),
        (push.path("/3/device/"), 400, "MissingDeviceToken"),
        (push.path(&to("zz")), 400, "BadDeviceToken"),
        (push.path(&to(&"ab".repeat(32))), 400, "BadDeviceToken"),
        (push.path(&to(&gateway.new_apns_token(APP, ApnsEnvironment::Sandbox))), 400, "BadDeviceToken"),
        (push.path(&to(&gateway.new_fcm_token(APP))), 400, "BadDeviceToken"),
        (push.path(&to(&other)), 400, "DeviceTokenNotForTopic"),
        (push.with("apns-topic", "org.example.nobody"), 400, "TopicDisallowed"),
        (push.with("apns-topic", "not a topic"), 400, "BadTopic"),
        (push.with("apns-topic", ""), 400, "MissingTopic"),
        (push.with("apns-id", "8F7E6D5C4B3A42918807F6E5D4C3B2A1"), 400, "BadMessageId"),
        (push.with("apns-expiration", "tomorrow"), 400, "BadExpirationDate"),
        (push.with("apns-collapse-id", &"c".repeat(65)), 400, "BadCollapseId"),
        (push.with("apns-priority", "7"), 400, "BadPriority"),
        (push.with("apns-priority", "10"), 400, "BadPriority"),
        (push.with("apns-priority", ""), 400, "BadPriority"),
        (push.with("apns-push-type", ""), 400, "InvalidPushType"),
        (push.with("apns-push-type", "silent"), 400, "InvalidPushType"),
        (push.with("apns-push-type", "alert"), 400, "InvalidPushType"),
        (push.body(r#"{"aps":{}}"#), 400, "InvalidPushType"),
        (push.body(r#"{"aps":{"content-available":1,"sound":"ping"}}"#), 400, "InvalidPushType"),
        (push.body(""), 400, "PayloadEmpty"),
        (push.body("{"), 400, "PayloadEmpty"),
        (push.body("[1]"), 400, "PayloadEmpty"),
        (push.body(r#"{"apple":{}}"#), 400, "PayloadEmpty"),
        (push.body(long), 413, "PayloadTooLarge"),
    ];
    for (at, (request, status, reason)) in invalid.iter().enumerate() {
        let response = client.exchange(request).await;
        assert_eq!((response.status, response.reason().as_str()), (*status, *reason), "case {at}");
        assert!(response.headers.contains_key("apns-id"), "case {at}");
    }
    assert_eq!(gateway.violations().len(), invalid.len());
    assert_eq!((gateway.pushes_to(&token).len(), gateway.counts().refused["BadDeviceToken"]), (0, 4));
    assert_eq!(client.exchange(&push).await.status, 200);
}

#[tokio::test]
async fn a_provider_token_that_the_team_did_not_sign_is_rejected() {
    let (gateway, mut client, push, _) = start().await;
    let credentials = gateway.credentials().clone();
    let (key, key_id, team) = (&credentials.apns_key, credentials.apns_key_id, credentials.apns_team_id);
    let of = |key_id: Option<&str>, claims: Value| format!("bearer {}", es256(key, key_id, &claims));
    let valid = json!({ "iss": team, "iat": now_s() });
    let foreign = es256(&credentials.vapid_key, Some(key_id), &valid);
    let invalid = [
        (String::new(), "MissingProviderToken"),
        ("bearer nothing".to_owned(), "InvalidProviderToken"),
        ("basic YTpi".to_owned(), "InvalidProviderToken"),
        (of(None, valid.clone()), "InvalidProviderToken"),
        (of(Some("ANOTHERKEY"), valid.clone()), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": "ANOTHER", "iat": now_s() })), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": team })), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": team, "iat": now_s() + 600 })), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": team, "iat": now_s() - 3700 })), "ExpiredProviderToken"),
        (format!("bearer {foreign}"), "InvalidProviderToken"),
    ];
    for (at, (token, reason)) in invalid.iter().enumerate() {
        let response = client.exchange(&push.with("authorization", token)).await;
        assert_eq!((response.status, response.reason().as_str()), (403, *reason), "case {at}");
    }
    assert_eq!(client.exchange(&push).await.status, 200, "rejected tokens do not count as renewals");
}

#[tokio::test]
async fn a_provider_token_can_be_renewed_after_20_minutes_and_expires_after_an_hour() {
    let (gateway, mut client, push, _) = start().await;
    let push_with_token = |issued_s| push.with("authorization", &provider_token(&gateway, issued_s));
    let (first, second) = (push_with_token(now_s() - 10), push_with_token(now_s()));
    assert_eq!(client.exchange(&first).await.status, 200);
    let response = client.exchange(&second).await;
    assert_eq!((response.status, response.reason().as_str()), (429, "TooManyProviderTokenUpdates"));
    assert_eq!(client.exchange(&first).await.status, 200, "the previous token is still valid");

    gateway.advance_clock(Duration::from_secs(20 * 60));
    assert_eq!(client.exchange(&second).await.status, 200);
    gateway.advance_clock(Duration::from_secs(40 * 60));
    assert_eq!(client.exchange(&first).await.reason(), "ExpiredProviderToken");
    assert_eq!(gateway.counts().provider_tokens, 2);

    gateway.forget_provider_tokens();
    assert_eq!(client.exchange(&push_with_token(now_s() + 3600)).await.status, 200, "the previous token is forgotten");
}

#[tokio::test]
async fn a_client_certificate_replaces_the_provider_token() {
    let (gateway, mut client, push, _) = start().await;
    let push = push.with("authorization", "");
    assert_eq!(client.exchange(&push).await.reason(), "MissingProviderToken");
    let mut client = TestClient::with_certificate(&gateway, &gateway.url()).await;
    assert_eq!(client.exchange(&push).await.status, 200);
}

#[tokio::test]
async fn the_sandbox_accepts_only_sandbox_tokens() {
    let (gateway, _, push, _) = start().await;
    let mut client = TestClient::connect(&gateway, &gateway.sandbox_url()).await;
    assert_eq!(client.exchange(&push).await.reason(), "BadDeviceToken");
    let token = gateway.new_apns_token(APP, ApnsEnvironment::Sandbox);
    assert_eq!(client.exchange(&background_push(&gateway, &token).with("authorization", &push.headers[0].1)).await.status, 200);
    assert_eq!(gateway.pushes_to(&token)[0].provider, Provider::ApnsSandbox);
}

#[tokio::test]
async fn an_unregistered_token_is_rejected_with_the_time() {
    let (gateway, mut client, push, token) = start().await;
    gateway.unregister(&token);
    let response = client.exchange(&push).await;
    assert_eq!((response.status, response.reason().as_str()), (410, "Unregistered"));
    assert!(response.json()["timestamp"].as_u64().unwrap() / 1000 >= now_s() - 60);
    assert_eq!(gateway.violations(), Vec::<String>::new(), "not a violation: the sender could not know");
}
