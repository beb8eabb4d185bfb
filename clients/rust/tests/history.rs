//! What a device does when the history changes, against a server that sends only what each test tells it to.

mod support;

use driftless_client::protocol::{Change, Codec, Op, RefusalCode, Value};
use driftless_client::{Device, Event, Events, WriteOutcome};
use support::*;

/// A device that has `old` of version 3, `lost` and `lost-too` of version 8 and the tombstone `removed`, all of epoch `old`, and is offline.
async fn offline_device(server: &ScriptedServer) -> (Device, Events) {
    let (device, events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(None).await;
    let records = vec![record("old", 1, 3), record("lost", 1, 8), record("lost-too", 1, 8), tombstone("removed", 9)];
    session.send(changes("old", 0, 9, records)).await;
    session.expect_ack(9).await;
    device.go_offline().await.expect("alive");
    assert_eq!(session.next().await, None);
    (device, events)
}

/// The device reconnects to a store that was restored to version 5, and receives the first half of the answer.
async fn send_first_half(server: &ScriptedServer, device: &Device) -> ScriptedSession {
    device.go_online().await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(at("old", 9)).await;
    session.send(reset(changes("new", 0, 3, vec![record("old", 1, 3)]), Some(5), true)).await;
    session
}

/// Sends the other half, in which `removed` is not removed yet.
async fn send_second_half(session: &mut ScriptedSession) {
    session.send(changes("new", 3, 5, vec![record("removed", 1, 5)])).await;
    session.expect_ack(5).await;
}

async fn restored(server: &ScriptedServer) -> (Device, Events, ScriptedSession) {
    let (device, events) = offline_device(server).await;
    let mut session = send_first_half(server, &device).await;
    send_second_half(&mut session).await;
    (device, events, session)
}

fn reoffers() -> Vec<Change> {
    vec![remove("removed").with_base(5), put("lost", 1).with_base(5), put("lost-too", 1).with_base(5)]
}

async fn next_history_event(events: &mut Events) -> Event {
    event(events, |event| matches!(event, Event::StoreRestored { .. } | Event::ReofferConflict { .. } | Event::ReofferRefused { .. })).await
}

#[tokio::test]
async fn a_device_writes_records_again_that_a_restored_store_lost() {
    for codec in Codec::ALL {
        let server = ScriptedServer::start(codec).await;
        let (device, mut events, mut session) = restored(&server).await;
        assert_eq!(session.expect_write().await, (1, reoffers()));
        assert_eq!(next_history_event(&mut events).await, Event::StoreRestored { dataset: settings(), shared: Some(5), reoffered: 3 });
        session.send(written(1, 6)).await;
        session.expect_ack(6).await;
        let records = device.records(&settings()).await.expect("alive").expect("open");
        assert_eq!(records.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["lost", "lost-too", "old"]);
    }
}

#[tokio::test]
async fn unanswered_writes_wait_for_the_history_and_are_sent_with_lowered_bases() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = offline_device(&server).await;
    let based = device.put_if_unchanged(&settings(), key("lost"), Value::from(2)).await.expect("alive").expect("open");
    assert_eq!(based.base, Some(8));
    let _first = submit(&device, based).await;
    let _second = submit(&device, put("old", 2).with_base(3)).await;
    let mut session = send_first_half(&server, &device).await;
    assert_eq!(session.expect_write().await, (1, vec![put("lost", 2).with_base(5)]), "its base was above the last shared version");
    assert_eq!(session.expect_write().await, (2, vec![put("old", 2).with_base(3)]));
    send_second_half(&mut session).await;
    let (_, reoffered) = session.expect_write().await;
    assert_eq!(reoffered, [remove("removed").with_base(5), put("lost-too", 1).with_base(5)], "a newer write of `lost` is unanswered");
    assert!(matches!(next_history_event(&mut events).await, Event::StoreRestored { reoffered: 2, .. }));
}

