use std::path::Path;

use super::super::memory::{Call, Memory};
use super::*;

const CONFIG: EngineConfig = EngineConfig::cached(16);

fn put(key: &str, value: &str) -> Batch {
    Batch { guards: Vec::new(), rows: vec![(key.into(), Some(value.into()))] }
}

fn get(handle: &Handle, key: &str) -> Result<Option<String>, EngineError> {
    Ok(handle.get(key.as_bytes())?.map(|value| String::from_utf8(value).expect("text")))
}

fn kept(handle: &Handle, key: &str) -> Option<String> {
    get(handle, key).expect("reads")
}

fn over(memory: &Memory) -> Handle {
    Handle::over(memory).expect("opens")
}

#[test]
fn after_a_commit_of_unknown_outcome_nobody_reads_until_it_is_open_again() {
    // Whether the next state holds the commit is what each failure leaves open.
    for (failing, holds) in [(Call::Commit, false), (Call::Flush, false), (Call::Answer, true)] {
        let memory = Memory::default();
        let handle = over(&memory);
        handle.commit(vec![put("a", "1")]).expect("commits");
        memory.fail_nth(failing, 1);
        assert!(matches!(handle.commit(vec![put("a", "2")]), Err(EngineError::Io(_))), "{failing:?}");
        assert!(handle.is_failed());
        let failed = |outcome| matches!(outcome, Err(EngineError::Failed(why)) if why.contains("made to fail"));
        assert!(failed(handle.get(b"a").map(drop)), "what was not durable may be seen in there");
        assert!(failed(handle.scan(b"a", b"z", 9).map(drop)));
        assert!(failed(handle.commit(vec![put("b", "1")]).map(drop)));
        assert!(failed(handle.bytes_on_disk().map(drop)));
        handle.recover().expect("recovers");
        assert!(!handle.is_failed());
        assert_eq!(kept(&handle, "a").as_deref(), Some(if holds { "2" } else { "1" }), "{failing:?}");
        handle.commit(vec![put("a", "3")]).expect("commits again");
        assert_eq!(kept(&handle, "a").as_deref(), Some("3"));
    }
}

#[test]
fn a_failed_store_stays_failed_until_the_disk_is_mended() {
    let memory = Memory::default();
    let handle = over(&memory);
    handle.commit(vec![put("a", "1")]).expect("commits");
    memory.fail_always(Call::Flush);
    memory.fail_always(Call::Open);
    handle.commit(vec![put("a", "2")]).expect_err("fails");
    for _ in 0..2 {
        assert!(matches!(handle.recover(), Err(EngineError::Open(_))));
        assert!(
            matches!(get(&handle, "a"), Err(EngineError::Failed(why)) if why.contains("Open was made to fail")),
            "says what is in the way now"
        );
    }
    memory.mend();
    handle.recover().expect("recovers");
    handle.recover().expect("and there is nothing more to do");
    assert_eq!(kept(&handle, "a").as_deref(), Some("1"));
}

#[test]
fn a_failed_read_costs_only_itself() {
    let memory = Memory::default();
    let handle = over(&memory);
    handle.commit(vec![put("a", "1")]).expect("commits");
    memory.fail_nth(Call::Get, 2);
    memory.fail_nth(Call::Scan, 1);
    assert_eq!(kept(&handle, "a").as_deref(), Some("1"));
    assert!(matches!(get(&handle, "a"), Err(EngineError::Io(_))));
    assert!(matches!(handle.scan(b"a", b"z", 9), Err(EngineError::Io(_))));
    assert!(!handle.is_failed());
    assert_eq!(handle.scan(b"a", b"z", 9).expect("scans").len(), 1);
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let memory = Memory::default();
    let handle = over(&memory);
    handle.commit(vec![put("a", "1")]).expect("commits");
    memory.fail_always(Call::Space);
    assert!(matches!(handle.commit(vec![put("a", "2")]), Err(EngineError::Full(_))));
    assert!(!handle.is_failed());
    assert_eq!(kept(&handle, "a").as_deref(), Some("1"));
    memory.mend();
    handle.commit(vec![put("a", "3")]).expect("commits");
    assert_eq!(kept(&handle, "a").as_deref(), Some("3"));
}

