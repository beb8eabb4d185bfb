use std::path::Path;

use super::*;
use crate::store::engine::config::EngineKind;
use crate::store::engine::layout;
use crate::store::engine::memory::{FaultPoint, Memory};

const CONFIG: EngineConfig = EngineConfig::cached(16);

fn put(key: &str, value: &str) -> Batch {
    Batch::unfenced(vec![(key.into(), Some(value.into()))])
}

fn get(engine: &EmbeddedEngine, key: &str) -> Result<Option<String>, EngineError> {
    Ok(engine.get(key.as_bytes())?.map(|value| String::from_utf8(value).expect("text")))
}

fn value(engine: &EmbeddedEngine, key: &str) -> Option<String> {
    get(engine, key).expect("reads")
}

fn open_in(memory: &Memory) -> EmbeddedEngine {
    EmbeddedEngine::in_memory(memory).expect("opens")
}

#[test]
fn after_a_commit_with_an_unknown_outcome_every_call_is_refused_until_recovery() {
    // Whether the commit is there after recovery depends on where it failed.
    for (point, is_there) in [(FaultPoint::Commit, false), (FaultPoint::Flush, false), (FaultPoint::Answer, true)] {
        let memory = Memory::default();
        let engine = open_in(&memory);
        engine.commit(vec![put("a", "1")]).expect("commits");
        memory.fail_nth(point, 1);
        assert!(matches!(engine.commit(vec![put("a", "2")]), Err(EngineError::Io(_))), "{point:?}");
        assert!(engine.is_failed());
        let failed = |outcome| matches!(outcome, Err(EngineError::Failed(why)) if why.contains("made to fail"));
        assert!(failed(engine.get(b"a").map(drop)), "the engine may show rows that are not durable");
        assert!(failed(engine.scan(b"a", b"z", 9).map(drop)));
        assert!(failed(engine.commit(vec![put("b", "1")]).map(drop)));
        assert!(failed(engine.bytes_on_disk().map(drop)));
        engine.recover().expect("recovers");
        assert!(!engine.is_failed());
        assert_eq!(value(&engine, "a").as_deref(), Some(if is_there { "2" } else { "1" }), "{point:?}");
        engine.commit(vec![put("a", "3")]).expect("commits again");
        assert_eq!(value(&engine, "a").as_deref(), Some("3"));
    }
}

#[test]
fn a_failed_store_stays_failed_until_it_can_be_opened() {
    let memory = Memory::default();
    let engine = open_in(&memory);
    engine.commit(vec![put("a", "1")]).expect("commits");
    memory.fail_always(FaultPoint::Flush);
    memory.fail_always(FaultPoint::Open);
    engine.commit(vec![put("a", "2")]).expect_err("fails");
    for _ in 0..2 {
        assert!(matches!(engine.recover(), Err(EngineError::Open(_))));
        assert!(
            matches!(get(&engine, "a"), Err(EngineError::Failed(why)) if why.contains("Open was made to fail")),
            "the error says what prevents recovery now"
        );
    }
    memory.clear_faults();
    engine.recover().expect("recovers");
    engine.recover().expect("a second call does nothing");
    assert_eq!(value(&engine, "a").as_deref(), Some("1"));
}

#[test]
fn a_failed_read_fails_nothing_else() {
    let memory = Memory::default();
    let engine = open_in(&memory);
    engine.commit(vec![put("a", "1")]).expect("commits");
    memory.fail_nth(FaultPoint::Get, 2);
    memory.fail_nth(FaultPoint::Scan, 1);
    assert_eq!(value(&engine, "a").as_deref(), Some("1"));
    assert!(matches!(get(&engine, "a"), Err(EngineError::Io(_))));
    assert!(matches!(engine.scan(b"a", b"z", 9), Err(EngineError::Io(_))));
    assert!(!engine.is_failed());
    assert_eq!(engine.scan(b"a", b"z", 9).expect("scans").len(), 1);
}

#[test]
fn a_full_disk_refuses_only_writes() {
    let memory = Memory::default();
    let engine = open_in(&memory);
    engine.commit(vec![put("a", "1")]).expect("commits");
    memory.fail_always(FaultPoint::Space);
    assert!(matches!(engine.commit(vec![put("a", "2")]), Err(EngineError::Full(_))));
    assert!(!engine.is_failed());
    assert_eq!(value(&engine, "a").as_deref(), Some("1"));
    memory.clear_faults();
    engine.commit(vec![put("a", "3")]).expect("commits");
    assert_eq!(value(&engine, "a").as_deref(), Some("3"));
}

