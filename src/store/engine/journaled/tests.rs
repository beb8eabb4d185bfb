use std::sync::atomic::Ordering;

use super::fake_tree::FakeTree;
use super::fixture::{JournaledFixture, batch, check, commit_until_half_flushed, commit_until_half_flushed_from, rows};
use super::*;
use crate::store::engine::aligned_buffer::BLOCK_BYTES;

#[test]
fn a_half_flushed_memtable_is_not_visible() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    let next = commit_until_half_flushed(&fixture, &engine);
    assert!(!fixture.tree.state().rows.is_empty());
    check(&engine, 0..next);
    engine.write(batch(next)).expect("commits");
    check(&engine, 0..next + 1);
    fixture.tree.hold(false);
    drop(engine);
    assert_eq!(fixture.tree.state().rows.clone().into_iter().collect::<Vec<_>>(), rows(0..next + 1), "closing flushes everything");
    check(&fixture.open(), 0..next + 1);
}

#[test]
fn a_crash_during_a_flush_loses_nothing() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    let next = commit_until_half_flushed(&fixture, &engine);
    engine.write(batch(next)).expect("commits");
    let (folder, tree) = fixture.copy_as_crashed();
    fixture.tree.hold(false);
    let again = fixture.open_at(folder.path(), tree.clone());
    check(&again, 0..next + 1);
    again.write(batch(next + 1)).expect("goes on");
    check(&again, 0..next + 2);
    drop(again);
    assert_eq!(tree.state().rows.clone().into_iter().collect::<Vec<_>>(), rows(0..next + 2));
}

#[test]
fn the_engines_own_rows_are_flushed_last() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    (0..9).for_each(|n| engine.write(batch(n)).expect("commits"));
    drop(engine);
    let written = fixture.tree.state().written.clone();
    assert_eq!(written.last(), Some(&commit_counter::COUNT_KEY.to_vec()));
    assert_eq!(written.iter().filter(|key| *key == b"head").count(), 1, "nine commits set it, and it is flushed once");
}

#[test]
fn the_next_commit_reports_a_failed_flush_and_nothing_is_lost() {
    for (error, panics) in [(Some(EngineError::Io("the disk is gone".to_owned())), false), (None, true)] {
        let fixture = JournaledFixture::new();
        (fixture.tree.state().error, fixture.tree.state().panics) = (error.clone(), panics);
        let engine = fixture.open();
        let done = (0..1000).map_while(|n| engine.write(batch(n)).ok()).count() as u32;
        let reported = engine.write(batch(done)).expect_err("the flusher has failed");
        assert!(matches!(reported, EngineError::Io(_)), "opening it again may help: {reported}");
        check(&engine, 0..done);
        drop(engine);
        (fixture.tree.state().error, fixture.tree.state().panics) = (None, false);
        let engine = fixture.open();
        check(&engine, 0..done);
        engine.write(batch(done)).expect("commits again");
        drop(engine);
        assert_eq!(fixture.tree.state().rows.clone().into_iter().collect::<Vec<_>>(), rows(0..done + 1));
    }
}

#[test]
fn a_tree_that_panics_twice_is_damaged() {
    let fixture = JournaledFixture::new();
    fixture.tree.state().panics = true;
    let mut done = 0;
    for is_damaged in [false, true, true] {
        let engine = fixture.open();
        check(&engine, 0..done);
        let reported = loop {
            match engine.write(batch(done)) {
                Ok(_) => done += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(matches!(reported, EngineError::Damaged(_)), is_damaged, "{reported}");
    }
}

/// After a crash during a flush something is missing: the end of the older file, its contents, the whole file, or the end of the tree.
/// Opening is refused and changes nothing, unless the operator accepts the loss.
#[test]
fn a_gap_between_the_files_and_the_tree_is_refused() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    (0..3).for_each(|n| engine.write(batch(n)).expect("commits"));
    drop(engine);
    let engine = fixture.open();
    let next = commit_until_half_flushed_from(&fixture, &engine, 3);
    engine.write(batch(next)).expect("commits");
    type Removal = fn(&Path, &FakeTree);
    let older = |folder: &Path| journal::paths(folder).into_iter().min_by_key(|path| generation(path)).expect("two");
    let removals: [Removal; 4] = [
        |older, _| cut(older, BLOCK_BYTES as u64 - 5),
        |older, _| std::fs::write(older, b"").expect("writes"),
        |older, _| std::fs::remove_file(older).expect("is removed"),
        |_, tree| drop(tree.state().rows.remove(commit_counter::COUNT_KEY)),
    ];
    for (n, remove) in removals.into_iter().enumerate() {
        let (folder, tree) = fixture.copy_as_crashed();
        remove(&older(folder.path()), &tree);
        let before = (contents(folder.path()), tree.state().rows.clone());
        let refused = fixture.try_open(folder.path(), tree.clone(), true).err().unwrap_or_else(|| panic!("{n} is refused"));
        assert!(matches!(refused, EngineError::Damaged(_)), "{refused}");
        let mut after = (contents(folder.path()), tree.state().rows.clone());
        after.0.retain(|(name, bytes)| !bytes.is_empty() || before.0.iter().any(|(known, _)| known == name));
        assert_eq!(after, before, "nothing was flushed");
        let accepted = fixture.try_open(folder.path(), tree, false).expect("the loss is accepted");
        accepted.write(batch(next + 1)).expect("commits");
        let newest = Some((next + 1).to_be_bytes().to_vec());
        assert_eq!(accepted.get(b"head").expect("reads"), newest);
    }
    fixture.tree.hold(false);
}

/// Somebody puts one of the two files of an earlier copy of the folder into its place. The tree has all commits of both.
#[test]
fn a_file_of_an_earlier_time_is_refused_though_no_commit_is_missing() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    engine.write(batch(0)).expect("commits");
    let (early, _) = fixture.copy_as_crashed();
    let mut next = 1;
    while journal::paths(fixture.folder.path()).iter().map(|path| generation(path)).min() < Some(4) {
        engine.write(batch(next)).expect("commits");
        next += 1;
        // The flusher must not write to a file while it is read.
        while engine.shared.is_flushing(&engine.shared.flush_state()) {
            std::thread::yield_now();
        }
    }
    drop(engine);
    for (n, name) in journal::paths(early.path()).iter().enumerate() {
        let (folder, tree) = fixture.copy_as_crashed();
        std::fs::copy(name, &journal::paths(folder.path())[n]).expect("is copied");
        let refused = fixture.try_open(folder.path(), tree, true).err().unwrap_or_else(|| panic!("{n} is refused"));
        assert!(refused.to_string().contains("does not belong to"), "{refused}");
    }
    let (folder, tree) = fixture.copy_as_crashed();
    check(&fixture.open_at(folder.path(), tree), 0..next);
}

