use futures_util::FutureExt;

use super::*;
use driftless_protocol::{Content, Epoch, Key, Record, ServerMessage, Value};

fn dataset() -> DatasetName {
    DatasetName::new("d").expect("a name")
}

fn change(version: u64, writer: u64, bytes: usize) -> Change {
    let record = Record {
        key: Key::new("k").expect("a key"),
        content: Content::Value(Value::Text("x".repeat(bytes))),
        version,
        modified_ms: 0,
        device: DeviceId::new("phone").expect("a device"),
    };
    let epoch = Epoch::new("e").expect("an epoch");
    let message = ServerMessage::Changes {
        dataset: dataset(),
        epoch,
        from: version - 1,
        to: version,
        reset: false,
        shared: None,
        more: false,
        fresh_until: None,
        records: vec![record],
    };
    Change::new(dataset(), version, writer, message)
}

fn session(hub: &Hub, number: u64, device: &str) -> Arc<Mailbox> {
    let mailbox = Arc::new(Mailbox::new(number));
    hub.enter(&"alice".into(), &DeviceId::new(device).expect("a device"), &mailbox);
    mailbox
}

fn marks(mailbox: &Mailbox) -> Option<Marks> {
    mailbox.marks().now_or_never()
}

fn taken(feed: &Feed, version: u64, session: u64) -> Option<u64> {
    match feed.after(version, session) {
        Taken::Change(change) => Some(change.version()),
        Taken::Nothing | Taken::Own | Taken::Behind => None,
    }
}

#[test]
fn followers_are_marked_and_the_writer_is_not() {
    let hub = Hub::default();
    let (writer, reader, other) = (session(&hub, 1, "a"), session(&hub, 2, "b"), session(&hub, 3, "c"));
    hub.follow(&"alice".into(), &dataset(), &writer);
    let feed = hub.follow(&"alice".into(), &dataset(), &reader);
    hub.publish("alice", change(1, 1, 10));
    assert_eq!(marks(&writer), None);
    assert!(marks(&reader).is_some_and(|marks| marks.has(Mark::Moved)));
    assert_eq!(marks(&other), None, "does not follow");
    assert_eq!(taken(&feed, 0, 2), Some(1));
    assert!(matches!(feed.after(1, 2), Taken::Nothing));
}

#[test]
fn a_session_within_the_ring_takes_in_order_and_one_outside_reads_the_store() {
    let hub = Hub::default();
    let (fast, slow) = (session(&hub, 1, "a"), session(&hub, 2, "b"));
    let feed = hub.follow(&"alice".into(), &dataset(), &fast);
    hub.follow(&"alice".into(), &dataset(), &slow);
    for version in 1..=RING_CHANGES as u64 {
        hub.publish("alice", change(version, 0, 10));
        assert_eq!(taken(&feed, version - 1, 1), Some(version));
    }
    assert_eq!(taken(&feed, 0, 2), Some(1), "all of it is still there");
    hub.publish("alice", change(RING_CHANGES as u64 + 1, 0, 10));
    hub.publish("alice", change(RING_CHANGES as u64 + 2, 0, 10));
    assert!(matches!(feed.after(1, 2), Taken::Behind), "pushed out by newer ones");
    assert_eq!(taken(&feed, 10, 2), Some(11));
}

#[test]
fn a_ring_is_bounded_in_bytes_and_empty_when_all_have_taken() {
    let hub = Hub::default();
    let (one, two) = (session(&hub, 1, "a"), session(&hub, 2, "b"));
    let feed = hub.follow(&"alice".into(), &dataset(), &one);
    hub.follow(&"alice".into(), &dataset(), &two);
    hub.publish("alice", change(1, 0, RING_BYTES + 1));
    assert!(matches!(feed.after(0, 1), Taken::Behind), "too large for the ring");
    hub.publish("alice", change(2, 0, 10));
    assert_eq!(taken(&feed, 1, 1), Some(2));
    assert_eq!(taken(&feed, 1, 2), Some(2));
    assert!(matches!(feed.after(1, 2), Taken::Behind), "given back once the last has it");
}

#[test]
fn what_only_its_writer_follows_is_not_kept() {
    let hub = Hub::default();
    let writer = session(&hub, 1, "a");
    let feed = hub.follow(&"alice".into(), &dataset(), &writer);
    hub.publish("alice", change(1, 1, 10));
    assert!(matches!(feed.after(0, 1), Taken::Own));
    assert!(matches!(feed.after(0, 2), Taken::Behind), "another session reads the store");
    assert_eq!(feed.head(), 1);
}

#[test]
fn a_newer_session_of_a_device_replaces_the_older_and_survives_its_end() {
    let hub = Hub::default();
    let old = session(&hub, 1, "a");
    let new = session(&hub, 2, "a");
    assert!(marks(&old).is_some_and(|marks| marks.has(Mark::Replaced)));
    hub.follow(&"alice".into(), &dataset(), &new);
    hub.leave("alice", &old);
    hub.publish("alice", change(1, 0, 10));
    assert!(marks(&new).is_some());
}

#[test]
fn nothing_is_left_of_an_identity_without_sessions() {
    let hub = Hub::default();
    let sessions: Vec<_> = (1..=3).map(|n| session(&hub, n, &format!("d{n}"))).collect();
    let feed = hub.follow(&"alice".into(), &dataset(), &sessions[0]);
    hub.unfollow("alice", &feed, &sessions[0]);
    hub.follow(&"alice".into(), &dataset(), &sessions[1]);
    for mailbox in &sessions {
        hub.leave("alice", mailbox);
    }
    assert!(hub.shards.iter().all(|shard| lock(shard).is_empty()));
}

#[test]
fn marks_gather_while_nobody_looks() {
    let mailbox = Mailbox::new(1);
    for _ in 0..1000 {
        mailbox.mark(Mark::Moved);
    }
    mailbox.mark(Mark::Drain);
    let found = marks(&mailbox).expect("marks");
    assert!(found.has(Mark::Moved) && found.has(Mark::Drain) && !found.has(Mark::Tick));
    assert_eq!(marks(&mailbox), None);
}
