//! Names, values and patches at their limit, one byte over it, and far over it.

use driftless_protocol::{CloseCode, Codec, RefusalCode, ServerMessage, limits};
use serde_json::json;

use crate::support::raw::hello_with;
use crate::support::{Bystander, RawSocket, TestServer, token};

#[tokio::test]
async fn names_are_accepted_up_to_their_limits() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    for (bytes, good) in [(0, false), (1, true), (128, true), (129, false), (500_000, false)] {
        raw.send_message(&json!({ "type": "open", "dataset": "d".repeat(bytes) }));
        assert_eq!(refusal_code(&mut raw).await, (!good).then_some(RefusalCode::BadName), "a dataset's name of {bytes} bytes");
    }
    let mut id = 0;
    for (bytes, good) in [(0, false), (1, true), (1024, true), (1025, false), (500_000, false)] {
        id += 1;
        let changes = json!([{ "key": "k".repeat(bytes), "op": "put", "value": 1 }]);
        raw.send_message(&json!({ "type": "write", "id": id, "dataset": "d", "changes": changes }));
        assert_eq!(refusal_code(&mut raw).await, (!good).then_some(RefusalCode::BadName), "a key of {bytes} bytes");
    }
    for (bytes, good) in [(0, false), (1, true), (64, true), (65, false), (500_000, false)] {
        raw.send_message(&json!({ "type": "open", "dataset": "d", "position": { "epoch": "e".repeat(bytes), "version": 0 } }));
        assert_eq!(refusal_code(&mut raw).await, (!good).then_some(RefusalCode::BadName), "an epoch of {bytes} bytes");
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_hello_over_its_limits_closes_the_socket() {
    let server = TestServer::start().await;
    let long = |bytes| "x".repeat(bytes);
    for (device, client, ends) in [
        (long(256), long(128), None),
        (long(257), long(1), Some(CloseCode::BadMessage)),
        (long(1), long(129), Some(CloseCode::BadMessage)),
        (String::new(), long(1), Some(CloseCode::BadMessage)),
        (long(40_000), long(1), Some(CloseCode::TooLarge)),
    ] {
        let mut raw = RawSocket::upgrade(server.address(), Codec::Json).await;
        raw.send_message(&json!({ "type": "hello", "token": token("alice"), "device": device, "client": client }));
        match ends {
            Some(code) => raw.expect_close(code).await,
            None => assert!(matches!(raw.receive().await, ServerMessage::Welcome { .. })),
        }
    }
    for (bytes, ends) in [(0, CloseCode::TokenRefused), (16 * 1024, CloseCode::TokenRefused), (30_000, CloseCode::TokenRefused)] {
        let mut raw = RawSocket::upgrade(server.address(), Codec::MsgPack).await;
        raw.send(hello_with(Codec::MsgPack, &long(bytes), "phone"));
        raw.expect_close(ends).await;
    }
}

#[tokio::test]
async fn patches_and_values_are_accepted_up_to_their_limits() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::MsgPack, "mallory").await;
    for (id, (count, code)) in
        [(1024, None), (1025, Some(RefusalCode::TooManyChanges)), (20_000, Some(RefusalCode::TooManyChanges))].into_iter().enumerate()
    {
        let changes: Vec<_> = (0..count).map(|n| json!({ "key": format!("k{n}"), "op": "put", "value": n })).collect();
        raw.send_message(&json!({ "type": "write", "id": id + 1, "dataset": "many", "changes": changes }));
        assert_eq!(refusal_code(&mut raw).await, code, "{count} changes");
    }
    // The header of a long text takes five bytes in MessagePack.
    for (id, bytes) in [limits::VALUE_BYTES - 5, limits::VALUE_BYTES - 4, 2 * limits::VALUE_BYTES - 1000].into_iter().enumerate() {
        let changes = json!([{ "key": "k", "op": "put", "value": "x".repeat(bytes) }]);
        raw.send_message(&json!({ "type": "write", "id": id + 10, "dataset": "large", "changes": changes }));
        assert_eq!(refusal_code(&mut raw).await, (id > 0).then_some(RefusalCode::TooLarge), "{bytes} bytes");
    }
    let changes = json!([{ "key": "k", "op": "put", "value": "x".repeat(2 * limits::VALUE_BYTES) }]);
    raw.send_message(&json!({ "type": "write", "id": 20, "dataset": "large", "changes": changes }));
    raw.expect_close(CloseCode::TooLarge).await;
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn every_stored_value_can_be_read_in_either_codec() {
    let server = TestServer::start().await;
    let mut writer = RawSocket::open_session(server.address(), Codec::MsgPack, "alice").await;
    let large =
        [json!("\u{1}".repeat(1_000_000)), json!(vec![false; 1_000_000]), json!("\"".repeat(1_000_000)), json!("x".repeat(1_000_000))];
    for (id, value) in large.into_iter().enumerate() {
        let changes = json!([{ "key": format!("k{id}"), "op": "put", "value": value }]);
        writer.send_message(&json!({ "type": "write", "id": id + 1, "dataset": "d", "changes": changes }));
        let fits = Codec::Json.encode(&value).len() <= limits::VALUE_JSON_BYTES;
        assert_eq!(refusal_code(&mut writer).await, (!fits).then_some(RefusalCode::TooLarge));
    }
    let mut reader = open_reader(&server).await;
    loop {
        let ServerMessage::Changes { more, .. } = reader.receive().await else { panic!("not changes") };
        if !more {
            break;
        }
    }
}

async fn open_reader(server: &TestServer) -> RawSocket {
    let mut reader = RawSocket::upgrade(server.address(), Codec::Json).await;
    reader.send(hello_with(Codec::Json, &token("alice"), "reader"));
    assert!(matches!(reader.receive().await, ServerMessage::Welcome { .. }));
    reader.send_message(&json!({ "type": "open", "dataset": "d" }));
    reader
}

/// The code with which the request was refused; `None` if it was not.
async fn refusal_code(raw: &mut RawSocket) -> Option<RefusalCode> {
    match raw.receive().await {
        ServerMessage::Refused { code, .. } => Some(code),
        ServerMessage::Changes { .. } | ServerMessage::Written { .. } => None,
        other => panic!("{other:?}"),
    }
}
