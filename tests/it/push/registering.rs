use driftless_protocol::{ClientMessage, CloseCode, PushTarget, RefusalCode, Registration, ServerMessage};
use driftless_standin::StandInGateway;
use serde_json::json;

use crate::support::push::{APP, apns, asleep, fcm, registration, server};
use crate::support::{Http, Phone, soon, token};

#[tokio::test]
async fn a_device_registers_over_http_looks_and_takes_it_back() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let http = server.http("alice", "phone");
    assert_eq!(http.get("/v1/push").await.json()["type"], "unregistered");
    let body = json!({ "provider": "fcm", "app": APP, "token": fcm(&gateway).address(), "datasets": ["settings"] });
    assert_eq!(http.put("/v1/push", &body.to_string()).await.json(), json!({ "type": "registered", "provider": "fcm", "app": APP }));
    assert_eq!(http.get("/v1/push").await.json()["provider"], "fcm");
    assert_eq!(http.delete("/v1/push").await.json()["type"], "unregistered");
    assert_eq!(http.get("/v1/push").await.json()["type"], "unregistered");
    assert_eq!(http.delete("/v1/push").await.status, 200, "once more is fine");
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_and_the_socket_lives_on() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let http = server.http("alice", "phone");
    let long = "x".repeat(5000);
    let subscription = |endpoint: &str| json!({ "endpoint": endpoint, "p256dh": gateway.new_subscription().p256dh, "auth": gateway.new_subscription().auth });
    for (body, code) in [
        (json!({ "provider": "fcm", "app": APP }), "bad_push_token"),
        (json!({ "provider": "fcm", "app": APP, "token": long }), "bad_push_token"),
        (json!({ "provider": "fcm", "app": APP, "token": "a b" }), "bad_push_token"),
        (json!({ "provider": "apns", "app": APP, "token": "xyz" }), "bad_push_token"),
        (json!({ "provider": "apns-sandbox", "app": APP, "token": "../../x" }), "bad_push_token"),
        (json!({ "provider": "webpush", "app": APP, "subscription": subscription("http://push.example/1") }), "bad_push_token"),
        (
            json!({ "provider": "webpush", "app": APP, "subscription": { "endpoint": "https://p.example/1", "p256dh": "B".repeat(87), "auth": "a".repeat(22) } }),
            "bad_push_token",
        ),
        (json!({ "provider": "webpush", "app": APP, "token": "x" }), "bad_push_token"),
        (json!({ "provider": "fcm", "app": "other", "token": "x" }), "unknown_app"),
        (json!({ "provider": "gcm", "app": APP, "token": "x" }), "bad_request"),
        (json!({ "provider": "fcm", "token": "x" }), "bad_request"),
        (json!({ "provider": "fcm", "app": "", "token": "x" }), "bad_request"),
        (json!({ "provider": "fcm", "app": APP, "token": "x", "datasets": [] }), "bad_request"),
        (json!({ "provider": "fcm", "app": APP, "token": "x", "datasets": ["a b"] }), "bad_name"),
        (json!(["fcm"]), "bad_request"),
    ] {
        let answer = http.put("/v1/push", &body.to_string()).await;
        assert_eq!((answer.status, answer.json()["code"].as_str().unwrap()), (400, code), "{body}");
        assert!(!answer.body.contains(&long), "what was wrong is not said again");
    }
    let mut phone = server.phone("alice", "phone").await;
    let other = Registration { app: "other".to_owned(), ..registration(fcm(&gateway)) };
    phone.say(ClientMessage::Register(other)).await;
    assert_eq!(phone.refusal().await, RefusalCode::UnknownApp);
    phone.registers(registration(fcm(&gateway))).await;
    phone.say(ClientMessage::Unregister).await;
    assert_eq!(phone.hear().await, ServerMessage::Unregistered);
    phone.is_quiet().await;
}

