//! Floods of valid messages, sent without reading the answers.

use std::collections::BTreeSet;

use driftless_protocol::{Codec, RefusalCode, ServerMessage};
use serde_json::json;

use crate::support::raw::{encoded, message};
use crate::support::{Bystander, RawSocket, TestPool, TestServer, change, resident_kib};

/// Memory that an attack may cost: far less than it sends, far more than the noise of the measurement.
const MAX_GROWTH_KIB: u64 = 96 * 1024;

fn put(id: u64, value: &serde_json::Value) -> serde_json::Value {
    json!({ "type": "write", "id": id, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": value }] })
}

#[tokio::test]
async fn repeated_opens_of_one_dataset_are_answered_one_by_one() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let before = resident_kib();
    let mut raw = RawSocket::open_session(server.address(), Codec::MsgPack, "mallory").await;
    raw.send(message(Codec::MsgPack, &encoded(Codec::MsgPack, &json!({ "type": "open", "dataset": "d" }))).repeat(20_000));
    bystander.assert_undisturbed().await;
    for _ in 0..20_000 {
        assert!(matches!(raw.receive().await, ServerMessage::Changes { to: 0, .. }));
    }
    assert!(resident_kib() < before + MAX_GROWTH_KIB, "{before} KiB became {}", resident_kib());
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_session_opens_no_more_datasets_than_its_limit() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::Json, "mallory").await;
    for n in 0..5000 {
        raw.send_message(&json!({ "type": "open", "dataset": format!("d{n}") }));
    }
    let mut open = BTreeSet::new();
    for _ in 0..5000 {
        match raw.receive().await {
            ServerMessage::Changes { dataset, .. } => assert!(open.insert(dataset)),
            ServerMessage::Refused { code, .. } => assert_eq!(code, RefusalCode::TooManyDatasets),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open.len(), 200);
    // A closed dataset makes room for another.
    raw.send_message(&json!({ "type": "close", "dataset": "d0" }));
    raw.send_message(&json!({ "type": "open", "dataset": "one-more" }));
    assert!(matches!(raw.receive().await, ServerMessage::Changes { .. }));
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn writes_beyond_the_window_are_all_answered_in_order() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::MsgPack, "mallory").await;
    for id in 1..=1000 {
        raw.send_message(&put(id, &json!("x".repeat(4000))));
    }
    bystander.assert_undisturbed().await;
    for n in 1..=1000 {
        assert!(matches!(raw.receive().await, ServerMessage::Written { id, version, .. } if (id, version) == (n, n)));
    }
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_session_that_stops_reading_costs_no_memory_and_skips_to_the_newest_state() {
    // Without history: 120 MB of it would pass through the store's cache.
    let server = TestServer::with_pool(TestPool { pool: "retention.history_versions = 0", ..TestPool::default() }).await;
    let (mut bystander, mut writer) = (Bystander::connect(&server).await, server.device("mallory", "writer").await);
    let mut reader = RawSocket::open_session(server.address(), Codec::MsgPack, "mallory").await;
    reader.send_message(&json!({ "type": "open", "dataset": "d" }));
    assert!(matches!(reader.receive().await, ServerMessage::Changes { to: 0, .. }));
    let (large, before) = ("x".repeat(1_000_000), resident_kib());
    for n in 1..=120 {
        writer.write("d", &[change(&format!("put k{} \"{n} {large}\"", n % 4))]).await;
    }
    bystander.assert_undisturbed().await;
    assert!(resident_kib() < before + MAX_GROWTH_KIB, "{before} KiB became {}", resident_kib());
    let (mut at, mut pages) = (0, 0);
    while at < 120 {
        let ServerMessage::Changes { from, to, records, .. } = reader.receive().await else { panic!("not changes") };
        assert!(from == at && to >= at && records.windows(2).all(|two| two[0].version < two[1].version), "in order");
        (at, pages) = (to, pages + 1);
    }
    assert!(pages < 60, "it was sent {pages} pages of 120 versions");
    reader.send_message(&json!({ "type": "ping" }));
    assert_eq!(reader.receive().await, ServerMessage::Pong);
}

#[tokio::test]
async fn values_that_expand_in_memory_wait_for_budget() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::MsgPack, "mallory").await;
    let zeros = json!(vec![0; 750_000]);
    let frames: Vec<_> = (1..=16).map(|id| message(Codec::MsgPack, &encoded(Codec::MsgPack, &put(id, &zeros)))).collect();
    drop(zeros);
    let before = resident_kib();
    for frame in frames {
        raw.send(frame);
    }
    let mut most = 0;
    for n in 1..=16 {
        assert!(matches!(raw.receive().await, ServerMessage::Written { id, .. } if id == n));
        most = resident_kib().max(most);
    }
    assert!(most < before + 3 * MAX_GROWTH_KIB, "{before} KiB became {most}");
    bystander.assert_undisturbed().await;
}

#[tokio::test]
async fn a_small_patch_with_too_much_work_is_refused() {
    let server = TestServer::start().await;
    let mut bystander = Bystander::connect(&server).await;
    let mut raw = RawSocket::open_session(server.address(), Codec::MsgPack, "mallory").await;
    raw.send_message(&put(1, &json!((0..150_000).collect::<Vec<_>>())));
    assert!(matches!(raw.receive().await, ServerMessage::Written { id: 1, .. }));
    let inserts: Vec<_> = (0..1024).map(|n| json!({ "key": "k", "op": "insert", "value": [-n] })).collect();
    raw.send_message(&json!({ "type": "write", "id": 2, "dataset": "d", "changes": inserts }));
    assert!(matches!(raw.receive().await, ServerMessage::Refused { id: Some(2), code: RefusalCode::TooLarge, .. }));
    bystander.assert_undisturbed().await;
}
