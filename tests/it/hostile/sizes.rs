//! Names, values and patches at their bounds, one over, and far over.

use driftless_protocol::{CloseCode, Codec, RefusalCode, ServerMessage, limits};
use serde_json::json;

use crate::support::raw::hello_with;
use crate::support::{Bystander, Raw, Server, token};

#[tokio::test]
async fn names_hold_up_to_their_bound() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::Json, "mallory").await;
    for (bytes, good) in [(0, false), (1, true), (128, true), (129, false), (500_000, false)] {
        raw.say(&json!({ "type": "open", "dataset": "d".repeat(bytes) }));
        assert_eq!(was_refused(&mut raw).await, (!good).then_some(RefusalCode::BadName), "a dataset's name of {bytes} bytes");
    }
    let mut id = 0;
    for (bytes, good) in [(0, false), (1, true), (1024, true), (1025, false), (500_000, false)] {
        id += 1;
        let changes = json!([{ "key": "k".repeat(bytes), "op": "put", "value": 1 }]);
        raw.say(&json!({ "type": "write", "id": id, "dataset": "d", "changes": changes }));
        assert_eq!(was_refused(&mut raw).await, (!good).then_some(RefusalCode::BadName), "a key of {bytes} bytes");
    }
    for (bytes, good) in [(0, false), (1, true), (64, true), (65, false), (500_000, false)] {
        raw.say(&json!({ "type": "open", "dataset": "d", "position": { "epoch": "e".repeat(bytes), "version": 0 } }));
        assert_eq!(was_refused(&mut raw).await, (!good).then_some(RefusalCode::BadName), "an epoch of {bytes} bytes");
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_hello_is_held_to_its_bounds() {
    let server = Server::start().await;
    let long = |bytes| "x".repeat(bytes);
    for (device, client, ends) in [
        (long(256), long(128), None),
        (long(257), long(1), Some(CloseCode::BadMessage)),
        (long(1), long(129), Some(CloseCode::BadMessage)),
        (String::new(), long(1), Some(CloseCode::BadMessage)),
        (long(40_000), long(1), Some(CloseCode::TooLarge)),
    ] {
        let mut raw = Raw::upgraded(server.address(), Codec::Json).await;
        raw.say(&json!({ "type": "hello", "token": token("alice"), "device": device, "client": client }));
        match ends {
            Some(code) => raw.ends_with(code).await,
            None => assert!(matches!(raw.hear().await, ServerMessage::Welcome { .. })),
        }
    }
    for (bytes, ends) in [(0, CloseCode::TokenRefused), (16 * 1024, CloseCode::TokenRefused), (30_000, CloseCode::TokenRefused)] {
        let mut raw = Raw::upgraded(server.address(), Codec::MsgPack).await;
        raw.send(hello_with(Codec::MsgPack, &long(bytes), "phone"));
        raw.ends_with(ends).await;
    }
}

#[tokio::test]
async fn patches_and_values_hold_up_to_their_bound() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::MsgPack, "mallory").await;
    for (id, (count, code)) in
        [(1024, None), (1025, Some(RefusalCode::TooManyChanges)), (20_000, Some(RefusalCode::TooManyChanges))].into_iter().enumerate()
    {
        let changes: Vec<_> = (0..count).map(|n| json!({ "key": format!("k{n}"), "op": "put", "value": n })).collect();
        raw.say(&json!({ "type": "write", "id": id + 1, "dataset": "many", "changes": changes }));
        assert_eq!(was_refused(&mut raw).await, code, "{count} changes");
    }
    // A long text has five bytes of its own in MessagePack.
    for (id, bytes) in [limits::VALUE_BYTES - 5, limits::VALUE_BYTES - 4, 2 * limits::VALUE_BYTES - 1000].into_iter().enumerate() {
        let changes = json!([{ "key": "k", "op": "put", "value": "x".repeat(bytes) }]);
        raw.say(&json!({ "type": "write", "id": id + 10, "dataset": "large", "changes": changes }));
        assert_eq!(was_refused(&mut raw).await, (id > 0).then_some(RefusalCode::TooLarge), "{bytes} bytes");
    }
    let changes = json!([{ "key": "k", "op": "put", "value": "x".repeat(2 * limits::VALUE_BYTES) }]);
    raw.say(&json!({ "type": "write", "id": 20, "dataset": "large", "changes": changes }));
    raw.ends_with(CloseCode::TooLarge).await;
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn whatever_is_stored_can_be_read_in_either_codec() {
    let server = Server::start().await;
    let mut writer = Raw::welcomed(server.address(), Codec::MsgPack, "alice").await;
    let large =
        [json!("\u{1}".repeat(1_000_000)), json!(vec![false; 1_000_000]), json!("\"".repeat(1_000_000)), json!("x".repeat(1_000_000))];
    for (id, value) in large.into_iter().enumerate() {
        let changes = json!([{ "key": format!("k{id}"), "op": "put", "value": value }]);
        writer.say(&json!({ "type": "write", "id": id + 1, "dataset": "d", "changes": changes }));
        let fits = Codec::Json.encode(&value).len() <= limits::VALUE_JSON_BYTES;
        assert_eq!(was_refused(&mut writer).await, (!fits).then_some(RefusalCode::TooLarge));
    }
    let mut reader = server_reader(&server).await;
    loop {
        let ServerMessage::Changes { more, .. } = reader.hear().await else { panic!("not changes") };
        if !more {
            break;
        }
    }
}

async fn server_reader(server: &Server) -> Raw {
    let mut reader = Raw::upgraded(server.address(), Codec::Json).await;
    reader.send(hello_with(Codec::Json, &token("alice"), "reader"));
    assert!(matches!(reader.hear().await, ServerMessage::Welcome { .. }));
    reader.say(&json!({ "type": "open", "dataset": "d" }));
    reader
}

/// Why the request was refused, if it was.
async fn was_refused(raw: &mut Raw) -> Option<RefusalCode> {
    match raw.hear().await {
        ServerMessage::Refused { code, .. } => Some(code),
        ServerMessage::Changes { .. } | ServerMessage::Written { .. } => None,
        other => panic!("{other:?}"),
    }
}
