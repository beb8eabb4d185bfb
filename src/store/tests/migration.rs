//! Stores of older formats, row by row as those versions wrote them.

use driftless_protocol::{Op, Position};

use super::reaping::reap;
use crate::store::engine::{Batch, Handle};
use crate::store::support::{CONFIG, all, dataset, epoch, me, patch, write};
use crate::store::{Decision, Identity, Keeping, LoginKey, Start, Store, migrate, rows};

/// Written by the first version: two logins, records, tombstones, a conflict, an acknowledgement, patch results.
const FORMAT_1: &str = include_str!("format1.rows");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

fn old_store(folder: &std::path::Path) {
    let engine = Handle::open(folder, &CONFIG).expect("opens");
    let row = |line: &str| line.split_once(' ').map(|(key, row)| (bytes(key), Some(bytes(row)))).expect("a row");
    engine.commit(&[Batch { guards: Vec::new(), rows: FORMAT_1.lines().map(row).collect() }]).expect("commits");
}

#[test]
fn a_store_of_format_1_opens_with_all_that_it_held() {
    let folder = tempfile::tempdir().expect("a folder");
    old_store(folder.path());
    let store = Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens");
    assert_eq!(*store.epoch(), epoch("first"), "devices go on where they were");
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!((head.version, head.tombstones, head.floor, head.horizon), (4, 2, 4, 0));
    let after = Position { epoch: epoch("first"), version: 1 };
    assert!(matches!(store.start(&me(), &dataset(), Some(&after.into())), Ok(Start::After(_))));
    let mut live: Vec<_> = all(&store).iter().map(|record| record.key.to_string()).collect();
    live.sort();
    assert_eq!(live, ["profile", "tags", "theme", "visits"]);
    assert_eq!(store.conflicts(&me(), &dataset()).expect("reads").len(), 1);
    let login = LoginKey { pool: "demo", issuer: "issuer", subject: "alice" };
    assert_eq!(store.identity(login).expect("reads"), Some(me()));
    assert!(matches!(write(&store, &patch(3, "phone", &[("gone", Op::Remove, "")])), Decision::Repeated { version: 4, .. }));
    assert!(matches!(write(&store, &patch(4, "phone", &[("theme", Op::Put, "1")])), Decision::Written { version: 5, .. }));
    // And with what is new: history, tombstones that go, an identity that can be erased with its logins.
    assert_eq!(store.at(&me(), &dataset(), 4).expect("reads").expect("kept").len(), 4);
    assert_eq!(
        reap(&store, &Keeping { tombstone_ms: 1, ..Keeping::default() }, 1_800_000_000_000).iter().map(|one| one.tombstones).sum::<u64>(),
        2
    );
    let mut group = store.group();
    group.erase(&Identity::from("local:2")).expect("decides");
    group.commit().expect("commits");
    assert_eq!(store.identity(LoginKey { subject: "bob", ..login }).expect("reads"), None);
}

#[test]
fn a_step_that_was_interrupted_is_taken_again() {
    let folder = tempfile::tempdir().expect("a folder");
    old_store(folder.path());
    let engine = Handle::open(folder.path(), &CONFIG).expect("opens");
    migrate::run(&engine, 1).expect("migrates");
    // As if the step's own mark had not been written.
    let mark = migrate::format_row(1).expect("a row");
    engine.commit(&[Batch { guards: Vec::new(), rows: vec![mark] }]).expect("commits");
    let before = engine.scan(b"a", &[u8::MAX], usize::MAX).expect("scans");
    migrate::run(&engine, 1).expect("migrates again");
    let after = engine.scan(b"a", &[u8::MAX], usize::MAX).expect("scans");
    let without_mark = |rows: Vec<(Vec<u8>, Vec<u8>)>| rows.into_iter().filter(|(key, _)| !key.ends_with(b"format")).collect::<Vec<_>>();
    assert_eq!(without_mark(before), without_mark(after));
    assert_eq!(migrate::format(&engine).expect("reads"), Some(migrate::FORMAT));
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Handle::open(folder.path(), &CONFIG).expect("opens");
    let newer = migrate::format_row(migrate::FORMAT + 1).expect("a row");
    let epoch_row = (crate::store::keys::meta("epoch"), Some(rows::encode(&epoch("first")).expect("a row")));
    engine.commit(&[Batch { guards: Vec::new(), rows: vec![newer, epoch_row] }]).expect("commits");
    drop(engine);
    let refused = Store::open(folder.path(), &CONFIG, &epoch("unused")).err().expect("is refused").to_string();
    assert!(refused.contains("format is 3") && refused.contains("newer"), "{refused}");
}
