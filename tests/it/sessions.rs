//! The life of a session: hello, token renewal, replacement by a newer socket, failed requests, shutdown of the server.

use driftless_protocol::{ClientMessage, CloseCode, Codec, DeviceId, RefusalCode, ServerMessage};

use crate::support::{TestDevice, TestServer, change, name, token, token_for};

#[tokio::test]
async fn a_newer_socket_of_a_device_replaces_the_older() {
    let server = TestServer::start().await;
    let mut old = server.device("alice", "phone").await;
    let mut new = server.device("alice", "phone").await;
    assert_eq!(old.close_code().await, CloseCode::Replaced);
    new.assert_quiet().await;
    // A device of another user with the same id is another device.
    server.device("bob", "phone").await;
    new.assert_quiet().await;
}

#[tokio::test]
async fn a_token_is_renewed_on_the_open_socket_and_an_expired_one_closes_it() {
    let server = TestServer::start().await;
    // The token has expired, but the server accepts it for four more seconds of its leeway.
    let late = 4 - driftless::auth::LEEWAY_S as i64;
    let mut phone = TestDevice::connect(&server.url(), &token_for("alice", late), "phone").await;
    assert!(
        matches!(phone.receive().await, ServerMessage::Renew { expires_in_s: 0..=4 }),
        "the server asks for a renewal before the token expires"
    );
    phone.send_message(ClientMessage::Renew { token: token_for("bob", 60) }).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::OtherIdentity);
    phone.send_message(ClientMessage::Renew { token: "nonsense".to_owned() }).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::TokenRefused);
    let sent_again = token_for("alice", late - 1);
    phone.send_message(ClientMessage::Renew { token: sent_again }).await;
    assert!(matches!(phone.receive().await, ServerMessage::Renewed { .. }), "the answer to the renewal");
    assert_eq!(phone.close_code().await, CloseCode::TokenExpired);
}

