//! Far more of it than anybody needs, sent without reading the answers.

use std::collections::BTreeSet;

use driftless_protocol::{Codec, RefusalCode, ServerMessage};
use serde_json::json;

use crate::support::raw::{encoded, message};
use crate::support::{Bystander, Raw, Server, TestPool, change, resident_kib};

/// Memory that an attack may cost on top, in KiB: far below what it sends, far above what chance does.
const ROOM_KIB: u64 = 96 * 1024;

fn put(id: u64, value: &serde_json::Value) -> serde_json::Value {
    json!({ "type": "write", "id": id, "dataset": "d", "changes": [{ "key": "k", "op": "put", "value": value }] })
}

#[tokio::test]
async fn opens_of_one_dataset_without_end_are_answered_one_by_one() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let before = resident_kib();
    let mut raw = Raw::welcomed(server.address(), Codec::MsgPack, "mallory").await;
    raw.send(message(Codec::MsgPack, &encoded(Codec::MsgPack, &json!({ "type": "open", "dataset": "d" }))).repeat(20_000));
    bystander.is_undisturbed().await;
    for _ in 0..20_000 {
        assert!(matches!(raw.hear().await, ServerMessage::Changes { to: 0, .. }));
    }
    assert!(resident_kib() < before + ROOM_KIB, "{before} KiB became {}", resident_kib());
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_session_has_so_many_datasets_open_and_no_more() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::Json, "mallory").await;
    for n in 0..5000 {
        raw.say(&json!({ "type": "open", "dataset": format!("d{n}") }));
    }
    let mut open = BTreeSet::new();
    for _ in 0..5000 {
        match raw.hear().await {
            ServerMessage::Changes { dataset, .. } => assert!(open.insert(dataset)),
            ServerMessage::Refused { code, .. } => assert_eq!(code, RefusalCode::TooManyDatasets),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open.len(), 200);
    // What is closed makes room.
    raw.say(&json!({ "type": "close", "dataset": "d0" }));
    raw.say(&json!({ "type": "open", "dataset": "one-more" }));
    assert!(matches!(raw.hear().await, ServerMessage::Changes { .. }));
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn writes_over_the_window_are_all_answered_in_order() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::MsgPack, "mallory").await;
    for id in 1..=1000 {
        raw.say(&put(id, &json!("x".repeat(4000))));
    }
    bystander.is_undisturbed().await;
    for n in 1..=1000 {
        assert!(matches!(raw.hear().await, ServerMessage::Written { id, version, .. } if (id, version) == (n, n)));
    }
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_reader_that_stops_costs_no_memory_and_skips_to_the_newest() {
    // Without history: 120 MB of it would pass through the store's cache.
    let server = Server::with(TestPool { pool: "retention.history_versions = 0", ..TestPool::default() }).await;
    let (mut bystander, mut writer) = (Bystander::of(&server).await, server.phone("mallory", "writer").await);
    let mut reader = Raw::welcomed(server.address(), Codec::MsgPack, "mallory").await;
    reader.say(&json!({ "type": "open", "dataset": "d" }));
    assert!(matches!(reader.hear().await, ServerMessage::Changes { to: 0, .. }));
    let (large, before) = ("x".repeat(1_000_000), resident_kib());
    for n in 1..=120 {
        writer.write("d", &[change(&format!("put k{} \"{n} {large}\"", n % 4))]).await;
    }
    bystander.is_undisturbed().await;
    assert!(resident_kib() < before + ROOM_KIB, "{before} KiB became {}", resident_kib());
    let (mut at, mut pages) = (0, 0);
    while at < 120 {
        let ServerMessage::Changes { from, to, records, .. } = reader.hear().await else { panic!("not changes") };
        assert!(from == at && to >= at && records.windows(2).all(|two| two[0].version < two[1].version), "in order");
        (at, pages) = (to, pages + 1);
    }
    assert!(pages < 60, "it was sent {pages} pages of 120 versions");
    reader.say(&json!({ "type": "ping" }));
    assert_eq!(reader.hear().await, ServerMessage::Pong);
}

#[tokio::test]
async fn values_that_unfold_in_memory_wait_for_room() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::MsgPack, "mallory").await;
    let zeros = json!(vec![0; 750_000]);
    let frames: Vec<_> = (1..=16).map(|id| message(Codec::MsgPack, &encoded(Codec::MsgPack, &put(id, &zeros)))).collect();
    drop(zeros);
    let before = resident_kib();
    for frame in frames {
        raw.send(frame);
    }
    let mut most = 0;
    for n in 1..=16 {
        assert!(matches!(raw.hear().await, ServerMessage::Written { id, .. } if id == n));
        most = resident_kib().max(most);
    }
    assert!(most < before + 3 * ROOM_KIB, "{before} KiB became {most}");
    bystander.is_undisturbed().await;
}

#[tokio::test]
async fn a_small_patch_cannot_ask_for_endless_work() {
    let server = Server::start().await;
    let mut bystander = Bystander::of(&server).await;
    let mut raw = Raw::welcomed(server.address(), Codec::MsgPack, "mallory").await;
    raw.say(&put(1, &json!((0..150_000).collect::<Vec<_>>())));
    assert!(matches!(raw.hear().await, ServerMessage::Written { id: 1, .. }));
    let inserts: Vec<_> = (0..1024).map(|n| json!({ "key": "k", "op": "insert", "value": [-n] })).collect();
    raw.say(&json!({ "type": "write", "id": 2, "dataset": "d", "changes": inserts }));
    assert!(matches!(raw.hear().await, ServerMessage::Refused { id: Some(2), code: RefusalCode::TooLarge, .. }));
    bystander.is_undisturbed().await;
}
