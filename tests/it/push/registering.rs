use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use driftless_protocol::{ClientMessage, CloseCode, PushLossReason, PushTarget, RefusalCode, Registration, ServerMessage};
use driftless_standin::StandInGateway;
use serde_json::json;

use crate::support::operator::operator_output;
use crate::support::push::{APP, apns, fcm, register_offline, registration, start_server, start_server_replacing};
use crate::support::{DeviceHttp, TestDevice, driftless, token, wait_for};

#[tokio::test]
async fn a_device_registers_reads_and_deletes_its_registration_over_http() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let http = server.http("alice", "phone");
    assert_eq!(http.get("/v1/push").await.json()["type"], "unregistered");
    let body = json!({ "provider": "fcm", "app": APP, "token": fcm(&gateway).address(), "datasets": ["settings"] });
    assert_eq!(http.put("/v1/push", &body.to_string()).await.json(), json!({ "type": "registered", "provider": "fcm", "app": APP }));
    assert_eq!(http.get("/v1/push").await.json()["provider"], "fcm");
    assert_eq!(http.delete("/v1/push").await.json()["type"], "unregistered");
    assert_eq!(http.get("/v1/push").await.json()["type"], "unregistered");
    assert_eq!(http.delete("/v1/push").await.status, 200, "a second delete is accepted");
}

#[tokio::test]
async fn an_invalid_registration_is_refused_and_the_session_stays_open() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
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
        assert!(!answer.body.contains(&long), "the refusal does not echo the input");
    }
    let mut phone = server.device("alice", "phone").await;
    let other = Registration { app: "other".to_owned(), ..registration(fcm(&gateway)) };
    phone.send_message(ClientMessage::Register(other)).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::UnknownApp);
    phone.register(registration(fcm(&gateway))).await;
    phone.send_message(ClientMessage::Unregister).await;
    assert_eq!(phone.receive().await, ServerMessage::Unregistered);
    phone.assert_quiet().await;
}

#[tokio::test]
async fn an_endpoint_that_could_be_read_in_two_ways_is_refused_with_what_is_wrong() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (http, known) = (server.http("alice", "browser"), gateway.new_subscription());
    for (endpoint, why) in [
        ("https://push.example:0/1", "port"),
        ("https://push.example:65536/1", "port"),
        ("https://push.example:80:443/1", "port"),
        ("https://[fe80::1%25eth0]/1", "zone"),
        ("https://user@push.example/1", "user name"),
        ("https://push.example/1#a", "fragment"),
        ("https://push.example\\@10.0.0.1/1", "character"),
        ("https://0x7f.1/1", "four decimal numbers"),
        ("https://2130706433/1", "four decimal numbers"),
        ("https://push.example./1", "ends in a dot"),
        ("https:///1", "not a name"),
        ("ftp://push.example/1", "https"),
    ] {
        let subscription = json!({ "endpoint": endpoint, "p256dh": known.p256dh, "auth": known.auth });
        let answer = http.put("/v1/push", &json!({ "provider": "webpush", "app": APP, "subscription": subscription }).to_string()).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("bad_push_token")), "{endpoint}");
        assert!(answer.json()["message"].as_str().unwrap().contains(why), "{endpoint}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_subscription_is_taken_as_browsers_print_it_and_in_every_base64() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let http = server.http("alice", "browser");
    let standard = |text: &str| format!("{}=", text.replace('-', "+").replace('_', "/"));
    for (person, form) in ["base64url", "base64", "keys"].into_iter().enumerate() {
        let known = gateway.new_subscription();
        let subscription = match form {
            "base64url" => json!({ "endpoint": known.endpoint, "p256dh": known.p256dh, "auth": known.auth }),
            "base64" => {
                json!({ "endpoint": known.endpoint, "p256dh": standard(&known.p256dh), "auth": format!("{}=", standard(&known.auth)) })
            }
            _ => json!({ "endpoint": known.endpoint, "expirationTime": null, "keys": { "p256dh": known.p256dh, "auth": known.auth } }),
        };
        let body = json!({ "provider": "webpush", "app": APP, "subscription": subscription }).to_string();
        let answer = server.http(&format!("person-{person}"), "browser").put("/v1/push", &body).await;
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        server.device(&format!("person-{person}"), "laptop").await.put("settings", "n", "1").await;
        let token = known.endpoint.rsplit('/').next().unwrap().to_owned();
        let pushed = wait_for("a wake that the browser can decrypt", gateway.wait_for_pushes(&token, 1)).await;
        assert_eq!(pushed[0].data()["dataset"], "settings", "{form}");
    }
    let no_keys = json!({ "provider": "webpush", "app": APP, "subscription": { "endpoint": "https://push.example/1" } });
    let answer = http.put("/v1/push", &no_keys.to_string()).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("bad_push_token")));
}

