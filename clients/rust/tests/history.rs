//! What a device does when the history changes, against a server that says only what each story tells it to.

mod support;

use driftless_client::protocol::{Change, Codec, Op, RefusalCode, Value};
use driftless_client::{Device, Event, Events, Outcome};
use support::*;

/// A device that has `old` of version 3, `lost` and `lost-too` of version 8, the tombstone `removed`, all of epoch `old`, and was cut off.
async fn cut_off(server: &Fake) -> (Device, Events) {
    let (device, events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(None).await;
    let records = vec![record("old", 1, 3), record("lost", 1, 8), record("lost-too", 1, 8), tombstone("removed", 9)];
    peer.says(changes("old", 0, 9, records)).await;
    peer.hears_ack(9).await;
    device.go_offline().await.expect("alive");
    assert_eq!(peer.next().await, None);
    (device, events)
}

/// The device comes back to a store that was restored to version 5, and has the first half of its answer.
async fn half_restored(server: &Fake, device: &Device) -> Peer {
    device.go_online().await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(at("old", 9)).await;
    peer.says(reset(changes("new", 0, 3, vec![record("old", 1, 3)]), Some(5), true)).await;
    peer
}

/// The other half: `removed` was not removed yet.
async fn wholly_restored(peer: &mut Peer) {
    peer.says(changes("new", 3, 5, vec![record("removed", 1, 5)])).await;
    peer.hears_ack(5).await;
}

async fn restored(server: &Fake) -> (Device, Events, Peer) {
    let (device, events) = cut_off(server).await;
    let mut peer = half_restored(server, &device).await;
    wholly_restored(&mut peer).await;
    (device, events, peer)
}

fn offers() -> Vec<Change> {
    vec![remove("removed").with_base(5), put("lost", 1).with_base(5), put("lost-too", 1).with_base(5)]
}

async fn told(events: &mut Events) -> Event {
    event(events, |event| matches!(event, Event::Restored { .. } | Event::OfferConflict { .. } | Event::OfferRefused { .. })).await
}

#[tokio::test]
async fn what_a_restored_store_does_not_have_is_offered_again() {
    for codec in Codec::ALL {
        let server = Fake::start(codec).await;
        let (device, mut events, mut peer) = restored(&server).await;
        assert_eq!(peer.hears_write().await, (1, offers()));
        assert_eq!(told(&mut events).await, Event::Restored { dataset: settings(), shared: Some(5), offered: 3 });
        peer.says(written(1, 6)).await;
        peer.hears_ack(6).await;
        let records = device.records(&settings()).await.expect("alive").expect("open");
        assert_eq!(records.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["lost", "lost-too", "old"]);
    }
}

#[tokio::test]
async fn unanswered_writes_wait_for_the_history_and_go_with_lowered_bases() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = cut_off(&server).await;
    let based = device.put_based(&settings(), key("lost"), Value::from(2)).await.expect("alive").expect("open");
    assert_eq!(based.base, Some(8));
    let _first = hand_over(&device, based).await;
    let _second = hand_over(&device, put("old", 2).with_base(3)).await;
    let mut peer = half_restored(&server, &device).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("lost", 2).with_base(5)]), "its base was above what both histories have");
    assert_eq!(peer.hears_write().await, (2, vec![put("old", 2).with_base(3)]));
    wholly_restored(&mut peer).await;
    let (_, offered) = peer.hears_write().await;
    assert_eq!(offered, [remove("removed").with_base(5), put("lost-too", 1).with_base(5)], "a newer write of `lost` is on its way");
    assert!(matches!(told(&mut events).await, Event::Restored { offered: 2, .. }));
}

#[tokio::test]
async fn a_write_in_the_midst_of_the_answer_is_newer_than_what_was_lost() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = cut_off(&server).await;
    let mut peer = half_restored(&server, &device).await;
    event(&mut events, |event| matches!(event, Event::Changed { reset: true, .. })).await;
    let answer = hand_over(&device, put("lost", 2)).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("lost", 2)]));
    peer.says(written(1, 6)).await;
    assert!(answer.await.is_ok());
    peer.says(changes("new", 3, 6, Vec::new())).await;
    peer.hears_ack(6).await;
    let offered = [remove("removed").with_base(5), put("lost-too", 1).with_base(5)];
    assert_eq!(peer.hears_write().await.1, offered, "`lost` is answered, and still not offered");
}