#[test]
fn a_damaged_row_fails_only_calls_that_need_it() {
    let memory = Memory::default();
    let engine = open_in(&memory);
    engine.commit(vec![put("a", "1"), put("b", "1")]).expect("commits");
    assert!(memory.damage(b"a"));
    assert!(get(&engine, "a").expect_err("is damaged").to_string().contains("restore"));
    assert!(!engine.is_failed());
    assert_eq!(value(&engine, "b").as_deref(), Some("1"));
    engine.commit(vec![put("b", "3")]).expect("commits");
}

#[test]
fn a_panic_of_the_engine_is_an_error() {
    let memory = Memory::default();
    let engine = open_in(&memory);
    engine.commit(vec![put("a", "1")]).expect("commits");
    memory.panic_next(FaultPoint::Get);
    assert!(matches!(get(&engine, "a"), Err(EngineError::Damaged(why)) if why.contains("made to panic")));
    assert_eq!(value(&engine, "a").as_deref(), Some("1"), "a panicking read does not fail other reads");
    memory.panic_next(FaultPoint::Flush);
    assert!(matches!(engine.commit(vec![put("a", "2")]), Err(EngineError::Damaged(_))));
    assert!(engine.is_failed(), "the outcome of the commit is unknown");
    memory.panic_next(FaultPoint::Open);
    assert!(matches!(engine.recover(), Err(EngineError::Damaged(_))));
    engine.recover().expect("recovers");
    assert_eq!(value(&engine, "a").as_deref(), Some("1"));
}

#[test]
fn rows_are_visible_only_once_they_are_durable() {
    let memory = Memory::default();
    let engine = open_in(&memory);
    engine.commit(vec![put("a", "1")]).expect("commits");
    memory.hold_flushes();
    std::thread::scope(|threads| {
        let committing = threads.spawn(|| engine.commit(vec![put("a", "2")]));
        memory.wait_for_held_flush();
        assert_eq!(value(&engine, "a").as_deref(), Some("1"), "a read neither waits for the disk nor sees what is not on it");
        memory.release_flushes();
        committing.join().expect("ends").expect("commits");
    });
    assert_eq!(value(&engine, "a").as_deref(), Some("2"));
    memory.fail_nth(FaultPoint::Flush, 1);
    engine.commit(vec![put("a", "3")]).expect_err("fails");
    assert_eq!(value(&open_in(&memory), "a").as_deref(), Some("2"));
}

#[test]
fn after_an_unknown_outcome_every_decision_is_made_again() {
    let owner = Owner::from(b"o".as_slice());
    for point in [FaultPoint::Flush, FaultPoint::Answer] {
        let memory = Memory::default();
        let engine = open_in(&memory);
        let before = engine.fence(&owner);
        let fenced = |value: &str| Batch { fences: vec![(owner.clone(), before)], ..put("a", value) };
        memory.fail_nth(point, 1);
        engine.commit(vec![fenced("1")]).expect_err("fails");
        engine.recover().expect("recovers");
        assert_eq!(engine.commit(vec![fenced("2")]), Ok(vec![CommitOutcome::Stale]), "{point:?}: the commit may be there");
    }
}

#[test]
fn scans_do_not_return_the_engines_own_rows() {
    let engine = open_in(&Memory::default());
    engine.commit(vec![put("a", "1")]).expect("commits");
    assert_eq!(engine.scan(b"", b"\xff", usize::MAX).expect("scans"), [(b"a".to_vec(), b"1".to_vec())]);
    assert_eq!(engine.get(commit_counter::COUNT_KEY).expect("reads"), Some(1u64.to_be_bytes().to_vec()));
}

#[test]
fn a_row_over_the_bound_is_refused_without_failing_the_store() {
    let engine = open_in(&Memory::default());
    let over = Batch::unfenced(vec![(b"a".to_vec(), Some(vec![0; ROW_BYTES + 1]))]);
    assert!(matches!(engine.commit(vec![put("b", "1"), over]), Err(EngineError::Io(why)) if why.contains("over the engine's")));
    assert!(!engine.is_failed());
    assert_eq!(value(&engine, "b"), None);
}