#[tokio::test]
async fn a_phone_that_changes_hands_never_gets_the_old_owner_s_wakes() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let (phone, tablet) = (apns(&gateway), apns(&gateway));
    let tokens = [&phone, &tablet].map(|target| target.address().to_owned());
    asleep(&server, "alice", "phone", phone).await;
    asleep(&server, "alice", "tablet", tablet).await;
    // The new owner's app has another device id and the same token, said to be of the other environment.
    asleep(&server, "bob", "phone-of-bob", PushTarget::Apns(tokens[0].clone())).await;
    server.phone("alice", "laptop").await.put("settings", "n", "1").await;
    soon("the tablet's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty());
    server.phone("bob", "laptop").await.put("settings", "n", "1").await;
    let pushed = soon("the new owner's wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    assert_eq!(pushed[0].data()["identity"], server.operator().identity("bob").await);
}

#[tokio::test]
async fn a_revoked_device_s_socket_closes_and_it_is_woken_no_more() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    let (lost, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&lost, &other].map(|target| target.address().to_owned());
    asleep(&server, "alice", "tablet", other).await;
    let mut phone = server.phone("alice", "phone").await;
    phone.registers(registration(lost)).await;
    let operator = server.operator();
    let identity = operator.identity("alice").await;
    let path = format!("/identities/{identity}/devices/phone");
    assert_eq!(operator.post(&format!("{path}/revoke"), "{}").await.json()["revoked"], true);
    assert_eq!(phone.end().await, CloseCode::Revoked);
    assert_eq!(Phone::refused(&server.url(), &token("alice"), "phone").await.code(), Some(CloseCode::Revoked));
    assert_eq!(server.http("alice", "phone").get("/v1/datasets").await.status, 403);
    server.phone("alice", "laptop").await.put("settings", "n", "1").await;
    soon("the tablet's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty());
    assert_eq!(operator.post(&format!("{path}/allow"), "{}").await.json()["revoked"], false);
    server.phone("alice", "phone").await.is_quiet().await;
    assert_eq!(operator.post(&format!("/identities/{identity}/devices/nobody/revoke"), "{}").await.status, 404);
}

#[tokio::test]
async fn a_device_that_was_not_seen_is_stale_then_dropped_and_fresh_when_it_comes_again() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let gateway = StandInGateway::start().await.unwrap();
    let mut server = server(&gateway).await;
    let (target, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    asleep(&server, "alice", "phone", target.clone()).await;
    server.let_pass(31 * DAY_MS);
    server.restart().await;
    asleep(&server, "alice", "tablet", other).await;
    server.phone("alice", "laptop").await.put("settings", "n", "1").await;
    soon("the tablet's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    let operator = server.operator();
    let identity = operator.identity("alice").await;
    let log = |device: &str| format!("/identities/{identity}/devices/{device}/push");
    let why = soon("why not", async {
        loop {
            let found = operator.get(&log("phone")).await.json();
            if let Some(entry) = found["log"].as_array().unwrap().iter().find(|entry| entry["outcome"] == "not sent") {
                return entry["detail"].as_str().unwrap().to_owned();
            }
        }
    })
    .await;
    assert_eq!(why, "stale");
    assert!(gateway.pushes_to(&tokens[0]).is_empty());
    asleep(&server, "alice", "phone", target).await;
    server.phone("alice", "laptop").await.put("settings", "n", "2").await;
    soon("a wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    server.let_pass(271 * DAY_MS);
    server.restart().await;
    let operator = server.operator();
    soon("the registration goes", async {
        while operator.get(&log("phone")).await.json()["device"]["push"] != serde_json::Value::Null {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn registrations_are_reached_with_ones_own_token_only() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = server(&gateway).await;
    asleep(&server, "alice", "phone", fcm(&gateway)).await;
    let body = |token: &str| json!({ "provider": "fcm", "app": APP, "token": token, "identity": "local:0", "device": "phone" }).to_string();
    for bad in ["", "a.b.c", &crate::support::token_for("alice", -3600)] {
        let http = Http::new(server.address(), bad, "phone");
        let answers = [http.get("/v1/push").await, http.put("/v1/push", &body("x")).await, http.delete("/v1/push").await];
        assert!(answers.iter().all(|answer| answer.status == 401), "{answers:?}");
    }
    // The same device id, of somebody else.
    let bob = server.http("bob", "phone");
    assert_eq!(bob.get("/v1/push").await.json()["type"], "unregistered");
    assert_eq!(bob.put("/v1/push", &body(fcm(&gateway).address())).await.status, 200);
    assert_eq!(bob.delete("/v1/push").await.status, 200);
    assert_eq!(server.http("alice", "phone").get("/v1/push").await.json()["type"], "registered");
}