#[tokio::test]
async fn an_offer_that_conflicts_is_told_and_the_rest_goes_again() {
    let server = Fake::start(Codec::MsgPack).await;
    let (_device, mut events, mut peer) = restored(&server).await;
    assert_eq!(peer.hears_write().await.0, 1);
    told(&mut events).await;
    peer.says(conflict(1, vec![record("lost", 7, 6)])).await;
    assert_eq!(peer.hears_write().await, (2, vec![remove("removed").with_base(5), put("lost-too", 1).with_base(5)]));
    let (dataset, ours, records) = (settings(), vec![put("lost", 1).with_base(5)], vec![record("lost", 7, 6)]);
    assert_eq!(told(&mut events).await, Event::OfferConflict { dataset, ours, records });
}

#[tokio::test]
async fn a_write_of_the_app_is_not_overwritten_by_an_offer_that_goes_again() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events, mut peer) = restored(&server).await;
    assert_eq!(peer.hears_write().await, (1, offers()));
    told(&mut events).await;
    let _newer = hand_over(&device, put("lost-too", 9)).await;
    let _computed = hand_over(&device, Change::new(key("removed"), Op::Add, Value::from(1))).await;
    assert_eq!((peer.hears_write().await.0, peer.hears_write().await.0), (2, 3));
    peer.says(conflict(1, vec![record("old", 7, 6)])).await;
    let met = told(&mut events).await;
    assert!(
        matches!(&met, Event::OfferConflict { ours, .. } if *ours == [remove("removed").with_base(5), put("lost", 1).with_base(5)]),
        "{met:?}"
    );
    peer.hears_nothing_but_a_list(&device).await;
}

#[tokio::test]
async fn an_offer_that_is_refused_goes_again_in_parts_until_one_change_is_told() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events, mut peer) = restored(&server).await;
    assert_eq!(peer.hears_write().await, (1, offers()));
    told(&mut events).await;
    peer.says(refused(1, RefusalCode::TooManyRecords)).await;
    assert_eq!(peer.hears_write().await, (2, offers()[..2].to_vec()));
    assert_eq!(peer.hears_write().await, (3, offers()[2..].to_vec()));
    peer.says(refused(3, RefusalCode::TooManyRecords)).await;
    peer.says(refused(2, RefusalCode::ReadOnly)).await;
    let refusal = told(&mut events).await;
    assert!(
        matches!(&refusal, Event::OfferRefused { ours, code: RefusalCode::TooManyRecords, .. } if ours == &offers()[2..]),
        "{refusal:?}"
    );
    peer.hears_nothing_but_a_list(&device).await;
    assert_eq!(peer.hears_write_later().await, (2, offers()[..2].to_vec()), "what the disk has no room for now is kept");
    peer.says(written(2, 6)).await;
    peer.hears_ack(6).await;
    peer.hears_nothing_but_a_list(&device).await;
}

#[tokio::test]
async fn a_second_restore_while_offers_are_unanswered_loses_and_doubles_nothing() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events, mut peer) = restored(&server).await;
    assert_eq!(peer.hears_write().await, (1, offers()));
    told(&mut events).await;
    drop(peer);

    let mut peer = server.welcome(0).await;
    peer.hears_open(at("new", 5)).await;
    peer.says(reset(changes("newer", 0, 4, vec![record("old", 1, 3)]), Some(4), false)).await;
    peer.hears_ack(4).await;
    let lowered = offers().into_iter().map(|offer| offer.with_base(4)).collect::<Vec<_>>();
    assert_eq!(peer.hears_write().await, (1, lowered));
    assert_eq!(told(&mut events).await, Event::Restored { dataset: settings(), shared: Some(4), offered: 0 });
    peer.hears_nothing_but_a_list(&device).await;
}

#[tokio::test]
async fn a_store_that_has_nothing_in_common_is_taken_as_it_is() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = cut_off(&server).await;
    let _answer = hand_over(&device, put("old", 2).with_base(3)).await;
    device.go_online().await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(at("old", 9)).await;
    peer.says(reset(changes("new", 0, 1, vec![record("theirs", 1, 1)]), None, false)).await;
    peer.hears_ack(1).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("old", 2).with_base(0)]));
    assert_eq!(told(&mut events).await, Event::Restored { dataset: settings(), shared: None, offered: 0 });
    peer.hears_nothing_but_a_list(&device).await;
}

#[tokio::test]
async fn a_device_behind_the_horizon_offers_nothing_and_keeps_its_bases() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, _events) = cut_off(&server).await;
    let _answer = hand_over(&device, put("old", 2).with_base(9)).await;
    device.go_online().await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(at("old", 9)).await;
    peer.says(reset(changes("old", 0, 40, vec![record("old", 1, 30)]), None, false)).await;
    peer.hears_ack(40).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("old", 2).with_base(9)]));
    peer.hears_nothing_but_a_list(&device).await;
}

