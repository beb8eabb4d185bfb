//! Stores of older formats, row by row as those versions wrote them.

use driftless_protocol::{Content, Op, Position};

use super::erasing::finish_job;
use super::reaping::reap;
use crate::store::engine::memory::{FaultPoint, Memory};
use crate::store::engine::{Batch, SupervisedEngine};
use crate::store::keys::Kind;
use crate::store::support::{CONFIG, FORMAT_1, FORMAT_2, all, dataset, device, epoch, me, patch, rows_of, write};
use crate::store::{Decision, Identity, LoginKey, ReadStart, RetentionPolicy, Store, keys, migrate, rows};

fn old_store(folder: &std::path::Path, rows: &str) {
    fill(&SupervisedEngine::open(folder, &CONFIG).expect("opens"), rows);
}

fn fill(engine: &SupervisedEngine, rows: &str) {
    engine.commit(vec![Batch { preconditions: Vec::new(), rows: rows_of(rows) }]).expect("commits");
}

#[test]
fn a_store_of_format_1_opens_with_all_that_it_held() {
    let folder = tempfile::tempdir().expect("a folder");
    old_store(folder.path(), FORMAT_1);
    let store = Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens");
    assert_eq!(*store.epoch(), epoch("first"), "devices go on where they were");
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!((head.version, head.tombstones, head.floor, head.horizon), (4, 2, 4, 0));
    let after = Position { epoch: epoch("first"), version: 1 };
    assert!(matches!(store.start(&me(), &dataset(), Some(&after.into())), Ok(ReadStart::After(_))));
    let mut live: Vec<_> = all(&store).iter().map(|record| record.key.to_string()).collect();
    live.sort();
    assert_eq!(live, ["profile", "tags", "theme", "visits"]);
    assert_eq!(store.conflicts(&me(), &dataset()).expect("reads").len(), 1);
    let login = LoginKey { pool: "demo", issuer: "issuer", subject: "alice" };
    assert_eq!(store.identity(login).expect("reads"), Some(me()));
    assert!(matches!(write(&store, &patch(3, "phone", &[("gone", Op::Remove, "")])), Decision::Repeated { version: 4, .. }));
    assert!(matches!(write(&store, &patch(4, "phone", &[("theme", Op::Put, "1")])), Decision::Written { version: 5, .. }));
    // And with what is new: history, tombstones that go, an identity that can be erased with its logins.
    assert_eq!(store.records_at(&me(), &dataset(), 4).expect("reads").expect("kept").len(), 4);
    assert_eq!(
        reap(&store, &RetentionPolicy { tombstone_ms: 1, ..RetentionPolicy::default() }, 1_800_000_000_000)
            .iter()
            .map(|one| one.tombstones)
            .sum::<u64>(),
        2
    );
    let mut group = store.group();
    group.erase(&Identity::from("local:2")).expect("decides");
    group.commit().expect("commits");
    assert_eq!(store.identity(LoginKey { subject: "bob", ..login }).expect("reads"), None);
}

#[test]
fn a_store_of_format_2_opens_with_all_that_it_held() {
    let folder = tempfile::tempdir().expect("a folder");
    old_store(folder.path(), FORMAT_2);
    let store = Store::open(folder.path(), &CONFIG, &epoch("unused")).expect("opens");
    let head = store.head(&me(), &dataset()).expect("reads");
    assert_eq!((head.version, head.records, head.tombstones, head.floor, head.conflicts), (2, 2, 1, 0, 1));
    let records: Vec<_> = all(&store).into_iter().map(|record| (record.key.to_string(), record.version, record.content)).collect();
    let value = |json: &str| Content::Value(serde_json::from_str(json).expect("json"));
    let expected = [("n", 1, value("1")), ("a", 2, value("\"two\""))];
    assert_eq!(records, expected.map(|(key, version, content)| (key.to_owned(), version, content)));
    assert_eq!(store.records_at(&me(), &dataset(), 1).expect("reads").expect("kept").len(), 3, "its history, too");
    assert_eq!(store.conflicts(&me(), &dataset()).expect("reads").len(), 1);
    assert_eq!(store.newest_patch(&me(), &device("phone")).expect("reads"), 2);
    assert!(matches!(write(&store, &patch(2, "phone", &[("b", Op::Remove, ""), ("a", Op::Put, "\"two\"")])), Decision::Repeated { .. }));
    assert_eq!(store.devices(&me()).expect("reads").len(), 2);
    assert_eq!(store.sleepers(&me()).expect("reads")[0].acknowledged, Vec::<u64>::new());
    let round = store.round(&me()).expect("reads").expect("something is owed");
    assert_eq!((round.owed[0].version, round.sleepers[0].acknowledged.as_slice()), (2, &[2][..]));
    // What was under way goes on, and no row is left where it was.
    let erased = Identity::from("local:2");
    assert_eq!(store.background_jobs(9).expect("reads"), std::slice::from_ref(&erased));
    finish_job(&store, &erased);
    let rows = store.engine.scan(b"\x01", &[u8::MAX], usize::MAX).expect("scans");
    assert!(rows.iter().all(|(key, _)| !key.windows(7).any(|part| part == b"local:2")));
    let moved = Kind::ALL.into_iter().filter(|kind| kind.is_with_its_identity());
    assert!(moved.clone().all(|kind| !rows.iter().any(|(key, _)| key.starts_with(&keys::kind(kind)))));
    // And they are somewhere.
    assert!(rows.iter().filter(|(key, _)| moved.clone().any(|kind| kind.is_of(key))).count() > 15);
}

