//! Patch numbers, bases and acknowledgements, as PROTOCOL.md §2 has them to the last number.

use driftless_protocol::{Change, ClientMessage, Codec, RefusalCode, ServerMessage};
use serde_json::json;

use crate::support::{RawSocket, TestDevice, TestServer, change, name};

/// Sends a patch under this number.
async fn write(phone: &mut TestDevice, id: u64, changes: &[Change]) -> ServerMessage {
    phone.send_message(ClientMessage::Write { id, dataset: name("d"), changes: changes.to_vec(), offer: false }).await;
    phone.receive().await
}

fn refusal(answer: &ServerMessage) -> Option<RefusalCode> {
    match answer {
        ServerMessage::Refused { code, .. } => Some(*code),
        _ => None,
    }
}

fn is_written(answer: &ServerMessage) -> bool {
    matches!(answer, ServerMessage::Written { .. })
}

#[tokio::test]
async fn a_patch_that_cannot_be_read_leaves_its_number_free_and_any_other_refusal_is_remembered() {
    let server = TestServer::start().await;
    let mut raw = RawSocket::open_session(server.address(), Codec::Json, "alice").await;
    let mut answer = async |id: u64, changes: serde_json::Value| {
        raw.send_message(&json!({ "type": "write", "id": id, "dataset": "d", "changes": changes }));
        raw.receive().await
    };
    let good = json!([{ "key": "k", "op": "put", "value": 1 }]);
    let unreadable = [
        // Found while the message is decoded.
        (json!([{ "key": "k", "op": "fly", "value": 1 }]), RefusalCode::BadRequest),
        (json!([{ "key": "k", "op": "put", "value": 1, "base": "x" }]), RefusalCode::BadRequest),
        (json!([{ "key": "", "op": "remove" }]), RefusalCode::BadName),
        // Found while the patch is decided.
        (json!([{ "key": "k", "op": "put" }]), RefusalCode::BadRequest),
        (json!([{ "key": "k", "op": "remove", "value": 1 }]), RefusalCode::BadRequest),
        (json!([{ "key": "k", "op": "add", "value": 1, "base": 1 }]), RefusalCode::BadRequest),
    ];
    let mut id = 0;
    for (changes, code) in unreadable {
        id += 1;
        for _ in 0..2 {
            assert_eq!(refusal(&answer(id, changes.clone()).await), Some(code), "{changes}");
        }
        assert!(is_written(&answer(id, good.clone()).await), "the number was free: {changes}");
        assert!(is_written(&answer(id, good.clone()).await), "and is decided now");
        assert!(refusal(&answer(id, changes.clone()).await).is_some(), "{changes}");
    }
    for (changes, code) in [
        (json!([]), RefusalCode::TooManyChanges),
        (json!([{ "key": "k", "op": "add", "value": "x" }]), RefusalCode::WrongType),
        (json!([{ "key": "k", "op": "put", "value": "x".repeat(1 << 20) }]), RefusalCode::TooLarge),
    ] {
        id += 1;
        for _ in 0..2 {
            assert_eq!(refusal(&answer(id, changes.clone()).await), Some(code), "{code}");
        }
        assert_eq!(refusal(&answer(id, good.clone()).await), Some(RefusalCode::PatchReused), "{code}: the number was used");
    }
}

#[tokio::test]
async fn an_outcome_is_known_until_a_number_64_later_is_decided() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    let patch = |n: u64| [change(&format!("put k{n} {n}"))];
    for id in [1, 2, 64] {
        assert!(is_written(&write(&mut phone, id, &patch(id)).await));
    }
    for id in [1, 2, 64] {
        assert!(is_written(&write(&mut phone, id, &patch(id)).await), "{id} is known");
    }
    assert!(is_written(&write(&mut phone, 65, &patch(65)).await));
    assert_eq!(refusal(&write(&mut phone, 1, &patch(1)).await), Some(RefusalCode::PatchExpired), "65 is decided");
    assert!(is_written(&write(&mut phone, 2, &patch(2)).await), "66 is not");
    // A number that was never used expires too, by any multiple of 64.
    assert!(is_written(&write(&mut phone, 3 + 128, &patch(131)).await));
    for id in [3, 67] {
        assert_eq!(refusal(&write(&mut phone, id, &patch(id)).await), Some(RefusalCode::PatchExpired), "{id}");
    }
    assert!(is_written(&write(&mut phone, 2, &patch(2)).await), "2 is 129 behind, and still known");
    // An unreadable patch decides nothing.
    let mut unreadable = change("put k 1");
    unreadable.value = None;
    assert_eq!(refusal(&write(&mut phone, 66, &[unreadable]).await), Some(RefusalCode::BadRequest));
    assert!(is_written(&write(&mut phone, 2, &patch(2)).await));
}

#[tokio::test]
async fn the_base_of_a_key_that_a_device_never_saw_is_its_position() {
    let server = TestServer::start().await;
    let (mut phone, mut laptop) = (server.device("alice", "phone").await, server.device("alice", "laptop").await);
    for n in 1..=3 {
        assert_eq!(laptop.put("d", "seen", &n.to_string()).await, n);
    }
    laptop.write("d", &[change("put removed 1")]).await;
    laptop.write("d", &[change("remove removed")]).await;
    let (_, position) = phone.open("d").await;
    assert_eq!(position.version, 5);
    for key in ["never", "removed"] {
        let put = change(&format!("put {key} \"phone\"")).with_base(position.version);
        assert!(is_written(&phone.try_write("d", &[put]).await), "{key}: nobody wrote it after the position");
    }
    laptop.put("d", "other", "1").await;
    let put = change("put other \"phone\"").with_base(position.version);
    phone.send_patch("d", &[put]).await;
    let conflict = loop {
        match phone.receive().await {
            ServerMessage::Changes { .. } => {}
            other => break other,
        }
    };
    assert!(
        matches!(conflict, ServerMessage::Conflict { records, .. } if records[0].version == 8),
        "the laptop wrote it after the position"
    );
    // Without a position the device knows nothing: its base is 0.
    let mut tablet = server.device("alice", "tablet").await;
    let put = |key: &str| [change(&format!("put {key} \"tablet\"")).with_base(0)];
    assert!(matches!(tablet.try_write("d", &put("seen")).await, ServerMessage::Conflict { .. }));
    assert!(is_written(&tablet.try_write("d", &put("new")).await));
}

#[tokio::test]
async fn an_acknowledgement_needs_an_open_dataset_and_a_version_that_was_sent() {
    let server = TestServer::start().await;
    let mut phone = server.device("alice", "phone").await;
    assert_eq!(phone.put("d", "k", "1").await, 1);
    let ack = |version| ClientMessage::Ack { dataset: name("d"), version };
    phone.send_message(ack(1)).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::NotOpen, "written, but not open");
    phone.open("d").await;
    phone.send_message(ack(2)).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::AheadOfServer);
    assert_eq!(phone.put("d", "k", "2").await, 2);
    for version in [2, 1, 0, 2] {
        phone.send_message(ack(version)).await;
        phone.assert_quiet().await;
    }
    phone.send_message(ClientMessage::Close { dataset: name("d") }).await;
    phone.send_message(ack(2)).await;
    assert_eq!(phone.receive_refusal().await, RefusalCode::NotOpen, "closed");
    let http = server.http("alice", "phone");
    assert_eq!(http.post("/v1/datasets/d/ack", r#"{"version":2}"#).await.status, 200, "over HTTP no dataset is open");
}