#[tokio::test]
async fn a_guest_that_signs_in_goes_on_with_its_writes_and_is_asked_about_what_both_have() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, mut events) = cut_off(&server).await;
    let _answer = hand_over(&device, put("old", 2).with_base(3)).await;
    device.go_online().await.expect("alive");
    let mut peer = server.welcome_as("local:bob", &["local:carol", "local:alice"], 20).await;
    peer.hears_open(None).await;
    let (id, changes_sent) = peer.hears_write().await;
    assert_eq!((id, changes_sent), (21, vec![put("old", 2).with_base(0)]));
    let moved = event(&mut events, |event| matches!(event, Event::Moved { .. })).await;
    assert_eq!(moved, Event::Moved { from: "local:alice".to_owned(), to: "local:bob".to_owned() });
    let forgot = event(&mut events, |event| matches!(event, Event::Changed { .. })).await;
    assert!(matches!(forgot, Event::Changed { from: 9, to: 0, reset: true, .. }), "{forgot:?}");

    let theirs = vec![record("old", 7, 30), record("lost", 7, 31)];
    peer.says(changes("e", 0, 40, theirs)).await;
    peer.hears_ack(40).await;
    assert_eq!(peer.hears_write().await, (22, vec![put("lost", 1).with_base(0)]), "`lost-too` was taken by the merge, and removed since");
    peer.says(conflict(22, vec![record("lost", 7, 31)])).await;
    let (dataset, ours, records) = (settings(), vec![put("lost", 1).with_base(0)], vec![record("lost", 7, 31)]);
    assert_eq!(told(&mut events).await, Event::OfferConflict { dataset, ours, records });
}

#[tokio::test]
async fn a_guests_write_whose_answer_was_lost_is_found_under_its_number() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, _events) = server.device();
    device.open(&settings()).await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(None).await;
    peer.says(changes("old", 0, 3, vec![record("old", 1, 3)])).await;
    peer.hears_ack(3).await;
    let answer = hand_over(&device, put("old", 2).with_base(3)).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("old", 2).with_base(3)]));
    drop(peer);

    let mut peer = server.welcome_as("local:bob", &["local:alice"], 1).await;
    peer.hears_open(None).await;
    peer.says(changes("e", 0, 40, Vec::new())).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("old", 2).with_base(0)]));
    peer.says(refused(1, RefusalCode::PatchReused)).await;
    peer.hears_ack(40).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("old", 2).with_base(3)]), "as it was when it may have been applied");
    peer.says(written(1, 41)).await;
    assert_eq!(answer.await, Ok(Outcome::Written { version: 41, records: Vec::new() }));
    peer.hears_open(at("e", 40)).await;
    assert_eq!(device.position(&settings()).await.expect("alive"), at("e", 40), "41 is a version of the guest's history");
}

#[tokio::test]
async fn a_guests_conflict_whose_answer_was_lost_is_told_as_any_other() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, _events) = cut_off(&server).await;
    let answer = hand_over(&device, put("lost", 2).with_base(8)).await;
    device.go_online().await.expect("alive");
    let mut peer = server.welcome(0).await;
    peer.hears_open(at("old", 9)).await;
    peer.says(changes("old", 9, 9, Vec::new())).await;
    peer.hears_ack(9).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("lost", 2).with_base(8)]));
    drop(peer);

    let mut peer = server.welcome_as("local:bob", &["local:alice"], 1).await;
    peer.hears_open(None).await;
    peer.says(changes("e", 0, 40, vec![record("lost", 7, 31)])).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("lost", 2).with_base(0)]));
    peer.says(refused(1, RefusalCode::PatchReused)).await;
    peer.hears_ack(40).await;
    assert_eq!(peer.hears_write().await, (1, vec![put("lost", 2).with_base(8)]));
    peer.says(conflict(1, vec![record("lost", 7, 31)])).await;
    assert_eq!(answer.await, Ok(Outcome::Conflict { records: vec![record("lost", 7, 31)] }));
}

#[tokio::test]
async fn a_number_that_another_patch_has_is_refused() {
    let server = Fake::start(Codec::MsgPack).await;
    let (device, _events) = cut_off(&server).await;
    let answer = hand_over(&device, put("lost", 2).with_base(8)).await;
    let mut peer = half_restored(&server, &device).await;
    assert_eq!(peer.hears_write().await.0, 1);
    peer.says(refused(1, RefusalCode::PatchReused)).await;
    let outcome = answer.await.expect("alive");
    assert!(matches!(outcome, Outcome::Refused { code: RefusalCode::PatchReused, .. }), "it was never sent with another base: {outcome:?}");
}
