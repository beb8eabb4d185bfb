//! Fills up a small file system: writes are refused or fail, reads go on where they can, nothing acknowledged is lost, and writes go on
//! once there is space again.
//!
//! Needs root and a loop device (`small_disk`).

use super::*;
use crate::store::engine::config::EngineKind;
use crate::store::engine::small_disk::SmallDisk;

/// The part of it that is free for the store.
const FREE_MIB: u64 = 80;

/// The reserve: the rows of the journal still have to be flushed to the tree.
const RESERVE_MIB: u64 = 32;

/// Rows of a commit, of 32 KiB each.
const ROWS: u32 = 8;

fn config(kind: EngineKind, reserve_mib: u64) -> EngineConfig {
    EngineConfig { engine: kind, cache_mib: 16, reserve_mib, ..EngineConfig::default() }
}

fn key(n: u32, row: u32) -> Bytes {
    format!("{n:08}.{row}").into_bytes()
}

fn batch(n: u32) -> Batch {
    Batch::unfenced((0..ROWS).map(|row| (key(n, row), Some(vec![n as u8; 32 * 1024]))).collect())
}

/// Commits until one fails. Returns the number of commits before it and its error.
fn commit_until_it_fails(engine: &EmbeddedEngine) -> (u32, EngineError) {
    for n in 0.. {
        if let Err(error) = engine.commit(vec![batch(n)]) {
            return (n, error);
        }
    }
    unreachable!("the disk is not endless");
}

/// All acknowledged commits are there, and the next one whole or not at all.
fn check(engine: &EmbeddedEngine, commits: u32) {
    check_readable(engine, commits).unwrap_or_else(|error| panic!("{error}"));
}

/// The same, or why the rows cannot be read.
fn check_readable(engine: &EmbeddedEngine, commits: u32) -> Result<(), EngineError> {
    for n in 0..=commits {
        let keys: Vec<Bytes> = (0..ROWS).map(|row| key(n, row)).collect();
        let rows = keys.iter().map(|key| engine.get(key)).collect::<Result<Vec<_>, _>>()?;
        let whole = rows.iter().all(|row| row.as_ref().is_some_and(|row| row.len() == 32 * 1024 && row[0] == n as u8));
        assert!(whole || (n == commits && rows.iter().all(Option::is_none)), "commit {n} of {commits}");
    }
    Ok(())
}

fn a_disk_that_fills_up_refuses_writes_and_loses_nothing(kind: EngineKind) {
    let Some(disk) = SmallDisk::new() else { return };
    disk.fill(FREE_MIB);
    let config = config(kind, RESERVE_MIB);
    let engine = EmbeddedEngine::open(&disk.store(), &config, |_| false).expect("opens");
    let (commits, error) = commit_until_it_fails(&engine);
    assert!(matches!(error, EngineError::Full(_)), "{error}");
    assert!(commits > 10, "{commits}");
    check(&engine, commits);
    let neutral = Batch::unfenced(vec![(b"gone".to_vec(), None), (b"note".to_vec(), Some(b"erased".to_vec()))]);
    // A flush that still runs frees a file of the journal when it is done.
    let refused = (0..100).find_map(|_| {
        disk.fill(RESERVE_MIB - 1);
        engine.commit(vec![neutral.clone()]).err()
    });
    assert!(matches!(refused, Some(EngineError::Full(_))), "it sets as many rows as it deletes: {refused:?}");
    let deleting = Batch { rows: vec![(b"none".to_vec(), None)], ..neutral };
    engine.commit(vec![deleting]).expect("a commit that deletes more than it sets may use half of the reserve");
    drop(engine);
    let engine = EmbeddedEngine::open(&disk.store(), &config, |_| false).expect("the reserve is enough to reopen it");
    check(&engine, commits);
    disk.fill(RESERVE_MIB - 1);
    assert!(matches!(engine.commit(vec![batch(commits)]), Err(EngineError::Full(_))));
    disk.remove_ballast();
    engine.commit(vec![batch(commits)]).expect("there is space again");
    drop(engine);
    check(&EmbeddedEngine::open(&disk.store(), &config, |_| false).expect("opens"), commits + 1);
}

/// Without a reserve the engine itself meets the full disk.
fn an_engine_that_meets_a_full_disk_recovers(kind: EngineKind) {
    let Some(disk) = SmallDisk::new() else { return };
    disk.fill(FREE_MIB / 2);
    let config = config(kind, 0);
    let engine = EmbeddedEngine::open(&disk.store(), &config, |_| false).expect("opens");
    let (mut commits, error) = commit_until_it_fails(&engine);
    assert!(matches!(error, EngineError::Full(_) | EngineError::Io(_)), "{error}");
    // The store may open on the space that is left, or say that it cannot.
    for _ in 0..2 {
        // A tree that has met a full disk may not be readable any more.
        if let Err(error) = engine.recover().and_then(|()| check_readable(&engine, commits)) {
            println!("{}: {error}", kind.name());
        }
    }
    disk.remove_ballast();
    // The flusher may have met the full disk: then the next commit reports it and fails the store.
    while let Err(error) = engine.recover().and_then(|()| engine.commit(vec![batch(commits)]).map(drop)) {
        println!("{}: {error}", kind.name());
        assert!(matches!(error, EngineError::Io(_)) && engine.is_failed(), "{error}");
    }
    commits += 1;
    // So may a read: the file system gives the freed blocks back only with its next own commit, and the flusher needs some.
    while let Err(error) = check_readable(&engine, commits) {
        println!("{}: {error}", kind.name());
        assert!(matches!(error, EngineError::Io(_) | EngineError::Failed(_)), "{error}");
        // If it fails, the next read says so.
        let _ = engine.recover();
    }
    drop(engine);
    check(&EmbeddedEngine::open(&disk.store(), &config, |_| false).expect("opens"), commits);
}

#[test]
fn sled_on_a_disk_that_fills_up() {
    a_disk_that_fills_up_refuses_writes_and_loses_nothing(EngineKind::Sled);
}

#[test]
fn redb_on_a_disk_that_fills_up() {
    a_disk_that_fills_up_refuses_writes_and_loses_nothing(EngineKind::Redb);
}

#[test]
fn sled_that_meets_a_full_disk() {
    an_engine_that_meets_a_full_disk_recovers(EngineKind::Sled);
}

#[test]
fn redb_that_meets_a_full_disk() {
    an_engine_that_meets_a_full_disk_recovers(EngineKind::Redb);
}
