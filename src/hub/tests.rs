use futures_util::FutureExt;

use super::*;
use driftless_protocol::{Codec, Content, Epoch, Key, Record, ServerMessage, Value};

fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

fn change(version: u64, writer: u64, bytes: usize) -> PublishedChange {
    change_of(dataset(), version, writer, 1, bytes)
}

/// A change of some records, each with a value of so many bytes.
fn change_of(dataset: DatasetName, version: u64, writer: u64, records: usize, bytes: usize) -> PublishedChange {
    let record = |n: usize| Record {
        key: Key::new(&format!("{n}")).expect("a key"),
        content: Content::Value(Value::from("x".repeat(bytes))),
        version,
        modified_ms: 0,
        device: DeviceId::new("phone").expect("a device"),
    };
    let message = ServerMessage::Changes {
        dataset: dataset.clone(),
        epoch: Epoch::new("e").expect("an epoch"),
        from: version - 1,
        to: version,
        reset: false,
        shared: None,
        more: false,
        fresh_until: None,
        records: (0..records).map(record).collect(),
    };
    PublishedChange::new(dataset, version, writer, message)
}

/// Publishes a change of alice's, and wakes its followers.
fn publish(hub: &Hub, change: PublishedChange) {
    hub.publish("alice", change).into_iter().for_each(Followers::wake);
}

fn session(hub: &Hub, number: u64, device: &str) -> Arc<SessionSignals> {
    let signals = Arc::new(SessionSignals::new(number));
    hub.add_session(&"alice".into(), &DeviceId::new(device).expect("a device"), &signals);
    signals
}

fn take(signals: &SessionSignals) -> Option<SignalSet> {
    signals.wait().now_or_never()
}

/// The version of the change that the ring has for a session, if it has one.
fn next_version(topic: &Topic, version: u64, session: u64) -> Option<u64> {
    match topic.next_after(version, session) {
        NextChange::Change(change) => Some(change.version()),
        NextChange::UpToDate | NextChange::OwnWrites | NextChange::Lagged => None,
    }
}

#[test]
fn publishing_signals_subscribers_but_not_the_writer() {
    let hub = Hub::default();
    let (writer, reader, other) = (session(&hub, 1, "a"), session(&hub, 2, "b"), session(&hub, 3, "c"));
    hub.subscribe(&"alice".into(), &dataset(), &writer);
    let topic = hub.subscribe(&"alice".into(), &dataset(), &reader);
    publish(&hub, change(1, 1, 10));
    assert_eq!(take(&writer), None);
    assert!(take(&reader).is_some_and(|signals| signals.contains(Signal::Changed)));
    assert_eq!(take(&other), None, "is not subscribed");
    assert_eq!(next_version(&topic, 0, 2), Some(1));
    assert!(matches!(topic.next_after(1, 2), NextChange::UpToDate));
}

#[test]
fn a_change_is_in_the_ring_before_its_followers_are_woken() {
    let hub = Hub::default();
    let (writer, reader) = (session(&hub, 1, "a"), session(&hub, 2, "b"));
    let topic = hub.subscribe(&"alice".into(), &dataset(), &writer);
    assert!(hub.publish("alice", change(1, 1, 10)).is_none(), "only its writer has the dataset open");
    hub.subscribe(&"alice".into(), &dataset(), &reader);
    let followers = hub.publish("alice", change(2, 1, 10)).expect("a reader");
    assert_eq!((take(&reader), next_version(&topic, 1, 2)), (None, Some(2)));
    followers.wake();
    assert!(take(&reader).is_some() && take(&writer).is_none());
}

#[test]
fn a_session_within_the_ring_takes_changes_in_order_and_one_outside_reads_the_store() {
    let hub = Hub::default();
    let (fast, slow) = (session(&hub, 1, "a"), session(&hub, 2, "b"));
    let topic = hub.subscribe(&"alice".into(), &dataset(), &fast);
    hub.subscribe(&"alice".into(), &dataset(), &slow);
    for version in 1..=RING_CHANGES as u64 {
        publish(&hub, change(version, 0, 10));
        assert_eq!(next_version(&topic, version - 1, 1), Some(version));
    }
    assert_eq!(next_version(&topic, 0, 2), Some(1), "every change is still in the ring");
    publish(&hub, change(RING_CHANGES as u64 + 1, 0, 10));
    publish(&hub, change(RING_CHANGES as u64 + 2, 0, 10));
    assert!(matches!(topic.next_after(1, 2), NextChange::Lagged), "newer changes replaced it");
    assert_eq!(next_version(&topic, 10, 2), Some(11));
}

#[test]
fn a_ring_is_bounded_in_bytes_and_drops_a_change_that_every_session_has_taken() {
    let hub = Hub::default();
    let (one, two) = (session(&hub, 1, "a"), session(&hub, 2, "b"));
    let topic = hub.subscribe(&"alice".into(), &dataset(), &one);
    hub.subscribe(&"alice".into(), &dataset(), &two);
    publish(&hub, change(1, 0, RING_BYTES + 1));
    assert!(matches!(topic.next_after(0, 1), NextChange::Lagged), "too large for the ring");
    publish(&hub, change(2, 0, 10));
    assert_eq!(next_version(&topic, 1, 1), Some(2));
    assert_eq!(next_version(&topic, 1, 2), Some(2));
    assert!(matches!(topic.next_after(1, 2), NextChange::Lagged), "dropped once the last session took it");
}