#[test]
fn a_damaged_row_costs_only_whoever_needs_it() {
    let memory = Memory::default();
    let handle = over(&memory);
    handle.commit(vec![put("a", "1"), put("b", "1")]).expect("commits");
    assert!(memory.damage(b"a"));
    assert!(get(&handle, "a").expect_err("is damaged").to_string().contains("restore"));
    let guarded = Batch { guards: vec![(b"a".to_vec(), None)], ..put("b", "2") };
    assert!(matches!(handle.commit(vec![guarded]), Err(EngineError::Damaged(_))));
    assert!(!handle.is_failed());
    assert_eq!(kept(&handle, "b").as_deref(), Some("1"));
    handle.commit(vec![put("b", "3")]).expect("commits");
}

#[test]
fn a_panic_of_the_engine_is_an_error() {
    let memory = Memory::default();
    let handle = over(&memory);
    handle.commit(vec![put("a", "1")]).expect("commits");
    memory.panic_next(Call::Get);
    assert!(matches!(get(&handle, "a"), Err(EngineError::Damaged(why)) if why.contains("made to panic")));
    assert_eq!(kept(&handle, "a").as_deref(), Some("1"), "a read that panicked leaves the others alone");
    memory.panic_next(Call::Flush);
    assert!(matches!(handle.commit(vec![put("a", "2")]), Err(EngineError::Damaged(_))));
    assert!(handle.is_failed(), "nobody knows what became of it");
    memory.panic_next(Call::Open);
    assert!(matches!(handle.recover(), Err(EngineError::Damaged(_))));
    handle.recover().expect("recovers");
    assert_eq!(kept(&handle, "a").as_deref(), Some("1"));
}

#[test]
fn what_was_not_flushed_is_gone_after_a_crash() {
    let memory = Memory::default();
    let handle = over(&memory);
    handle.commit(vec![put("a", "1")]).expect("commits");
    memory.fail_nth(Call::Flush, 1);
    handle.commit(vec![put("a", "2")]).expect_err("fails");
    assert_eq!(memory.rows().get(b"a".as_slice()), Some(&b"2".to_vec()), "it is seen in the engine");
    memory.crash();
    assert_eq!(kept(&over(&memory), "a").as_deref(), Some("1"));
}

#[test]
fn rows_of_the_engines_own_are_not_the_stores() {
    let handle = over(&Memory::default());
    handle.commit(vec![put("a", "1")]).expect("commits");
    assert_eq!(handle.scan(b"", b"\xff", usize::MAX).expect("scans"), [(b"a".to_vec(), b"1".to_vec())]);
    assert_eq!(handle.get(commits::KEY).expect("reads"), Some(1u64.to_be_bytes().to_vec()));
}

#[test]
fn a_row_over_the_bound_is_refused_and_fails_nothing() {
    let handle = over(&Memory::default());
    let over = Batch { guards: Vec::new(), rows: vec![(b"a".to_vec(), Some(vec![0; ROW_BYTES + 1]))] };
    assert!(matches!(handle.commit(vec![put("b", "1"), over]), Err(EngineError::Io(why)) if why.contains("over the engine's")));
    assert!(!handle.is_failed());
    assert_eq!(kept(&handle, "b"), None);
}

#[test]
fn each_engine_keeps_a_folder_and_opens_it_again() {
    for engine in [Kind::Sled, Kind::Redb] {
        let folder = tempfile::tempdir().expect("folder");
        let config = EngineConfig { engine, ..CONFIG };
        let handle = Handle::open(folder.path(), &config).expect("opens");
        handle.commit(vec![put("a", "1")]).expect("commits");
        let second = Handle::open(folder.path(), &config).err().expect("is held").to_string();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");
        drop(handle);
        assert_eq!(kept(&Handle::open(folder.path(), &config).expect("opens again"), "a").as_deref(), Some("1"));
        let other = if engine == Kind::Sled { Kind::Redb } else { Kind::Sled };
        let refused = Handle::open(folder.path(), &EngineConfig { engine: other, ..CONFIG }).err().expect("is refused").to_string();
        assert!(refused.contains(&format!("set store.engine to \"{}\"", engine.name())), "{refused}");
    }
}