#[test]
fn what_was_interrupted_is_done_again() {
    for (from, old) in [(1, FORMAT_1), (2, FORMAT_2)] {
        let folder = tempfile::tempdir().expect("a folder");
        old_store(folder.path(), old);
        let engine = SupervisedEngine::open(folder.path(), &CONFIG).expect("opens");
        assert_eq!(migrate::format(&engine), Ok(Some(from)));
        migrate::run(&engine, from).expect("migrates");
        assert_eq!(migrate::format(&engine), Ok(Some(migrate::FORMAT)));
        let before = engine.scan(b"\x01", &[u8::MAX], usize::MAX).expect("scans");
        // As if it had died before its last commit.
        let mark = (keys::meta("unfinished"), Some(rows::encode(&from).expect("a row")));
        engine.commit(vec![Batch { preconditions: Vec::new(), rows: vec![mark] }]).expect("commits");
        assert_eq!(migrate::format(&engine), Ok(Some(from)), "it is not taken for done");
        migrate::run(&engine, from).expect("migrates again");
        assert_eq!(engine.scan(b"\x01", &[u8::MAX], usize::MAX).expect("scans"), before);
    }
}

/// Each commit in turn fails: before it, and when only its answer is lost.
#[test]
fn whichever_commit_it_was_interrupted_at_it_ends_as_if_it_had_not_been() {
    for (from, old) in [(1, FORMAT_1), (2, FORMAT_2)] {
        for call in [FaultPoint::Commit, FaultPoint::Answer] {
            let mut expected = None;
            for nth in 1.. {
                let memory = Memory::default();
                let engine = SupervisedEngine::in_memory(&memory).expect("opens");
                fill(&engine, old);
                if expected.is_some() {
                    memory.fail_nth(call, nth - 1);
                }
                let whole = migrate::run(&engine, from).is_ok();
                memory.clear_faults();
                drop(engine);
                let engine = SupervisedEngine::in_memory(&memory).expect("opens again");
                match migrate::format(&engine).expect("reads") {
                    Some(migrate::FORMAT) => {}
                    found => migrate::run(&engine, found.expect("a format")).expect("migrates"),
                }
                let rows = engine.scan(b"\x01", &[u8::MAX], usize::MAX).expect("scans");
                assert_eq!(rows, *expected.get_or_insert(rows.clone()), "format {from}, {call:?} {nth}");
                if whole && nth > 1 {
                    assert!(nth > 10, "format {from}: only {nth} were tried");
                    break;
                }
            }
        }
    }
}