#[tokio::test]
async fn a_write_in_the_middle_of_the_answer_is_newer_than_the_lost_record() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = offline_device(&server).await;
    let mut session = send_first_half(&server, &device).await;
    event(&mut events, |event| matches!(event, Event::Changed { reset: true, .. })).await;
    let answer = submit(&device, put("lost", 2)).await;
    assert_eq!(session.expect_write().await, (1, vec![put("lost", 2)]));
    session.send(written(1, 6)).await;
    assert!(answer.await.is_ok());
    session.send(changes("new", 3, 6, Vec::new())).await;
    session.expect_ack(6).await;
    let reoffered = [remove("removed").with_base(5), put("lost-too", 1).with_base(5)];
    assert_eq!(session.expect_write().await.1, reoffered, "`lost` is answered, and still not reoffered");
}

#[tokio::test]
async fn a_reoffer_that_conflicts_is_reported_and_the_rest_is_sent_again() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (_device, mut events, mut session) = restored(&server).await;
    assert_eq!(session.expect_write().await.0, 1);
    next_history_event(&mut events).await;
    session.send(conflict(1, vec![record("lost", 7, 6)])).await;
    assert_eq!(session.expect_write().await, (2, vec![remove("removed").with_base(5), put("lost-too", 1).with_base(5)]));
    let (dataset, ours, records) = (settings(), vec![put("lost", 1).with_base(5)], vec![record("lost", 7, 6)]);
    assert_eq!(next_history_event(&mut events).await, Event::ReofferConflict { dataset, ours, records });
}

#[tokio::test]
async fn a_retried_reoffer_does_not_overwrite_a_write_of_the_app() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events, mut session) = restored(&server).await;
    assert_eq!(session.expect_write().await, (1, reoffers()));
    next_history_event(&mut events).await;
    let _newer = submit(&device, put("lost-too", 9)).await;
    let _computed = submit(&device, Change::new(key("removed"), Op::Add, Value::from(1))).await;
    assert_eq!((session.expect_write().await.0, session.expect_write().await.0), (2, 3));
    session.send(conflict(1, vec![record("old", 7, 6)])).await;
    let conflict = next_history_event(&mut events).await;
    assert!(
        matches!(&conflict, Event::ReofferConflict { ours, .. } if *ours == [remove("removed").with_base(5), put("lost", 1).with_base(5)]),
        "{conflict:?}"
    );
    session.expect_idle(&device).await;
}

#[tokio::test]
async fn a_refused_reoffer_is_halved_until_a_single_change_is_reported() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events, mut session) = restored(&server).await;
    assert_eq!(session.expect_write().await, (1, reoffers()));
    next_history_event(&mut events).await;
    session.send(refused(1, RefusalCode::TooManyRecords)).await;
    assert_eq!(session.expect_write().await, (2, reoffers()[..2].to_vec()));
    assert_eq!(session.expect_write().await, (3, reoffers()[2..].to_vec()));
    session.send(refused(3, RefusalCode::TooManyRecords)).await;
    session.send(refused(2, RefusalCode::ReadOnly)).await;
    let refusal = next_history_event(&mut events).await;
    assert!(
        matches!(&refusal, Event::ReofferRefused { ours, code: RefusalCode::TooManyRecords, .. } if ours == &reoffers()[2..]),
        "{refusal:?}"
    );
    session.expect_idle(&device).await;
    assert_eq!(session.expect_write_after_retry().await, (2, reoffers()[..2].to_vec()), "a patch that a read-only store refuses is kept");
    session.send(written(2, 6)).await;
    session.expect_ack(6).await;
    session.expect_idle(&device).await;
}

#[tokio::test]
async fn a_second_restore_while_reoffers_are_unanswered_loses_and_repeats_nothing() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events, mut session) = restored(&server).await;
    assert_eq!(session.expect_write().await, (1, reoffers()));
    next_history_event(&mut events).await;
    drop(session);

    let mut session = server.welcome(0).await;
    session.expect_open(at("new", 5)).await;
    session.send(reset(changes("newer", 0, 4, vec![record("old", 1, 3)]), Some(4), false)).await;
    session.expect_ack(4).await;
    let lowered = reoffers().into_iter().map(|change| change.with_base(4)).collect::<Vec<_>>();
    assert_eq!(session.expect_write().await, (1, lowered));
    assert_eq!(next_history_event(&mut events).await, Event::StoreRestored { dataset: settings(), shared: Some(4), reoffered: 0 });
    session.expect_idle(&device).await;
}