#[test]
fn each_engine_locks_its_folder_and_reopens_it() {
    for kind in [EngineKind::Sled, EngineKind::Redb] {
        let folder = tempfile::tempdir().expect("folder");
        let config = EngineConfig { engine: kind, ..CONFIG };
        let engine = EmbeddedEngine::open(folder.path(), &config, |_| false).expect("opens");
        engine.commit(vec![put("a", "1")]).expect("commits");
        let second = EmbeddedEngine::open(folder.path(), &config, |_| false).err().expect("is held").to_string();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");
        drop(engine);
        assert_eq!(value(&EmbeddedEngine::open(folder.path(), &config, |_| false).expect("opens again"), "a").as_deref(), Some("1"));
        let other = if kind == EngineKind::Sled { EngineKind::Redb } else { EngineKind::Sled };
        let refused = EmbeddedEngine::open(folder.path(), &EngineConfig { engine: other, ..CONFIG }, |_| false)
            .err()
            .expect("is refused")
            .to_string();
        assert!(refused.contains(&format!("set store.engine to \"{}\"", kind.name())), "{refused}");
    }
}

#[test]
fn a_store_that_has_lost_commits_is_refused_until_the_loss_is_accepted() {
    for kind in [EngineKind::Sled, EngineKind::Redb] {
        let folder = tempfile::tempdir().expect("folder");
        let older = tempfile::tempdir().expect("folder");
        let config = EngineConfig { engine: kind, ..CONFIG };
        let open = || EmbeddedEngine::open(folder.path(), &config, |_| false);
        let fill = |rows: std::ops::Range<u8>| {
            let engine = open().expect("opens");
            rows.for_each(|n| drop(engine.commit(vec![put(&n.to_string(), "1")]).expect("commits")));
        };
        fill(0..2);
        copy(folder.path(), older.path());
        fill(2..5);
        std::fs::remove_dir_all(folder.path()).expect("is removed");
        copy(older.path(), folder.path());
        std::fs::write(folder.path().join(layout::COMMIT_COUNT), count_file(5)).expect("writes");
        let refused = open().err().expect("is refused").to_string();
        assert!(refused.contains("last 3 commits are missing") && refused.contains("restore"), "{refused}");
        std::fs::remove_file(folder.path().join(layout::COMMIT_COUNT)).expect("is removed");
        let engine = open().expect("the loss is accepted");
        assert_eq!((value(&engine, "1").as_deref(), value(&engine, "2")), (Some("1"), None));
    }
}

/// A process that is killed at any of these moments leaves the file as it is then.
#[test]
fn the_count_is_noted_behind_the_answers_and_at_the_latest_with_the_next_commit() {
    let folder = tempfile::tempdir().expect("folder");
    let noted = || std::fs::read(folder.path().join(layout::COMMIT_COUNT)).expect("reads");
    let engine = EmbeddedEngine::open(folder.path(), &EngineConfig::cached(16), |_| false).expect("opens");
    engine.commit(vec![put("a", "1")]).expect("commits");
    assert_eq!(noted(), count_file(0), "the answers do not wait for it");
    engine.after_answers();
    assert_eq!(noted(), count_file(1));
    engine.commit(vec![put("a", "2")]).expect("commits");
    engine.commit(vec![put("a", "3")]).expect("commits");
    assert_eq!(noted(), count_file(2), "one is not noted, whatever the caller does");
    drop(engine);
    assert_eq!(noted(), count_file(3));
}

#[test]
fn a_folder_without_its_data_is_not_taken_for_a_new_one() {
    for kind in [EngineKind::Sled, EngineKind::Redb] {
        let folder = tempfile::tempdir().expect("folder");
        let config = EngineConfig { engine: kind, ..CONFIG };
        EmbeddedEngine::open(folder.path(), &config, |_| false).expect("opens").commit(vec![put("a", "1")]).expect("commits");
        std::fs::remove_file(folder.path().join(layout::tree_file(kind))).expect("is removed");
        let refused = EmbeddedEngine::open(folder.path(), &config, |_| false).err().expect("is refused").to_string();
        assert!(refused.contains("has no data") && refused.contains("restore"), "{refused}");
    }
}

#[test]
fn an_unfinished_page_table_does_not_prevent_opening() {
    let folder = tempfile::tempdir().expect("folder");
    EmbeddedEngine::open(folder.path(), &CONFIG, |_| false).expect("opens").commit(vec![put("a", "1")]).expect("commits");
    std::fs::write(folder.path().join("snap.FFFFFFFFFFFFFFFF.generating"), b"half a table").expect("writes");
    assert_eq!(value(&EmbeddedEngine::open(folder.path(), &CONFIG, |_| false).expect("opens again"), "a").as_deref(), Some("1"));
}

/// The contents of the file with the commit count, as the engine writes it.
fn count_file(count: u64) -> Vec<u8> {
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("is made");
    for entry in std::fs::read_dir(from).expect("reads") {
        let path = entry.expect("an entry").path();
        let name = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &name);
        } else {
            std::fs::copy(&path, &name).expect("copies");
        }
    }
}