/// What the rings of an identity hold is bounded in memory, however small its records and however many its datasets are, and is gone with the
/// session that did not take it.
#[test]
fn a_session_that_takes_nothing_holds_no_more_than_the_rings_of_one_identity_may() {
    let hub = Hub::default();
    let (alice, prompt) = (Arc::from("alice"), session(&hub, 1, "a"));
    let json = Arc::new(SessionSignals::with_codec(2, Codec::Json));
    hub.add_session(&alice, &DeviceId::new("b").expect("a device"), &json);
    let names: Vec<_> = (0..50).map(|n| format!("d{n}")).collect();
    let topics: Vec<_> = names
        .iter()
        .map(|name| {
            let dataset = DatasetName::new(name).expect("a name");
            hub.subscribe(&alice, &dataset, &json);
            hub.subscribe(&alice, &dataset, &prompt)
        })
        .collect();
    for version in 1..=4 {
        for (name, topic) in names.iter().zip(&topics) {
            publish(&hub, change_of(DatasetName::new(name).expect("a name"), version, 0, 300, 1));
            // The prompt one takes what is there.
            drop(topic.next_after(version - 1, 1));
            assert!(hub.ring_bytes("alice") <= IDENTITY_RING_BYTES, "{}", hub.ring_bytes("alice"));
        }
    }
    assert!(hub.ring_bytes("alice") > IDENTITY_RING_BYTES / 2);
    hub.remove_session("alice", &json);
    assert_eq!(hub.ring_bytes("alice"), 0);
    publish(&hub, change_of(DatasetName::new("d0").expect("a name"), 5, 0, 1, 1));
    assert_eq!(next_version(&topics[0], 4, 1), Some(5), "the others go on with the ring");
    assert_eq!(hub.ring_bytes("alice"), 0);
}

#[test]
fn a_change_is_encoded_in_the_codecs_of_its_readers() {
    let hub = Hub::default();
    let (alice, reader) = (Arc::from("alice"), session(&hub, 1, "a"));
    let topic = hub.subscribe(&alice, &dataset(), &reader);
    publish(&hub, change(1, 0, 10));
    let NextChange::Change(found) = topic.next_after(0, 1) else { panic!("it was published") };
    assert!(found.frame(Codec::MsgPack).is_some() && found.frame(Codec::Json).is_none());
    hub.subscribe(&alice, &dataset(), &Arc::new(SessionSignals::with_codec(2, Codec::Json)));
    publish(&hub, change(2, 0, 10));
    let NextChange::Change(found) = topic.next_after(1, 2) else { panic!("it was published") };
    assert!(found.frame(Codec::MsgPack).is_some() && found.frame(Codec::Json).is_some());
}

#[test]
fn a_change_that_only_its_writer_subscribed_to_is_not_kept() {
    let hub = Hub::default();
    let writer = session(&hub, 1, "a");
    let topic = hub.subscribe(&"alice".into(), &dataset(), &writer);
    publish(&hub, change(1, 1, 10));
    assert!(matches!(topic.next_after(0, 1), NextChange::OwnWrites));
    assert!(matches!(topic.next_after(0, 2), NextChange::Lagged), "another session reads the store");
    assert_eq!(topic.newest_version(), 1);
}

#[test]
fn a_newer_session_of_a_device_replaces_the_older_one_and_survives_its_end() {
    let hub = Hub::default();
    let old = session(&hub, 1, "a");
    let new = session(&hub, 2, "a");
    assert!(take(&old).is_some_and(|signals| signals.contains(Signal::Replaced)));
    hub.subscribe(&"alice".into(), &dataset(), &new);
    hub.remove_session("alice", &old);
    publish(&hub, change(1, 0, 10));
    assert!(take(&new).is_some());
}

#[test]
fn the_hub_keeps_nothing_of_an_identity_without_sessions() {
    let hub = Hub::default();
    let sessions: Vec<_> = (1..=3).map(|n| session(&hub, n, &format!("d{n}"))).collect();
    let topic = hub.subscribe(&"alice".into(), &dataset(), &sessions[0]);
    hub.unsubscribe("alice", &topic, &sessions[0]);
    hub.subscribe(&"alice".into(), &dataset(), &sessions[1]);
    for signals in &sessions {
        hub.remove_session("alice", signals);
    }
    assert!(hub.shards.iter().all(|shard| lock(shard).is_empty()));
}

#[test]
fn signals_accumulate_until_the_session_takes_them() {
    let signals = SessionSignals::new(1);
    for _ in 0..1000 {
        signals.raise(Signal::Changed);
    }
    signals.raise(Signal::Drain);
    let found = take(&signals).expect("signals");
    assert!(found.contains(Signal::Changed) && found.contains(Signal::Drain) && !found.contains(Signal::Tick));
    assert_eq!(take(&signals), None);
}