#[tokio::test]
async fn nothing_is_reoffered_to_a_store_without_a_shared_version() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = offline_device(&server).await;
    let _answer = submit(&device, put("old", 2).with_base(3)).await;
    device.go_online().await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(at("old", 9)).await;
    session.send(reset(changes("new", 0, 1, vec![record("theirs", 1, 1)]), None, false)).await;
    session.expect_ack(1).await;
    assert_eq!(session.expect_write().await, (1, vec![put("old", 2).with_base(0)]));
    assert_eq!(next_history_event(&mut events).await, Event::StoreRestored { dataset: settings(), shared: None, reoffered: 0 });
    session.expect_idle(&device).await;
}

#[tokio::test]
async fn a_device_behind_the_tombstone_horizon_reoffers_nothing_and_keeps_its_bases() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, _events) = offline_device(&server).await;
    let _answer = submit(&device, put("old", 2).with_base(9)).await;
    device.go_online().await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(at("old", 9)).await;
    session.send(reset(changes("old", 0, 40, vec![record("old", 1, 30)]), None, false)).await;
    session.expect_ack(40).await;
    assert_eq!(session.expect_write().await, (1, vec![put("old", 2).with_base(9)]));
    session.expect_idle(&device).await;
}

#[tokio::test]
async fn a_guest_that_signs_in_keeps_its_writes_and_gets_conflicts_for_keys_that_both_have() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, mut events) = offline_device(&server).await;
    let _answer = submit(&device, put("old", 2).with_base(3)).await;
    device.go_online().await.expect("alive");
    let mut session = server.welcome_as("local:bob", &["local:carol", "local:alice"], 20).await;
    session.expect_open(None).await;
    let (id, changes_sent) = session.expect_write().await;
    assert_eq!((id, changes_sent), (21, vec![put("old", 2).with_base(0)]));
    let moved = event(&mut events, |event| matches!(event, Event::IdentityMerged { .. })).await;
    assert_eq!(moved, Event::IdentityMerged { from: "local:alice".to_owned(), to: "local:bob".to_owned() });
    let forgot = event(&mut events, |event| matches!(event, Event::Changed { .. })).await;
    assert!(matches!(forgot, Event::Changed { from: 9, to: 0, reset: true, .. }), "{forgot:?}");

    let theirs = vec![record("old", 7, 30), record("lost", 7, 31)];
    session.send(changes("e", 0, 40, theirs)).await;
    session.expect_ack(40).await;
    assert_eq!(
        session.expect_write().await,
        (22, vec![put("lost", 1).with_base(0)]),
        "the merge took over `lost-too`, and it was removed since"
    );
    session.send(conflict(22, vec![record("lost", 7, 31)])).await;
    let (dataset, ours, records) = (settings(), vec![put("lost", 1).with_base(0)], vec![record("lost", 7, 31)]);
    assert_eq!(next_history_event(&mut events).await, Event::ReofferConflict { dataset, ours, records });
}

#[tokio::test]
async fn a_guests_write_whose_answer_was_lost_is_found_under_its_number() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, _events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(None).await;
    session.send(changes("old", 0, 3, vec![record("old", 1, 3)])).await;
    session.expect_ack(3).await;
    let answer = submit(&device, put("old", 2).with_base(3)).await;
    assert_eq!(session.expect_write().await, (1, vec![put("old", 2).with_base(3)]));
    drop(session);

    let mut session = server.welcome_as("local:bob", &["local:alice"], 1).await;
    session.expect_open(None).await;
    session.send(changes("e", 0, 40, Vec::new())).await;
    assert_eq!(session.expect_write().await, (1, vec![put("old", 2).with_base(0)]));
    session.send(refused(1, RefusalCode::PatchReused)).await;
    session.expect_ack(40).await;
    assert_eq!(
        session.expect_write().await,
        (1, vec![put("old", 2).with_base(3)]),
        "with the bases that it had when it may have been applied"
    );
    session.send(written(1, 41)).await;
    assert_eq!(answer.await, Ok(WriteOutcome::Written { version: 41, records: Vec::new() }));
    session.expect_open(at("e", 40)).await;
    assert_eq!(device.position(&settings()).await.expect("alive"), at("e", 40), "41 is a version of the guest's history");
}