/// Some rows of a kind are moved and some are not.
#[test]
fn what_was_interrupted_halfway_goes_on() {
    let whole = tempfile::tempdir().expect("a folder");
    old_store(whole.path(), FORMAT_2);
    let engine = SupervisedEngine::open(whole.path(), &CONFIG).expect("opens");
    migrate::run(&engine, 2).expect("migrates");
    let expected = engine.scan(b"\x01", &[u8::MAX], usize::MAX).expect("scans");
    for moved in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        old_store(folder.path(), FORMAT_2);
        let engine = SupervisedEngine::open(folder.path(), &CONFIG).expect("opens");
        let mut rows = vec![(keys::meta("unfinished"), Some(rows::encode(&2_u32).expect("a row")))];
        let (kind, prefix) = (Kind::Device, keys::kind(Kind::Device));
        for (key, row) in engine.scan(&prefix, &keys::after(&prefix), moved).expect("scans") {
            let mut parts = keys::Parts::after(&key, &prefix).expect("a key");
            let identity = Identity::from(parts.name().expect("an identity"));
            rows.extend([([keys::owned(kind, &identity).as_slice(), parts.rest()].concat(), Some(row)), (key, None)]);
        }
        engine.commit(vec![Batch { preconditions: Vec::new(), rows }]).expect("commits");
        migrate::run(&engine, 2).expect("migrates");
        assert_eq!(engine.scan(b"\x01", &[u8::MAX], usize::MAX).expect("scans"), expected);
    }
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = SupervisedEngine::open(folder.path(), &CONFIG).expect("opens");
    let newer = migrate::format_row(migrate::FORMAT + 1).expect("a row");
    let epoch_row = (keys::meta("epoch"), Some(rows::encode(&epoch("first")).expect("a row")));
    // Even if it was left on its way there from this version's.
    let halfway = (keys::meta("unfinished"), Some(rows::encode(&migrate::FORMAT).expect("a row")));
    engine.commit(vec![Batch { preconditions: Vec::new(), rows: vec![newer, epoch_row, halfway] }]).expect("commits");
    drop(engine);
    let refused = Store::open(folder.path(), &CONFIG, &epoch("unused")).err().expect("is refused").to_string();
    assert!(refused.contains("format is 4") && refused.contains("newer"), "{refused}");
}

#[test]
fn what_cannot_be_read_is_told_before_anything_is_changed() {
    let under = |kind: Kind, rest: &[u8]| [keys::kind(kind).as_slice(), rest].concat();
    let of_dataset = b"\0\x07local:1\0\x01d";
    let version = under(Kind::Version, &[of_dataset.as_slice(), &9_u64.to_be_bytes(), &[0; 4]].concat());
    let cases = [
        (2, FORMAT_2, under(Kind::Device, b"endless"), &b""[..], "Device"),
        // A record cut short, a login that leads nowhere, a head and an identity that say nothing.
        (1, FORMAT_1, version, &[0, 1, 0xc1][..], "Version"),
        (1, FORMAT_1, keys::login("demo", "issuer", "eve"), &[0xc1][..], "Login"),
        (1, FORMAT_1, under(Kind::Head, &of_dataset[..]), &[0xc1][..], "Head"),
        (1, FORMAT_1, under(Kind::Identity, b"\0\x07local:9"), &[0xc1][..], "Identity"),
    ];
    for (from, old, key, row, kind) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        old_store(folder.path(), old);
        let engine = SupervisedEngine::open(folder.path(), &CONFIG).expect("opens");
        engine.commit(vec![Batch { preconditions: Vec::new(), rows: vec![(key, Some(row.to_vec()))] }]).expect("commits");
        let before = engine.scan(&[0], &[u8::MAX], usize::MAX).expect("scans");
        drop(engine);
        let refused = Store::open(folder.path(), &CONFIG, &epoch("unused")).err().expect("is refused").to_string();
        assert!(refused.contains(&format!("({kind} ")) && refused.contains("No row was changed"), "{refused}");
        let why = if kind == "Device" { "a row's key" } else { "cannot be decoded" };
        assert!(refused.contains(why), "{refused}");
        let engine = SupervisedEngine::open(folder.path(), &CONFIG).expect("opens");
        assert_eq!(migrate::format(&engine), Ok(Some(from)));
        assert_eq!(engine.scan(&[0], &[u8::MAX], usize::MAX).expect("scans"), before);
    }
}

/// An older version of the steps met it when the format was raised: that it is as before would not be true.
#[test]
fn what_was_left_halfway_at_a_damaged_row_says_so_without_promising_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    old_store(folder.path(), FORMAT_2);
    let engine = SupervisedEngine::open(folder.path(), &CONFIG).expect("opens");
    let mark = (keys::meta("unfinished"), Some(rows::encode(&2_u32).expect("a row")));
    let row = ([keys::kind(Kind::Device).as_slice(), b"endless"].concat(), Some(Vec::new()));
    let format = migrate::format_row(migrate::FORMAT).expect("a row");
    engine.commit(vec![Batch { preconditions: Vec::new(), rows: vec![mark, row, format] }]).expect("commits");
    drop(engine);
    let refused = Store::open(folder.path(), &CONFIG, &epoch("unused")).err().expect("is refused").to_string();
    assert!(refused.contains("a row's key") && !refused.contains("No row was changed"), "{refused}");
}