#[tokio::test]
async fn a_web_app_reads_the_key_that_the_operator_made_and_nobody_else_does() {
    let gateway = StandInGateway::start().await.unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("vapid.pem");
    let run = async |arguments: &[&str]| {
        let command = driftless().arg("vapid").arg(&file).args(arguments).output();
        wait_for("the command's end", command).await.unwrap()
    };
    let made = run(&[]).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let public = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    assert!(public.len() == 87 && public.starts_with('B') && !public.contains(['+', '/', '=']), "{public}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let private = std::fs::read_to_string(&file).unwrap();
    let again = run(&[]).await;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("the file exists"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), private, "the file stays as it is");
    assert_eq!(String::from_utf8(run(&["--public"]).await.stdout).unwrap().trim(), public);

    let known_key = format!("vapid_key_file = {:?}", gateway.credentials().vapid_key);
    let server = start_server_replacing(&gateway, &known_key, &format!("vapid_key_file = {file:?}")).await;
    let read = server.http("alice", "browser").get("/v1/push/keys").await;
    assert_eq!(read.json(), json!({ "keys": [{ "provider": "webpush", "app": APP, "public_key": public }] }));
    assert!(read.head.to_lowercase().contains("driftless-identity"));
    let body: String = private.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(!read.body.contains(&body[40..80]), "the private key stays in its file");
    assert_eq!(DeviceHttp::new(server.address(), "a.b.c", "browser").get("/v1/push/keys").await.status, 401);
}

#[tokio::test]
async fn a_token_registered_by_a_new_owner_gets_no_wakes_of_the_old_one() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (phone, tablet) = (apns(&gateway), apns(&gateway));
    let tokens = [&phone, &tablet].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "phone", phone).await;
    register_offline(&server, "alice", "tablet", tablet).await;
    // The new owner's app has another device id and the same token, registered for the other APNs environment.
    register_offline(&server, "bob", "phone-of-bob", PushTarget::Apns(tokens[0].clone())).await;
    server.device("alice", "laptop").await.put("settings", "n", "1").await;
    wait_for("the tablet's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty());
    server.device("bob", "laptop").await.put("settings", "n", "1").await;
    let pushed = wait_for("the new owner's wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    assert_eq!(pushed[0].data()["identity"], server.operator().identity("bob").await);
}

#[tokio::test]
async fn a_device_whose_token_another_user_registered_is_told_until_it_registers_again() {
    let gateway = StandInGateway::start().await.unwrap();
    let mut server = start_server(&gateway).await;
    let target = apns(&gateway);
    let token_text = target.address().to_owned();
    register_offline(&server, "alice", "phone", target.clone()).await;
    register_offline(&server, "bob", "phone-of-bob", target.clone()).await;
    server.restart().await;
    for attempt in ["the first hello", "a hello whose welcome was lost"] {
        let lost = server.push_lost("alice", "phone").await.expect(attempt);
        assert!(lost.reason == PushLossReason::Moved && lost.at_ms > 0, "{attempt}: {lost:?}");
    }
    let over_http = server.http("alice", "phone").get("/v1/session").await.json();
    assert_eq!(over_http["push_lost"]["reason"], "moved", "{over_http}");
    assert_eq!(server.push_lost("alice", "laptop").await, None);
    assert_eq!(server.push_lost("bob", "phone-of-bob").await, None);
    let log = operator_output(&server.url(), &["push", "log", "--device", "phone", "--subject", "alice"]).await;
    assert!(log.contains("token moved since") && log.contains("a device of another user registered the token"), "{log}");
    assert!(!log.contains(&token_text) && !log.contains("phone-of-bob"), "who has the token is not said: {log}");
    register_offline(&server, "alice", "phone", target).await;
    assert_eq!(server.push_lost("alice", "phone").await, None);
    assert_eq!(server.push_lost("bob", "phone-of-bob").await.map(|lost| lost.reason), Some(PushLossReason::Moved));
    assert_eq!(server.http("bob", "phone-of-bob").delete("/v1/push").await.status, 200);
    assert_eq!(server.push_lost("bob", "phone-of-bob").await, None);
}

#[tokio::test]
async fn a_revoked_device_is_disconnected_and_no_longer_woken() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    let (lost, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&lost, &other].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "tablet", other).await;
    let mut phone = server.device("alice", "phone").await;
    phone.register(registration(lost)).await;
    let operator = server.operator();
    let identity = operator.identity("alice").await;
    let path = format!("/identities/{identity}/devices/phone");
    assert_eq!(operator.post(&format!("{path}/revoke"), "{}").await.json()["revoked"], true);
    assert_eq!(phone.close_code().await, CloseCode::Revoked);
    assert_eq!(TestDevice::connect_refused(&server.url(), &token("alice"), "phone").await.code(), Some(CloseCode::Revoked));
    assert_eq!(server.http("alice", "phone").get("/v1/datasets").await.status, 403);
    server.device("alice", "laptop").await.put("settings", "n", "1").await;
    wait_for("the tablet's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    assert!(gateway.pushes_to(&tokens[0]).is_empty());
    assert_eq!(operator.post(&format!("{path}/allow"), "{}").await.json()["revoked"], false);
    server.device("alice", "phone").await.assert_quiet().await;
    assert_eq!(operator.post(&format!("/identities/{identity}/devices/nobody/revoke"), "{}").await.status, 404);
}