fn generation(path: &Path) -> u64 {
    Journal::open(path.to_owned()).expect("opens").0.generation()
}

fn cut(path: &Path, bytes: u64) {
    // A recycled file is longer than its records.
    let (journal, _) = Journal::open(path.to_owned()).expect("opens");
    std::fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(journal.length() - bytes)).expect("is cut");
}

fn contents(folder: &Path) -> Vec<(PathBuf, Bytes)> {
    journal::paths(folder).into_iter().filter_map(|path| Some((path.clone(), std::fs::read(path).ok()?))).collect()
}

/// Opens the engine again and again, each time from the state of another point in time.
#[test]
fn the_order_of_the_journal_files_survives_many_crashes() {
    let mut fixture = JournaledFixture::new();
    let mut done = 0;
    for round in 0..40 {
        let engine = fixture.open();
        check(&engine, 0..done);
        for _ in 0..round {
            engine.write(batch(done)).expect("commits");
            done += 1;
        }
        fixture.tree.hold(round % 2 == 1);
        if round % 3 == 0 {
            engine.write(batch(done)).expect("commits");
            done += 1;
        }
        // The flusher must not run while the files are copied: it is done, or waits.
        while engine.shared.is_flushing(&engine.shared.flush_state()) && !fixture.tree.state().is_waiting {
            std::thread::yield_now();
        }
        let (folder, tree) = fixture.copy_as_crashed();
        fixture.tree.hold(false);
        drop(engine);
        fixture = JournaledFixture { folder, tree, ..JournaledFixture::new() };
    }
    assert!(done > 500);
}

#[test]
fn without_disk_space_commits_go_on_until_the_journal_is_full() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    fixture.has_space.store(false, Ordering::SeqCst);
    let done = (0..1000).map_while(|n| engine.write(batch(n)).ok()).count() as u32;
    assert!(matches!(engine.write(batch(done)), Err(EngineError::Full(_))));
    assert!(fixture.tree.state().rows.is_empty());
    check(&engine, 0..done);
    drop(engine);
    let engine = fixture.open();
    check(&engine, 0..done);
    fixture.has_space.store(true, Ordering::SeqCst);
    // The flusher checks the space again by itself.
    let begun = std::time::Instant::now();
    while engine.write(batch(done)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "commits go on");
        std::thread::yield_now();
    }
    check(&engine, 0..done + 1);
}

/// A crash interrupts the first flush, before there is a commit in the other file: the rows of the older file are active again, and some of them are in
/// the tree.
#[test]
fn a_row_that_is_written_once_is_deleted_from_the_tree_that_an_interrupted_flush_has_put_it_into() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    engine.write(batch(0)).expect("commits");
    let (folder, tree) = fixture.copy_as_crashed();
    tree.state().rows.insert(b"once0000".to_vec(), 0_u32.to_be_bytes().to_vec());
    let crashed = fixture.open_at(folder.path(), tree.clone());
    (1..4).for_each(|n| crashed.write(batch(n)).expect("commits"));
    check(&crashed, 0..4);
    drop(crashed);
    assert!(!tree.state().rows.contains_key(b"once0000".as_slice()));
}

#[test]
fn a_memtable_that_is_flushed_takes_no_more_memory() {
    let fixture = JournaledFixture::new();
    let engine = fixture.open();
    let commits = commit_until_half_flushed(&fixture, &engine);
    assert!(engine.shared.memtables.has_immutable());
    fixture.tree.hold(false);
    drop(engine.shared.wait_for_flush(engine.shared.flush_state()));
    assert!(!engine.shared.memtables.has_immutable());
    check(&engine, 0..commits);
}

#[test]
fn a_memtable_and_a_journal_file_have_the_size_that_is_set() {
    for (mib, memtable_bytes, journal_bytes) in [(8, 8 << 20, 16 << 20), (0, 1, 2)] {
        let thresholds = FlushThresholds::from_mib(mib);
        assert_eq!((thresholds.memtable_bytes, thresholds.journal_bytes), (memtable_bytes, journal_bytes), "{mib} MiB");
    }
}
