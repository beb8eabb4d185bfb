//! Apple's side.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::support::{APP, Client, es256, now_s, provider_token, silent, start};
use crate::Environment;
use driftless_protocol::Provider;

#[tokio::test]
async fn a_push_in_order_reaches_its_device() {
    let (gateway, mut client, push, token) = start().await;
    let id = "8f7e6d5c-4b3a-4291-8807-f6e5d4c3b2a1";
    let push = push.with("apns-id", id).with("apns-collapse-id", "settings").with("apns-expiration", "0");
    let answered = client.ask(&push).await;
    assert_eq!((answered.status, answered.headers["apns-id"].to_str().unwrap()), (200, id));

    let pushes = gateway.pushed(&token, 1).await;
    assert_eq!((pushes[0].provider, pushes[0].stream, pushes[0].connection, pushes[0].attempt), (Provider::Apns, 1, 1, 1));
    assert_eq!(pushes[0].payload["aps"]["content-available"], 1);
    assert_eq!(pushes[0].header("apns-collapse-id"), Some("settings"));

    let shown = push.with("apns-push-type", "alert").with("apns-priority", "10").body(r#"{"aps":{"alert":"new"}}"#);
    assert_eq!(client.ask(&shown.with("apns-id", "")).await.status, 200);
    assert_eq!(gateway.pushed(&token, 2).await[1].payload["aps"]["alert"], "new");
    assert_eq!(gateway.complaints(), Vec::<String>::new());
    assert_eq!((gateway.counts().accepted, gateway.counts().provider_tokens), (2, 1));
}

#[tokio::test]
async fn what_apple_refuses_is_refused() {
    let (gateway, mut client, push, token) = start().await;
    let other = gateway.apns_token("org.example.other", Environment::Production);
    let long = format!(r#"{{"aps":{{"content-available":1}},"x":"{}"}}"#, "x".repeat(4096));
    let to = |token: &str| format!("/3/device/{token}");
    let wrong = [
        (push.method(Method::GET), 405, "MethodNotAllowed"),
        (push.path("/3/devices/00"), 404, "BadPath"),
        (push.path("/3/device/"), 400, "MissingDeviceToken"),
        (push.path(&to("zz")), 400, "BadDeviceToken"),
        (push.path(&to(&"ab".repeat(32))), 400, "BadDeviceToken"),
        (push.path(&to(&gateway.apns_token(APP, Environment::Sandbox))), 400, "BadDeviceToken"),
        (push.path(&to(&gateway.fcm_token(APP))), 400, "BadDeviceToken"),
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
    for (at, (sent, status, reason)) in wrong.iter().enumerate() {
        let answered = client.ask(sent).await;
        assert_eq!((answered.status, answered.reason().as_str()), (*status, *reason), "case {at}");
        assert!(answered.headers.contains_key("apns-id"), "case {at}");
    }
    assert_eq!(gateway.complaints().len(), wrong.len());
    assert_eq!((gateway.pushes_of(&token).len(), gateway.counts().refused["BadDeviceToken"]), (0, 4));
    assert_eq!(client.ask(&push).await.status, 200);
}

#[tokio::test]
async fn a_token_that_apple_did_not_sign_for_the_team_is_refused() {
    let (gateway, mut client, push, _) = start().await;
    let credentials = gateway.credentials().clone();
    let (key, key_id, team) = (&credentials.apns_key, credentials.apns_key_id, credentials.apns_team_id);
    let of = |key_id: Option<&str>, claims: Value| format!("bearer {}", es256(key, key_id, &claims));
    let right = json!({ "iss": team, "iat": now_s() });
    let foreign = es256(&credentials.vapid_key, Some(key_id), &right);
    let wrong = [
        (String::new(), "MissingProviderToken"),
        ("bearer nothing".to_owned(), "InvalidProviderToken"),
        ("basic YTpi".to_owned(), "InvalidProviderToken"),
        (of(None, right.clone()), "InvalidProviderToken"),
        (of(Some("ANOTHERKEY"), right.clone()), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": "ANOTHER", "iat": now_s() })), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": team })), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": team, "iat": now_s() + 600 })), "InvalidProviderToken"),
        (of(Some(key_id), json!({ "iss": team, "iat": now_s() - 3700 })), "ExpiredProviderToken"),
        (format!("bearer {foreign}"), "InvalidProviderToken"),
    ];
    for (at, (token, reason)) in wrong.iter().enumerate() {
        let answered = client.ask(&push.with("authorization", token)).await;
        assert_eq!((answered.status, answered.reason().as_str()), (403, *reason), "case {at}");
    }
    assert_eq!(client.ask(&push).await.status, 200, "none of them counts as a renewal");
}

#[tokio::test]
async fn a_token_is_renewed_after_twenty_minutes_and_within_the_hour() {
    let (gateway, mut client, push, _) = start().await;
    let sent_with = |issued_s| push.with("authorization", &provider_token(&gateway, issued_s));
    let (first, second) = (sent_with(now_s() - 10), sent_with(now_s()));
    assert_eq!(client.ask(&first).await.status, 200);
    let answered = client.ask(&second).await;
    assert_eq!((answered.status, answered.reason().as_str()), (429, "TooManyProviderTokenUpdates"));
    assert_eq!(client.ask(&first).await.status, 200, "the one before it still holds");

    gateway.advance(Duration::from_secs(20 * 60));
    assert_eq!(client.ask(&second).await.status, 200);
    gateway.advance(Duration::from_secs(40 * 60));
    assert_eq!(client.ask(&first).await.reason(), "ExpiredProviderToken");
    assert_eq!(gateway.counts().provider_tokens, 2);

    gateway.forget_provider_tokens();
    assert_eq!(client.ask(&sent_with(now_s() + 3600)).await.status, 200, "as if long ago");
}

#[tokio::test]
async fn a_certificate_stands_for_a_token() {
    let (gateway, mut client, push, _) = start().await;
    let push = push.with("authorization", "");
    assert_eq!(client.ask(&push).await.reason(), "MissingProviderToken");
    let mut client = Client::with_certificate(&gateway, &gateway.url()).await;
    assert_eq!(client.ask(&push).await.status, 200);
}

#[tokio::test]
async fn the_sandbox_is_another_place() {
    let (gateway, _, push, _) = start().await;
    let mut client = Client::connect(&gateway, &gateway.sandbox_url()).await;
    assert_eq!(client.ask(&push).await.reason(), "BadDeviceToken");
    let token = gateway.apns_token(APP, Environment::Sandbox);
    assert_eq!(client.ask(&silent(&gateway, &token).with("authorization", &push.headers[0].1)).await.status, 200);
    assert_eq!(gateway.pushes_of(&token)[0].provider, Provider::ApnsSandbox);
}

#[tokio::test]
async fn an_app_that_is_gone_answers_with_the_time() {
    let (gateway, mut client, push, token) = start().await;
    gateway.unregister(&token);
    let answered = client.ask(&push).await;
    assert_eq!((answered.status, answered.reason().as_str()), (410, "Unregistered"));
    assert!(answered.json()["timestamp"].as_u64().unwrap() / 1000 >= now_s() - 60);
    assert_eq!(gateway.complaints(), Vec::<String>::new(), "the sender could not know");
}