#[tokio::test]
async fn a_device_that_answers_every_request_for_a_renewal_does_not_loop() {
    let server = TestServer::start().await;
    let late = 6 - driftless::auth::LEEWAY_S as i64;
    let the_only_token = token_for("alice", late);
    let mut phone = TestDevice::connect(&server.url(), &the_only_token, "phone").await;
    let mut requests = 0;
    loop {
        match phone.receive().await {
            ServerMessage::Renew { .. } => {
                requests += 1;
                phone.send_message(ClientMessage::Renew { token: the_only_token.clone() }).await;
            }
            ServerMessage::Renewed { expires_in_s } => assert!(expires_in_s <= 6),
            ServerMessage::Bye { code, .. } => break assert_eq!(code, CloseCode::TokenExpired.code()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(requests, 1, "the next request would come ten seconds later");
    let mut phone = server.device("alice", "phone").await;
    for _ in 0..3 {
        phone.send_message(ClientMessage::Renew { token: token("alice") }).await;
        assert!(matches!(phone.receive().await, ServerMessage::Renewed { expires_in_s: 60.. }));
    }
    phone.assert_quiet().await;
}

#[tokio::test]
async fn a_device_with_an_invalid_token_is_refused_as_token_refused() {
    let server = TestServer::start().await;
    for (bad, why) in [
        ("", "cannot be read"),
        ("nonsense", "cannot be read"),
        (&token_for("alice", -3600), "the token has expired"),
        (&format!("{}x", token("alice")), "signature"),
    ] {
        let refused = TestDevice::connect_refused(&server.url(), bad, "phone").await;
        assert_eq!(refused.code(), Some(CloseCode::TokenRefused), "{bad}");
        assert!(refused.to_string().contains(why), "{refused}");
    }
    let http = crate::support::DeviceHttp::new(server.address(), "nonsense", "phone");
    assert_eq!(http.get("/v1/datasets").await.status, 401);
}

#[tokio::test]
async fn a_stopping_server_answers_received_writes_and_spreads_the_reconnects() {
    let mut server = TestServer::start().await;
    let mut phones = Vec::new();
    for n in 0..10 {
        phones.push(server.device("alice", &format!("phone{n}")).await);
    }
    let sent = phones[0].send_patch("d", &[change("put a 1")]).await;
    assert!(matches!(phones[0].receive().await, ServerMessage::Written { id, .. } if id == sent));
    server.drain();
    let mut after = std::collections::BTreeSet::new();
    for phone in &mut phones {
        let ServerMessage::Bye { code, reconnect_after_ms: Some(ms), .. } = phone.receive().await else { panic!("no bye") };
        assert_eq!(code, CloseCode::Restarting.code());
        assert_eq!(phone.close_code().await, CloseCode::Restarting);
        assert!(ms < 15_000);
        after.insert(ms);
    }
    assert!(after.len() > 1, "the reconnects are spread: {after:?}");
    server.stop().await;
}

#[tokio::test]
async fn writes_during_a_shutdown_are_answered_or_sent_again_and_applied_once() {
    let mut server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    let add = [change("add n 1")];
    for _ in 0..20 {
        phone.send_patch("d", &add).await;
    }
    server.drain();
    let mut answered = 0;
    loop {
        match phone.receive().await {
            ServerMessage::Written { id, .. } => {
                answered += 1;
                assert_eq!(id, answered, "in order");
            }
            ServerMessage::Bye { code, .. } => break assert_eq!(code, CloseCode::Restarting.code()),
            other => panic!("{other:?}"),
        }
    }
    drop(phone);
    server.restart().await;
    let mut phone = server.device("alice", "phone").await;
    assert!(phone.welcome.patch >= answered, "answered patches are stored");
    for id in 1..=20 {
        phone.send_message(ClientMessage::Write { id, dataset: name("d"), changes: add.to_vec(), offer: false }).await;
        assert!(matches!(phone.receive().await, ServerMessage::Written { .. }));
    }
    assert_eq!(phone.open("d").await.0[0].content.value().map(ToString::to_string).as_deref(), Some("20"));
}

#[tokio::test]
async fn a_failed_request_leaves_the_session_open() {
    let server = TestServer::start().await;
    let mut phone = TestDevice::connect_with_codec(&server.url(), &token("alice"), "phone", Codec::Json).await;
    let hello = ClientMessage::Hello { token: token("alice"), device: DeviceId::new("other").unwrap(), client: String::new() };
    phone.send_message(hello).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::HelloAgain);
    for (text, code) in [
        (r#"{"type":"fly"}"#, RefusalCode::UnknownType),
        (r#"{"type":"open"}"#, RefusalCode::BadRequest),
        (r#"{"type":"open","dataset":"../bob"}"#, RefusalCode::BadName),
        (r#"{"type":"open","dataset":7}"#, RefusalCode::BadRequest),
        (r#"{"type":"close","dataset":"never"}"#, RefusalCode::NotOpen),
        (r#"{"type":"ack","dataset":"never","version":1}"#, RefusalCode::NotOpen),
        (r#"{"type":"write","id":0,"dataset":"d","changes":[]}"#, RefusalCode::BadRequest),
        (r#"{"type":"write","id":1,"dataset":"d","changes":[{"key":"","op":"put","value":1}]}"#, RefusalCode::BadName),
        (r#"{"type":"write","id":1,"dataset":"d","changes":[{"key":"k","op":"fly","value":1}]}"#, RefusalCode::BadRequest),
        (r#"{"type":"write","id":1,"dataset":"d","changes":[{"key":"k","op":"put","value":{"a":1,"a":2}}]}"#, RefusalCode::BadRequest),
    ] {
        phone.connection.send_text(text).await.unwrap();
        assert_eq!(phone.receive_refusal().await, code, "{text}");
    }
    phone.open("d").await;
    phone.send_message(ClientMessage::Ack { dataset: name("d"), version: 5 }).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::AheadOfServer);
    assert_eq!(phone.put("d", "k", "1").await, 1);
    phone.assert_quiet().await;
}

#[tokio::test]
async fn a_session_receives_no_changes_of_a_closed_dataset() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    laptop.open("a").await;
    laptop.open("b").await;
    laptop.send_message(ClientMessage::Close { dataset: name("a") }).await;
    laptop.assert_quiet().await;
    phone.put("a", "k", "1").await;
    phone.put("b", "k", "1").await;
    assert_eq!(laptop.receive_changes().await.0, 0);
    laptop.assert_quiet().await;
}