#[tokio::test]
async fn the_registration_of_an_absent_device_becomes_stale_and_then_expires() {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let gateway = StandInGateway::start().await.unwrap();
    let mut server = start_server(&gateway).await;
    let (target, other) = (fcm(&gateway), fcm(&gateway));
    let tokens = [&target, &other].map(|target| target.address().to_owned());
    register_offline(&server, "alice", "phone", target.clone()).await;
    server.advance_clock(31 * DAY_MS);
    gateway.advance_clock(Duration::from_millis(31 * DAY_MS));
    server.restart().await;
    register_offline(&server, "alice", "tablet", other).await;
    server.device("alice", "laptop").await.put("settings", "n", "1").await;
    wait_for("the tablet's wake", gateway.wait_for_pushes(&tokens[1], 1)).await;
    let operator = server.operator();
    let identity = operator.identity("alice").await;
    let log = |device: &str| format!("/identities/{identity}/devices/{device}/push");
    let why = wait_for("the reason of not sending", async {
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
    register_offline(&server, "alice", "phone", target).await;
    server.device("alice", "laptop").await.put("settings", "n", "2").await;
    wait_for("a wake", gateway.wait_for_pushes(&tokens[0], 1)).await;
    server.advance_clock(271 * DAY_MS);
    server.restart().await;
    let operator = server.operator();
    wait_for("the registration expires", async {
        while operator.get(&log("phone")).await.json()["device"]["push"] != serde_json::Value::Null {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_registration_is_accessible_only_with_its_owners_token() {
    let gateway = StandInGateway::start().await.unwrap();
    let server = start_server(&gateway).await;
    register_offline(&server, "alice", "phone", fcm(&gateway)).await;
    let body = |token: &str| json!({ "provider": "fcm", "app": APP, "token": token, "identity": "local:0", "device": "phone" }).to_string();
    for bad in ["", "a.b.c", &crate::support::token_for("alice", -3600)] {
        let http = DeviceHttp::new(server.address(), bad, "phone");
        let answers = [http.get("/v1/push").await, http.put("/v1/push", &body("x")).await, http.delete("/v1/push").await];
        assert!(answers.iter().all(|answer| answer.status == 401), "{answers:?}");
    }
    // The same device id of another user.
    let bob = server.http("bob", "phone");
    assert_eq!(bob.get("/v1/push").await.json()["type"], "unregistered");
    assert_eq!(bob.put("/v1/push", &body(fcm(&gateway).address())).await.status, 200);
    assert_eq!(bob.delete("/v1/push").await.status, 200);
    assert_eq!(server.http("alice", "phone").get("/v1/push").await.json()["type"], "registered");
}
