//! Linking logins and refusing tokens: a token that was stolen for a moment must not become access for good.

use std::time::{SystemTime, UNIX_EPOCH};

use driftless_protocol::{CloseCode, LinkedLogin, ServerMessage};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{DeviceHttp, DeviceHttpResponse, DriftlessProcess, TestDevice, TestServer, operator_output, token, wait_for};

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token of the demo pool that says when it was issued, and perhaps when its user signed in.
fn token_of(subject: &str, dates: Value) -> String {
    let mut claims = json!({
        "iss": driftless::dev::ISSUER, "aud": driftless::dev::AUDIENCE, "sub": subject, "exp": now_s() + 3600,
    });
    claims.as_object_mut().unwrap().extend(dates.as_object().unwrap().clone());
    let key = jsonwebtoken::EncodingKey::from_secret(driftless::auth::DEVELOPMENT_SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

async fn link(server: &TestServer, own: &str, second: &str) -> DeviceHttpResponse {
    let http = DeviceHttp::new(server.address(), own, "phone");
    http.post("/v1/identity/link", &json!({ "token": second }).to_string()).await
}

#[tokio::test]
async fn a_link_needs_two_tokens_whose_users_signed_in_a_moment_ago() {
    let server = TestServer::start().await;
    let old = now_s() - 301;
    let fresh = |subject: &str| token_of(subject, json!({ "iat": now_s() }));
    for (what, stale) in [
        ("issued too long ago", json!({ "iat": old })),
        ("renewed now by a user who signed in long ago", json!({ "iat": now_s(), "auth_time": old })),
        ("does not say when", json!({})),
        ("dated into the future", json!({ "iat": now_s() + 9000 })),
        ("no date", json!({ "iat": "yesterday" })),
    ] {
        let (victim, thief) = (token_of("victim", stale.clone()), fresh("thief"));
        // A thief links his login to the victim's identity, or has his own identity merged into it.
        for (own, second, which) in [(&victim, &thief, "Authorization"), (&thief, &victim, "in the body")] {
            let refused = link(&server, own, second).await;
            let json = refused.json();
            assert_eq!((refused.status, json["code"].as_str()), (401, Some("token_not_fresh")), "{what}: {json}");
            assert!(json["message"].as_str().unwrap().contains(which) && json["message"].as_str().unwrap().contains("300 s"), "{json}");
            assert!(
                refused.head.contains("insufficient_user_authentication") && refused.head.contains("max_age=\"300\""),
                "{}",
                refused.head
            );
        }
    }
    let (victim, thief) = (server.device("victim", "phone").await, server.device("thief", "phone").await);
    assert_ne!(victim.welcome.identity, thief.welcome.identity);
    assert_eq!((victim.welcome.linked, thief.welcome.linked), (Vec::new(), Vec::new()));

    // Guests link their account in the same way, and by `auth_time` if the issuer has it.
    let signed_in = token_of("user", json!({ "iat": old, "auth_time": now_s() - 60 }));
    assert_eq!(link(&server, &fresh("guest"), &signed_in).await.status, 200);
}

#[tokio::test]
async fn every_device_is_told_of_a_link() {
    let server = TestServer::start().await;
    let mut laptop = server.device("alice", "laptop").await;
    let linked = link(&server, &token("alice"), &token("alice-at-work")).await;
    assert_eq!(linked.status, 200, "{}", linked.body);
    let told = laptop.receive_linked().await;
    let [LinkedLogin { issuer, subject, at_ms }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((issuer.as_str(), subject.as_str()), (driftless::dev::ISSUER, "alice-at-work"));
    assert!(*at_ms / 1000 >= now_s() - 60);
    // A device that was away finds it at its next hello, and an app without a socket in its session.
    assert_eq!(server.device("alice", "phone").await.welcome.linked, told);
    assert_eq!(server.http("alice", "phone").get("/v1/session").await.json()["linked"][0]["subject"], "alice-at-work");
    // A merge links the logins of the identity that moves.
    server.device("guest", "tablet").await;
    assert_eq!(link(&server, &token("guest"), &token("alice")).await.json()["merged"], true);
    let told = laptop.receive_linked().await;
    assert!(told.iter().any(|login| login.subject == "guest"), "{told:?}");
    // The device that moves finds the login that its data is reached by from now on, which may be a stranger's.
    let moved = server.device("guest", "tablet").await.welcome.linked;
    assert!(moved.iter().any(|login| login.subject == "alice"), "{moved:?}");
    // An operator's link, too.
    let body = json!({ "issuer": driftless::dev::ISSUER, "subject": "alice-on-tv" }).to_string();
    let identity = laptop.welcome.identity.clone();
    assert_eq!(server.operator().post(&format!("/identities/{identity}/logins"), &body).await.status, 200);
    assert!(laptop.receive_linked().await.iter().any(|login| login.subject == "alice-on-tv"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_both_logins_of_a_link() {
    let folder = TempDir::new().unwrap();
    let server = DriftlessProcess::start(folder.path(), "127.0.0.1:0", &[]).await;
    let http = DeviceHttp::new(server.address().parse().unwrap(), &token("alice"), "phone-1");
    assert_eq!(http.post("/v1/identity/link", &json!({ "token": token("alice-at-work") }).to_string()).await.status, 200);
    operator_output(&server.url, &["link-login", "--subject", "alice", "--issuer", "elsewhere", "--login", "alice-on-tv"]).await;
    let log = server.terminate().await;
    let line = log.lines().find(|line| line.contains("login linked by an operator")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("\"alice\"") && line.contains("linked_subject=\"alice-on-tv\""), "{line}");
    let line = log.lines().find(|line| line.contains("login linked by a device")).unwrap_or_else(|| panic!("{log}"));
    for part in ["subject=\"alice\"", "linked_subject=\"alice-at-work\"", driftless::dev::ISSUER, "phone-1"] {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test]
async fn revoking_a_device_can_refuse_the_tokens_that_its_holder_has() {
    let mut server = TestServer::start().await;
    let stolen = token_of("alice", json!({ "iat": now_s() - 5 }));
    let mut lost = TestDevice::connect(&server.url(), &stolen, "lost").await;
    let mut laptop = TestDevice::connect(&server.url(), &stolen, "laptop").await;
    let kept = TestDevice::connect(&server.url(), &token_of("alice", json!({ "iat": now_s() + 90 })), "kept").await;

    // Without tokens, the holder comes in again under another id.
    operator_output(&server.url(), &["revoke-device", "--device", "lost", "--subject", "alice"]).await;
    assert_eq!(lost.close_code().await, CloseCode::Revoked);
    TestDevice::connect(&server.url(), &stolen, "another").await;

    let told = operator_output(&server.url(), &["revoke-device", "--device", "lost", "--refuse-tokens", "--subject", "alice"]).await;
    assert!(told.contains("tokens that were issued until now are refused"), "{told}");
    assert_eq!(laptop.close_code().await, CloseCode::TokenRefused, "its token may be the stolen one");
    for _ in 0..2 {
        for device in ["lost", "another", "third"] {
            let refused = TestDevice::connect_refused(&server.url(), &stolen, device).await;
            assert_eq!(refused.code(), Some(CloseCode::TokenRefused), "{device}");
            assert!(refused.to_string().contains("get a new one in "), "{refused}");
            assert!(refused.reconnect_after_ms().is_some_and(|after_ms| after_ms <= 62_000), "{refused:?}");
            let answer = DeviceHttp::new(server.address(), &stolen, device).get("/v1/datasets").await;
            assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("token_refused")), "{}", answer.body);
        }
        let (renewed, own) = (token_of("alice", json!({ "iat": now_s() + 90 })), token_of("bob", json!({ "iat": now_s() })));
        let refused = link(&server, &own, &stolen).await;
        assert_eq!(refused.status, 401, "nor does it link anything");
        assert!(refused.body.contains("the token in the body: an operator has refused"), "{}", refused.body);
        let phone = TestDevice::connect(&server.url(), &renewed, "phone").await;
        assert_eq!(phone.welcome.identity, kept.welcome.identity);
        // What the operator refused stays refused after a restart.
        drop(phone);
        server.restart().await;
    }
    let mut kept = TestDevice::connect(&server.url(), &token_of("alice", json!({ "iat": now_s() + 90 })), "kept").await;
    kept.connection.send(&driftless_protocol::ClientMessage::Renew { token: stolen }).await.unwrap();
    let refused = wait_for("a refusal", kept.receive()).await;
    assert!(matches!(refused, ServerMessage::Refused { .. }), "{refused:?}");
    assert!(server.metric("driftless_auth_tokens_rejected_total{outcome=\"token_revoked\"}").await >= 1.0);
}

#[tokio::test]
async fn refused_tokens_of_one_login_end_no_session_of_another_login() {
    let server = TestServer::start().await;
    let issued = |subject: &str| token_of(subject, json!({ "iat": now_s() - 5 }));
    let mut laptop = TestDevice::connect(&server.url(), &issued("alice"), "laptop").await;
    operator_output(&server.url(), &["revoke-device", "--device", "laptop", "--refuse-tokens", "--subject", "alice"]).await;
    assert_eq!(laptop.close_code().await, CloseCode::Revoked);
    let path = format!("/identities/{}/logins", laptop.welcome.identity);
    let link_by_operator = async |subject: &str| {
        let body = json!({ "issuer": driftless::dev::ISSUER, "subject": subject }).to_string();
        assert_eq!(server.operator().post(&path, &body).await.status, 200);
    };
    link_by_operator("alice-at-work").await;
    let mut tablet = TestDevice::connect(&server.url(), &issued("alice-at-work"), "tablet").await;
    assert_eq!(tablet.welcome.identity, laptop.welcome.identity);
    link_by_operator("alice-on-tv").await;
    assert_eq!(tablet.receive_linked().await.len(), 2, "its session goes on");
    // A session that renews its token with another login of the identity is judged by that one from then on.
    let renewed = token_of("alice", json!({ "iat": now_s() + 90 }));
    tablet.connection.send(&driftless_protocol::ClientMessage::Renew { token: renewed }).await.unwrap();
    assert!(matches!(wait_for("a renewal", tablet.receive()).await, ServerMessage::Renewed { .. }));
    link_by_operator("alice-on-watch").await;
    assert_eq!(tablet.receive_linked().await.len(), 3);
}

#[tokio::test]
async fn the_refusal_of_a_link_says_which_token_was_refused() {
    let server = TestServer::start().await;
    let (fresh, expired) = (token_of("alice", json!({ "iat": now_s() })), token_of("bob", json!({ "exp": 1 })));
    for (own, second, told) in [
        (&expired, &fresh, "the token of the Authorization header: the token has expired"),
        (&fresh, &expired, "the token in the body: the token has expired"),
    ] {
        let refused = link(&server, own, second).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (401, Some("token_refused")), "{}", refused.body);
        assert!(refused.json()["message"].as_str().unwrap().starts_with(told), "{}", refused.body);
        assert!(refused.head.contains("error=\"invalid_token\""), "{}", refused.head);
    }
    // A request with one token needs no such words.
    let refused = DeviceHttp::new(server.address(), &expired, "phone").get("/v1/datasets").await;
    assert!(refused.json()["message"].as_str().unwrap().starts_with("the token has expired"), "{}", refused.body);
}