#[test]
fn a_store_that_has_lost_commits_is_refused_until_the_loss_is_accepted() {
    for engine in [Kind::Sled, Kind::Redb] {
        let folder = tempfile::tempdir().expect("folder");
        let older = tempfile::tempdir().expect("folder");
        let config = EngineConfig { engine, ..CONFIG };
        let open = || Handle::open(folder.path(), &config);
        let fill = |rows: std::ops::Range<u8>| {
            let handle = open().expect("opens");
            rows.for_each(|n| drop(handle.commit(vec![put(&n.to_string(), "1")]).expect("commits")));
        };
        fill(0..2);
        copy(folder.path(), older.path());
        fill(2..5);
        std::fs::remove_dir_all(folder.path()).expect("is removed");
        copy(older.path(), folder.path());
        std::fs::write(folder.path().join(commits::FILE), noted(5)).expect("writes");
        let refused = open().err().expect("is refused").to_string();
        assert!(refused.contains("last 3 commits are missing") && refused.contains("restore"), "{refused}");
        std::fs::remove_file(folder.path().join(commits::FILE)).expect("is removed");
        let handle = open().expect("the loss is accepted");
        assert_eq!((kept(&handle, "1").as_deref(), kept(&handle, "2")), (Some("1"), None));
    }
}

#[test]
fn a_folder_from_before_the_journal_gets_one() {
    for engine in [Kind::Sled, Kind::Redb] {
        let folder = tempfile::tempdir().expect("folder");
        let config = EngineConfig { engine, ..CONFIG };
        Handle::open(folder.path(), &config).expect("opens").commit(vec![put("a", "1")]).expect("commits");
        super::super::journal::FILES.iter().for_each(|name| std::fs::remove_file(folder.path().join(name)).expect("is removed"));
        let mark = folder.path().join("engine");
        std::fs::write(&mark, format!("{} 1\n", engine.name())).expect("writes");
        let handle = Handle::open(folder.path(), &config).expect("opens");
        assert_eq!(kept(&handle, "a").as_deref(), Some("1"));
        assert_eq!(
            std::fs::read_to_string(&mark).expect("reads"),
            format!("{} 2\n", engine.name()),
            "an older version refuses it from now on"
        );
        handle.commit(vec![put("a", "2")]).expect("commits");
        drop(handle);
        assert_eq!(kept(&Handle::open(folder.path(), &config).expect("opens"), "a").as_deref(), Some("2"));
    }
}

#[test]
fn a_folder_whose_data_is_gone_is_not_taken_for_a_new_one() {
    for engine in [Kind::Sled, Kind::Redb] {
        let folder = tempfile::tempdir().expect("folder");
        let config = EngineConfig { engine, ..CONFIG };
        Handle::open(folder.path(), &config).expect("opens").commit(vec![put("a", "1")]).expect("commits");
        std::fs::remove_file(folder.path().join(engine.data_file())).expect("is removed");
        let refused = Handle::open(folder.path(), &config).err().expect("is refused").to_string();
        assert!(refused.contains("has no data") && refused.contains("restore"), "{refused}");
    }
}

#[test]
fn what_a_crash_left_of_opening_does_not_keep_it_from_opening() {
    let folder = tempfile::tempdir().expect("folder");
    Handle::open(folder.path(), &CONFIG).expect("opens").commit(vec![put("a", "1")]).expect("commits");
    std::fs::write(folder.path().join("snap.FFFFFFFFFFFFFFFF.generating"), b"half a table").expect("writes");
    assert_eq!(kept(&Handle::open(folder.path(), &CONFIG).expect("opens again"), "a").as_deref(), Some("1"));
}

/// The file of a count, as the engine writes it.
fn noted(count: u64) -> Vec<u8> {
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