#[tokio::test]
async fn a_guests_conflict_whose_answer_was_lost_is_returned_as_any_other() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, _events) = offline_device(&server).await;
    let answer = submit(&device, put("lost", 2).with_base(8)).await;
    device.go_online().await.expect("alive");
    let mut session = server.welcome(0).await;
    session.expect_open(at("old", 9)).await;
    session.send(changes("old", 9, 9, Vec::new())).await;
    session.expect_ack(9).await;
    assert_eq!(session.expect_write().await, (1, vec![put("lost", 2).with_base(8)]));
    drop(session);

    let mut session = server.welcome_as("local:bob", &["local:alice"], 1).await;
    session.expect_open(None).await;
    session.send(changes("e", 0, 40, vec![record("lost", 7, 31)])).await;
    assert_eq!(session.expect_write().await, (1, vec![put("lost", 2).with_base(0)]));
    session.send(refused(1, RefusalCode::PatchReused)).await;
    session.expect_ack(40).await;
    assert_eq!(session.expect_write().await, (1, vec![put("lost", 2).with_base(8)]));
    session.send(conflict(1, vec![record("lost", 7, 31)])).await;
    assert_eq!(answer.await, Ok(WriteOutcome::Conflict { records: vec![record("lost", 7, 31)] }));
}

#[tokio::test]
async fn a_patch_whose_number_belongs_to_another_patch_is_refused() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, _events) = offline_device(&server).await;
    let answer = submit(&device, put("lost", 2).with_base(8)).await;
    let mut session = send_first_half(&server, &device).await;
    assert_eq!(session.expect_write().await.0, 1);
    session.send(refused(1, RefusalCode::PatchReused)).await;
    let outcome = answer.await.expect("alive");
    assert!(
        matches!(outcome, WriteOutcome::Refused { code: RefusalCode::PatchReused, .. }),
        "the patch was never sent with another base: {outcome:?}"
    );
}

/// The device has the records of `offline_device`, and a session that began with this welcome and ends after both patches were sent.
async fn send_two_patches(server: &ScriptedServer, device: &Device, known_since_ms: u64) {
    let mut session = server.accept().await;
    session.recv().await;
    session.send(welcome_known_since(known_since_ms)).await;
    session.expect_open(at("old", 9)).await;
    session.send(changes("old", 9, 9, Vec::new())).await;
    session.expect_ack(9).await;
    assert_eq!(session.expect_write().await, (1, vec![put("lost", 2).with_base(8)]));
    assert_eq!(session.expect_write().await.0, 2);
    device.go_offline().await.expect("alive");
    assert_eq!(session.next().await, None);
    device.go_online().await.expect("alive");
}

#[tokio::test]
async fn a_device_that_was_forgotten_sends_its_puts_again_and_no_add() {
    let server = ScriptedServer::start(Codec::MsgPack).await;
    let (device, _events) = offline_device(&server).await;
    let kept = submit(&device, put("lost", 2).with_base(8)).await;
    let ambiguous = submit(&device, Change::new(key("n"), Op::Add, Value::from(1))).await;
    device.go_online().await.expect("alive");
    send_two_patches(&server, &device, 100).await;
    // The server still knows the device: it sends both again, because the server has their outcomes.
    send_two_patches(&server, &device, 100).await;

    let unsent = submit(&device, Change::new(key("n"), Op::Add, Value::from(5))).await;
    let mut session = server.accept().await;
    session.recv().await;
    session.send(welcome_known_since(200)).await;
    let outcome = ambiguous.await.expect("alive");
    assert!(matches!(outcome, WriteOutcome::Refused { code: RefusalCode::PatchExpired, .. }), "{outcome:?}");
    session.expect_open(at("old", 9)).await;
    session.send(reset(changes("old", 0, 12, vec![record("old", 1, 3)]), None, false)).await;
    session.expect_ack(12).await;
    assert_eq!(session.expect_write().await, (1, vec![put("lost", 2).with_base(8)]), "with its number");
    assert_eq!(session.expect_write().await, (3, vec![Change::new(key("n"), Op::Add, Value::from(5))]), "it was never sent");
    session.send(written(1, 13)).await;
    session.send(written(3, 14)).await;
    assert_eq!(kept.await, Ok(WriteOutcome::Written { version: 13, records: Vec::new() }));
    assert_eq!(unsent.await, Ok(WriteOutcome::Written { version: 14, records: Vec::new() }));
}
