//! A browser's push service. The test encrypts messages with the library that the server uses.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use driftless_protocol::WebPushSubscription;
use http::Method;
use serde_json::{Value, json};
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

use super::support::{APP, TestClient, TestRequest, es256, http1, now_s, tls};
use crate::{ApnsEnvironment, StandInGateway};

/// A gateway, a connection to it, a subscription, and a valid message to it.
async fn start() -> (StandInGateway, TestClient, WebPushSubscription, TestRequest) {
    let gateway = StandInGateway::start().await.unwrap();
    let client = TestClient::connect(&gateway, &gateway.url()).await;
    let subscription = gateway.new_subscription();
    let headers = [("ttl", "60"), ("urgency", "high"), ("topic", "settings"), ("content-encoding", "aes128gcm")];
    let path = subscription.endpoint.strip_prefix(&gateway.url()).unwrap();
    let message = TestRequest::post(path, &headers, encrypted(&subscription, r#"{"version":42}"#));
    let message = message.with("authorization", &vapid(&gateway, &claims(&gateway)));
    (gateway, client, subscription, message)
}

fn encrypted(subscription: &WebPushSubscription, text: &str) -> Vec<u8> {
    let [key, auth] = [&subscription.p256dh, &subscription.auth].map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
    let auth = Auth::from(*auth.first_chunk::<16>().unwrap());
    encrypt(text.into(), &PublicKey::from_sec1_bytes(&key).unwrap(), &auth).unwrap()
}

fn claims(gateway: &StandInGateway) -> Value {
    json!({ "aud": gateway.url(), "exp": now_s() + 12 * 3600, "sub": "mailto:push@example.org" })
}

fn vapid(gateway: &StandInGateway, claims: &Value) -> String {
    let credentials = gateway.credentials();
    format!("vapid t={}, k={}", es256(&credentials.vapid_key, None, claims), credentials.vapid_public)
}

#[tokio::test]
async fn a_valid_message_is_decrypted() {
    let (gateway, mut client, subscription, message) = start().await;
    let response = client.exchange(&message).await;
    assert_eq!(response.status, 201);
    assert!(response.headers["location"].to_str().unwrap().starts_with(&gateway.url()));
    let pushes = gateway.wait_for_pushes(&subscription.endpoint, 1).await;
    assert_eq!(pushes[0].payload["version"], 42);
    assert_eq!(
        [pushes[0].header("ttl"), pushes[0].header("urgency"), pushes[0].header("topic")],
        [Some("60"), Some("high"), Some("settings")]
    );

    assert_eq!(client.exchange(&message.body("").with("content-encoding", "")).await.status, 201);
    assert_eq!(client.exchange(&message.body(encrypted(&subscription, "no json"))).await.status, 201);
    let payloads: Vec<_> = gateway.pushes().into_iter().map(|push| push.payload).skip(1).collect();
    assert_eq!(payloads, [Value::Null, json!("no json")]);
    assert_eq!(gateway.violations(), Vec::<String>::new());
    assert_eq!(gateway.counts().vapid_tokens, 1);
}

#[tokio::test]
async fn web_push_also_works_over_http_1_and_apns_does_not() {
    let (gateway, _, subscription, message) = start().await;
    let stream = tls(&gateway, &gateway.url(), b"http/1.1", false).await;
    assert_eq!(http1(stream, &message).await.unwrap().status, 201);
    assert_eq!(gateway.pushes_to(&subscription.endpoint)[0].payload["version"], 42);

    let token = gateway.new_apns_token(APP, ApnsEnvironment::Production);
    let stream = tls(&gateway, &gateway.url(), b"http/1.1", false).await;
    assert_eq!(http1(stream, &super::support::background_push(&gateway, &token)).await.unwrap().status, 404, "APNs accepts only HTTP/2");
}

#[tokio::test]
async fn invalid_messages_are_rejected() {
    let (gateway, mut client, subscription, message) = start().await;
    let credentials = gateway.credentials().clone();
    let signed = |name: &str, value: Value| {
        let mut claims = claims(&gateway);
        claims[name] = value;
        message.with("authorization", &vapid(&gateway, &claims))
    };
    let foreign = es256(&credentials.apns_key, None, &claims(&gateway));
    let other = gateway.new_subscription();
    let mut cut = message.body.clone();
    cut.pop();
    let mut modified = message.body.clone();
    modified[100] ^= 1;
    let invalid = [
        (message.method(Method::PUT), 405),
        (message.path("/push/nobody"), 404),
        (message.path("/push/"), 404),
        (message.with("authorization", ""), 401),
        (message.with("authorization", "vapid t=a.b.c"), 403),
        (message.with("authorization", "bearer abc"), 403),
        (message.with("authorization", &format!("vapid t={foreign}, k={}", credentials.vapid_public)), 403),
        (message.with("authorization", &vapid(&gateway, &claims(&gateway)).replace("k=", "k=A")), 403),
        (signed("aud", json!("https://push.example")), 403),
        (signed("exp", json!(now_s() - 1)), 403),
        (signed("exp", json!(now_s() + 25 * 3600)), 403),
        (signed("sub", json!("push@example.org")), 403),
        (message.with("ttl", ""), 400),
        (message.with("ttl", "-1"), 400),
        (message.with("urgency", "urgent"), 400),
        (message.with("topic", &"t".repeat(33)), 400),
        (message.with("topic", "not base64"), 400),
        (message.with("content-encoding", "aesgcm"), 400),
        (message.body(vec![0; 4097]), 413),
        (message.body("short"), 400),
        (message.body(cut), 400),
        (message.body(modified), 400),
        (message.body(encrypted(&other, "for another")), 400),
    ];
    for (at, (request, status)) in invalid.iter().enumerate() {
        assert_eq!(client.exchange(request).await.status, *status, "case {at}");
    }
    assert_eq!((gateway.violations().len(), gateway.pushes().len()), (invalid.len(), 0));
    gateway.unregister(&subscription.endpoint);
    assert_eq!(client.exchange(&message).await.status, 410);
    assert_eq!(gateway.violations().len(), invalid.len(), "not a violation: the sender could not know");
}

#[tokio::test]
async fn a_message_for_foreign_keys_stays_encrypted() {
    let (gateway, mut client, theirs, message) = start().await;
    let subscription = gateway.subscribe(&theirs.p256dh, &theirs.auth);
    let path = subscription.endpoint.strip_prefix(&gateway.url()).unwrap();
    assert_eq!(client.exchange(&message.path(path)).await.status, 201);
    let push = &gateway.pushes_to(&subscription.endpoint)[0];
    assert_eq!((push.ciphertext.as_ref(), &push.payload), (Some(&message.body), &Value::Null));
}
