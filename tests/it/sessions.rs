//! A session's life: hello, renewal, replacement, silence, a reader that does not read, a restart.

use driftless_protocol::{ClientMessage, CloseCode, Codec, DeviceId, RefusalCode, ServerMessage};

use crate::support::{Phone, Server, change, name, token, token_for};

#[tokio::test]
async fn a_newer_socket_of_a_device_replaces_the_older() {
    let server = Server::start().await;
    let mut old = server.phone("alice", "phone").await;
    let mut new = server.phone("alice", "phone").await;
    assert_eq!(old.end().await, CloseCode::Replaced);
    new.is_quiet().await;
    // Another person's device of the same name is another device.
    server.phone("bob", "phone").await;
    new.is_quiet().await;
}

#[tokio::test]
async fn a_token_is_renewed_on_the_open_socket_and_an_expired_one_closes_it() {
    let server = Server::start().await;
    // Accepted for four seconds more, of the leeway.
    let late = 4 - driftless::auth::LEEWAY_S as i64;
    let mut phone = Phone::welcomed(&server.url(), &token_for("alice", late), "phone").await;
    assert!(matches!(phone.hear().await, ServerMessage::Renew { expires_in_s: 0..=4 }), "the server asks in time");
    phone.say(ClientMessage::Renew { token: token_for("bob", 60) }).await;
    assert_eq!(phone.refusal().await, RefusalCode::OtherIdentity);
    phone.say(ClientMessage::Renew { token: "nonsense".to_owned() }).await;
    assert_eq!(phone.refusal().await, RefusalCode::TokenRefused);
    phone.say(ClientMessage::Renew { token: token_for("alice", late) }).await;
    assert!(matches!(phone.hear().await, ServerMessage::Renew { .. }), "the answer to the renewal");
    assert!(matches!(phone.hear().await, ServerMessage::Renew { .. }), "and asked again");
    assert_eq!(phone.end().await, CloseCode::TokenExpired);
}

#[tokio::test]
async fn whoever_has_no_good_token_is_told_to_get_one() {
    let server = Server::start().await;
    for bad in ["", "nonsense", &token_for("alice", -3600), &format!("{}x", token("alice"))] {
        assert_eq!(Phone::refused(&server.url(), bad, "phone").await.code(), Some(CloseCode::TokenRefused), "{bad}");
    }
    let http = crate::support::Http::new(server.address(), "nonsense", "phone");
    assert_eq!(http.get("/v1/datasets").await.status, 401);
}

#[tokio::test]
async fn a_stopping_server_answers_what_it_has_and_says_when_to_come_back() {
    let mut server = Server::start().await;
    let mut phones = Vec::new();
    for n in 0..10 {
        phones.push(server.phone("alice", &format!("phone{n}")).await);
    }
    let sent = phones[0].send("d", &[change("put a 1")]).await;
    assert!(matches!(phones[0].hear().await, ServerMessage::Written { id, .. } if id == sent));
    server.drain();
    let mut after = std::collections::BTreeSet::new();
    for phone in &mut phones {
        let ServerMessage::Bye { code, reconnect_after_ms: Some(ms), .. } = phone.hear().await else { panic!("no bye") };
        assert_eq!(code, CloseCode::Restarting.code());
        assert_eq!(phone.end().await, CloseCode::Restarting);
        assert!(ms < 10_000);
        after.insert(ms);
    }
    assert!(after.len() > 1, "they are spread: {after:?}");
    server.stop().await;
}

#[tokio::test]
async fn writes_that_meet_a_stopping_server_are_answered_or_sent_again_and_applied_once() {
    let mut server = Server::start().await;
    let mut phone = server.phone("alice", "phone").await;
    let add = [change("add n 1")];
    for _ in 0..20 {
        phone.send("d", &add).await;
    }
    server.drain();
    let mut answered = 0;
    loop {
        match phone.hear().await {
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
    let mut phone = server.phone("alice", "phone").await;
    assert!(phone.welcome.patch >= answered, "what was answered is known");
    for id in 1..=20 {
        phone.say(ClientMessage::Write { id, dataset: name("d"), changes: add.to_vec(), offer: false }).await;
        assert!(matches!(phone.hear().await, ServerMessage::Written { .. }));
    }
    assert_eq!(phone.open("d").await.0[0].content.value().map(ToString::to_string).as_deref(), Some("20"));
}

#[tokio::test]
async fn a_request_that_fails_costs_only_itself() {
    let server = Server::start().await;
    let mut phone = Phone::speaking(&server.url(), &token("alice"), "phone", Codec::Json).await;
    let hello = ClientMessage::Hello { token: token("alice"), device: DeviceId::new("other").unwrap(), client: String::new() };
    phone.say(hello).await;
    assert_eq!(phone.refusal().await, RefusalCode::HelloAgain);
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
        assert_eq!(phone.refusal().await, code, "{text}");
    }
    phone.open("d").await;
    phone.say(ClientMessage::Ack { dataset: name("d"), version: 5 }).await;
    assert_eq!(phone.refusal().await, RefusalCode::AheadOfServer);
    assert_eq!(phone.put("d", "k", "1").await, 1);
    phone.is_quiet().await;
}

#[tokio::test]
async fn a_closed_dataset_is_silent() {
    let server = Server::start().await;
    let (mut phone, mut laptop) = (server.phone("alice", "phone").await, server.phone("alice", "laptop").await);
    laptop.open("a").await;
    laptop.open("b").await;
    laptop.say(ClientMessage::Close { dataset: name("a") }).await;
    laptop.is_quiet().await;
    phone.put("a", "k", "1").await;
    phone.put("b", "k", "1").await;
    assert_eq!(laptop.changes().await.0, 0);
    laptop.is_quiet().await;
}
