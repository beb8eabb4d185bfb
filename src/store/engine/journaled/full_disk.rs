//! A full disk while a journal file is used again. Where a file system overwrites in place that needs no space; here the file has holes, as on
//! one that writes every block to a new place.

use std::time::Instant;

use rustix::fs::{FallocateFlags, fallocate};

use super::fixture::{JournaledFixture, batch, check};
use super::*;
use crate::store::engine::aligned_buffer::BLOCK_BYTES;
use crate::store::engine::small_disk::SmallDisk;

/// For the flusher to see that there is space.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a file need space again from a place on.
fn punch(path: &Path, from: u64, bytes: u64) {
    let file = std::fs::File::options().write(true).open(path).expect("opens");
    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, from, bytes).expect("makes a hole");
    file.sync_all().expect("syncs");
}

/// The file that commits are appended to, and the end of its records.
fn active(engine: &JournaledTree) -> (PathBuf, u64) {
    let journal = engine.journal.lock().expect("not poisoned");
    let journal = journal.as_ref().expect("is open");
    (journal.path().to_owned(), journal.length())
}

/// Commits until one is refused; returns the next commit's number.
fn commit_until_full(engine: &JournaledTree, first: u32) -> u32 {
    for n in first..100_000 {
        match engine.write(batch(n)) {
            Ok(()) => {}
            Err(EngineError::Full(_)) => return n,
            Err(error) => panic!("commit {n}: {error}"),
        }
    }
    panic!("the disk is not endless");
}

fn commit_once_there_is_space(engine: &JournaledTree, n: u32) {
    let begun = Instant::now();
    while let Err(error) = engine.write(batch(n)) {
        assert!(matches!(error, EngineError::Full(_)) && begun.elapsed() < PATIENCE, "{error}");
        std::thread::yield_now();
    }
}

#[test]
fn a_record_that_finds_no_space_in_a_reused_file_is_written_once_there_is_some() {
    let Some(disk) = SmallDisk::new() else { return };
    let (folder, fixture) = (disk.store(), JournaledFixture::new());
    std::fs::create_dir(&folder).expect("is made");
    let engine = fixture.open_at(&folder, fixture.tree.clone());
    (0..200).for_each(|n| engine.write(batch(n)).expect("commits"));
    let (path, end) = active(&engine);
    punch(&path, end, 1 << 20);
    disk.fill_up();
    let done = commit_until_full(&engine, 200);
    assert!(matches!(engine.write(batch(done)), Err(EngineError::Full(_))), "again");
    check(&engine, 0..done);
    disk.remove_ballast();
    commit_once_there_is_space(&engine, done);
    commit_once_there_is_space(&engine, done + 1);
    drop(engine);
    check(&fixture.open_at(&folder, fixture.tree.clone()), 0..done + 2);
}

#[test]
fn a_file_that_finds_no_space_for_its_new_header_is_recycled_once_there_is_some() {
    let Some(disk) = SmallDisk::new() else { return };
    let (folder, fixture) = (disk.store(), JournaledFixture::new());
    std::fs::create_dir(&folder).expect("is made");
    let engine = fixture.open_at(&folder, fixture.tree.clone());
    (0..200).for_each(|n| engine.write(batch(n)).expect("commits"));
    // The next rotation passes the active file to the flusher, which has to write its header.
    let (path, _) = active(&engine);
    punch(&path, 0, BLOCK_BYTES as u64);
    disk.fill_up();
    let done = commit_until_full(&engine, 200);
    let waits = || engine.shared.flush_state().waiting_for_space.clone();
    assert!(waits().is_some_and(|error| error.to_string().contains("journal.")), "{:?}", waits());
    check(&engine, 0..done);
    disk.remove_ballast();
    commit_once_there_is_space(&engine, done);
    let begun = Instant::now();
    while let Some(error) = waits() {
        assert!(begun.elapsed() < PATIENCE, "{error}");
        std::thread::yield_now();
    }
    drop(engine);
    assert_eq!(fixture.tree.state().rows.clone().into_iter().collect::<Vec<_>>(), super::fixture::rows(0..done + 1));
    check(&fixture.open_at(&folder, fixture.tree.clone()), 0..done + 1);
}
