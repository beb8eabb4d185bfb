//! The contract as tests, run against every engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::batch::{Batch, Bytes, Committed, ROW_BYTES};
use super::contract::Engine;
use super::error::EngineError;
use super::journaled::{FlushThresholds, JournalOptions, JournaledEngine};
use super::memory::Memory;
use super::redb_tree::RedbTree;
use super::sled_tree::{SEGMENT_BYTES, SledTree};
use super::tree::Tree;

/// Pairs of rows that are committed while another thread reads them.
const PAIRS: u8 = 150;

/// Storage on which an engine can be opened again and again.
trait TestStorage {
    fn new() -> Self;
    fn open(&self) -> Box<dyn Engine>;
}

struct SledStorage(tempfile::TempDir);
struct RedbStorage(tempfile::TempDir);
/// Flushes after every commit.
struct FlushingSledStorage(tempfile::TempDir);

impl TestStorage for SledStorage {
    fn new() -> SledStorage {
        SledStorage(tempfile::tempdir().expect("folder"))
    }

    fn open(&self) -> Box<dyn Engine> {
        journaled(self.0.path(), sled(self.0.path()), FlushThresholds::from_mib(8))
    }
}

impl TestStorage for FlushingSledStorage {
    fn new() -> FlushingSledStorage {
        FlushingSledStorage(tempfile::tempdir().expect("folder"))
    }

    fn open(&self) -> Box<dyn Engine> {
        journaled(self.0.path(), sled(self.0.path()), FlushThresholds { memtable_bytes: 1, journal_bytes: 1 })
    }
}

fn sled(folder: &Path) -> Box<dyn Tree> {
    Box::new(SledTree::open(folder, 16, SEGMENT_BYTES).expect("opens"))
}

fn journaled(folder: &Path, tree: Box<dyn Tree>, thresholds: FlushThresholds) -> Box<dyn Engine> {
    let options = JournalOptions { thresholds, check_space: Box::new(|| Ok(())), refuses_gaps: true, panicked: Arc::default() };
    Box::new(JournaledEngine::open(folder, tree, options, |_| Ok(())).expect("opens"))
}

impl TestStorage for RedbStorage {
    fn new() -> RedbStorage {
        RedbStorage(tempfile::tempdir().expect("folder"))
    }

    fn open(&self) -> Box<dyn Engine> {
        journaled(self.0.path(), Box::new(RedbTree::open(self.0.path(), 16).expect("opens")), FlushThresholds::from_mib(8))
    }
}

impl TestStorage for Memory {
    fn new() -> Memory {
        Memory::default()
    }

    fn open(&self) -> Box<dyn Engine> {
        Memory::open(self).expect("opens")
    }
}

/// A batch of rows; `-` before a key deletes the row.
fn rows(rows: &[(&[u8], &[u8])]) -> Batch {
    let row = |(key, value): &(&[u8], &[u8])| match key.strip_prefix(b"-") {
        Some(key) => (key.to_vec(), None),
        None => (key.to_vec(), Some(value.to_vec())),
    };
    Batch { preconditions: Vec::new(), rows: rows.iter().map(row).collect() }
}

fn conditional(key: &[u8], expected: Option<&[u8]>, batch: Batch) -> Batch {
    Batch { preconditions: vec![(key.to_vec(), expected.map(<[u8]>::to_vec))], ..batch }
}

fn commit(engine: &dyn Engine, batches: &[Batch]) -> Vec<Committed> {
    engine.commit(batches.to_vec()).expect("commits")
}

fn get(engine: &dyn Engine, key: &[u8]) -> Option<Bytes> {
    engine.get(key).expect("reads")
}

fn keys(engine: &dyn Engine, start: &[u8], end: &[u8], limit: usize) -> Vec<Bytes> {
    engine.scan(start, end, limit).expect("scans").into_iter().map(|(key, _)| key).collect()
}

fn committed_rows_are_there_after_reopening<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    let done = commit(&*engine, &[rows(&[(b"a", b"1"), (b"b", b"2")]), rows(&[(b"-a", b""), (b"c", b"")])]);
    assert_eq!(done, [Committed::Applied, Committed::Applied]);
    drop(engine);
    for _ in 0..2 {
        let engine = storage.open();
        assert_eq!(
            ["a", "b", "c", "b"].map(|key| get(&*engine, key.as_bytes())),
            [None, Some(b"2".to_vec()), Some(vec![]), Some(b"2".to_vec())]
        );
        assert_eq!(keys(&*engine, b"", b"\xff", usize::MAX), [b"b", b"c"]);
    }
}

fn a_stale_batch_changes_nothing<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    commit(&*engine, &[rows(&[(b"head", b"1"), (b"kept", b"1")])]);
    let stale = [
        conditional(b"head", None, rows(&[(b"head", b"x"), (b"other", b"x")])),
        conditional(b"head", Some(b"2"), rows(&[(b"-kept", b"")])),
        conditional(b"none", Some(b""), rows(&[(b"other", b"x")])),
    ];
    assert_eq!(commit(&*engine, &stale), [Committed::Stale; 3]);
    let mut two = conditional(b"head", Some(b"1"), rows(&[(b"other", b"x")]));
    two.preconditions.push((b"kept".to_vec(), Some(b"2".to_vec())));
    assert_eq!(commit(&*engine, &[two]), [Committed::Stale], "one broken precondition is enough");
    assert_eq!(["head", "kept", "other"].map(|key| get(&*engine, key.as_bytes())), [Some(b"1".to_vec()), Some(b"1".to_vec()), None]);
}

fn preconditions_see_the_earlier_batches_of_their_call<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    let batches = [
        conditional(b"head", None, rows(&[(b"head", b"1")])),
        conditional(b"head", None, rows(&[(b"head", b"x"), (b"lost", b"x")])),
        conditional(b"head", Some(b"1"), rows(&[(b"-head", b"")])),
        conditional(b"head", None, rows(&[(b"head", b"2")])),
        conditional(b"lost", None, rows(&[(b"last", b"2")])),
    ];
    let done = commit(&*engine, &batches);
    assert_eq!(done, [Committed::Applied, Committed::Stale, Committed::Applied, Committed::Applied, Committed::Applied]);
    assert_eq!(["head", "lost", "last"].map(|key| get(&*engine, key.as_bytes())), [Some(b"2".to_vec()), None, Some(b"2".to_vec())]);
}

fn many_batches_are_one_commit<S: TestStorage>(storage: &S) {
    let number = |n: u32| n.to_be_bytes().to_vec();
    let batch = |n: u32| Batch {
        preconditions: vec![(b"count".to_vec(), n.checked_sub(1).map(number))],
        rows: vec![(b"count".to_vec(), Some(number(n))), (number(n), Some(number(n)))],
    };
    let engine = storage.open();
    let done = commit(&*engine, &(0..1024).map(batch).collect::<Vec<_>>());
    assert_eq!(done, vec![Committed::Applied; 1024]);
    assert_eq!(get(&*engine, b"count"), Some(number(1023)));
    assert_eq!(keys(&*engine, &number(0), &number(1024), usize::MAX), (0..1024).map(number).collect::<Vec<_>>());
    assert!(commit(&*engine, &[]).is_empty());
}

fn a_scan_is_in_order_and_within_its_bounds<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    commit(&*engine, &[rows(&[(b"k3", b"3"), (b"k1", b"1"), (b"l", b""), (b"k2", b"2"), (b"k", b"0"), (b"k1\0", b"4"), (b"j\xff", b"")])]);
    assert_eq!(keys(&*engine, b"k", b"l", 9), [&b"k"[..], b"k1", b"k1\0", b"k2", b"k3"], "the start is included, the end is not");
    assert_eq!(keys(&*engine, b"k1", b"k3", 2), [&b"k1"[..], b"k1\0"]);
    assert_eq!(keys(&*engine, b"k", b"l", 0), [b""; 0]);
    assert_eq!(keys(&*engine, b"k1", b"k1", 9), [b""; 0]);
    assert_eq!(keys(&*engine, b"l", b"k", 9), [b""; 0], "a range that ends before it starts is empty");
    assert_eq!(keys(&*engine, b"", b"k", 9), [b"j\xff"]);
    assert_eq!(keys(&*engine, b"m", b"z", 9), [b""; 0]);
    assert_eq!(engine.scan(b"k1", b"k2", 9).expect("scans")[0], (b"k1".to_vec(), b"1".to_vec()));
}

fn keys_of_any_bytes_keep_their_order<S: TestStorage>(storage: &S) {
    let mut all: Vec<Bytes> = vec![vec![0], vec![0, 0], vec![0, 255], vec![1, 0], vec![255, 0], vec![255, 255, 255], vec![7; 1_500]];
    let engine = storage.open();
    let batch = Batch { preconditions: Vec::new(), rows: all.iter().rev().map(|key| (key.clone(), Some(key.clone()))).collect() };
    commit(&*engine, &[batch]);
    all.sort();
    assert_eq!(keys(&*engine, b"", &[255; 9], usize::MAX), all);
    assert_eq!(keys(&*engine, &[0, 0], &[1], usize::MAX), [vec![0, 0], vec![0, 255]]);
    for key in &all {
        assert_eq!(get(&*engine, key).as_ref(), Some(key));
    }
}

fn rows_may_be_empty_and_as_large_as_the_bound<S: TestStorage>(storage: &S) {
    let large: Bytes = (0..ROW_BYTES).map(|n| (n % 251) as u8).collect();
    let engine = storage.open();
    commit(&*engine, &[rows(&[(b"empty", b""), (b"large", &large)])]);
    let over = rows(&[(b"before", b"x"), (b"over", &vec![0; ROW_BYTES + 1])]);
    assert!(matches!(engine.commit(vec![over]), Err(EngineError::Io(_))), "a row over the bound is refused");
    drop(engine);
    let engine = storage.open();
    assert_eq!(["empty", "large", "before"].map(|key| get(&*engine, key.as_bytes())), [Some(vec![]), Some(large), None]);
}

fn a_deleted_row_is_gone<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    commit(&*engine, &[rows(&[(b"a", b"1"), (b"b", b"1")])]);
    commit(&*engine, &[rows(&[(b"-a", b""), (b"-never", b"")])]);
    assert_eq!(["a", "never"].map(|key| get(&*engine, key.as_bytes())), [None, None]);
    commit(&*engine, &[rows(&[(b"a", b"2"), (b"-b", b"")]), rows(&[(b"b", b"2"), (b"-a", b"")])]);
    drop(engine);
    assert_eq!(storage.open().scan(b"", b"z", 9).expect("scans"), [(b"b".to_vec(), b"2".to_vec())]);
}

/// Distant rows are always committed together: a scan must find the same value in all of them.
fn a_scan_sees_all_of_a_batch_or_nothing<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    let pair = |n: u8| {
        let filling = (0..64u8).map(|m| (vec![b'm', m], Some(vec![n; 64])));
        let ends = [(b"a".to_vec(), Some(vec![n])), (b"z".to_vec(), Some(vec![n]))];
        Batch { preconditions: Vec::new(), rows: ends.into_iter().chain(filling).collect() }
    };
    commit(&*engine, &[pair(0)]);
    let (done, engine) = (AtomicBool::new(false), &*engine);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            (1..=PAIRS).for_each(|n| assert_eq!(commit(engine, &[pair(n)]), [Committed::Applied]));
            done.store(true, Ordering::SeqCst);
        });
        let mut seen = 0;
        while !done.load(Ordering::SeqCst) {
            let all = engine.scan(b"a", b"zz", usize::MAX).expect("scans");
            assert!(all.iter().all(|(_, value)| value[0] == all[0].1[0]), "scan");
            assert!(all[0].1[0] >= seen, "a scan does not go back");
            seen = get(engine, b"z").expect("is there")[0];
            assert!(seen >= all[0].1[0], "nor does a read of one row");
        }
    });
    assert_eq!(get(engine, b"z"), Some(vec![PAIRS]));
}

/// Pages split and merge while neighbours are set and deleted: a row that no commit touches is always there.
fn untouched_rows_are_always_found<S: TestStorage>(storage: &S) {
    let untouched = |n: u32| format!("k{n:03}").into_bytes();
    let engine = storage.open();
    commit(&*engine, &[Batch { preconditions: Vec::new(), rows: (0..100).map(|n| (untouched(n), Some(untouched(n)))).collect() }]);
    // Closing the engine flushes the memtables.
    drop(engine);
    let (done, engine) = (AtomicBool::new(false), storage.open());
    let engine = &*engine;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..40u32 {
                let neighbour =
                    |n: u32| (format!("k{:03}.{}", n % 100, n / 100).into_bytes(), round.is_multiple_of(2).then(|| vec![7; 60]));
                commit(engine, &[Batch { preconditions: Vec::new(), rows: (0..600).map(neighbour).collect() }]);
            }
            done.store(true, Ordering::SeqCst);
        });
        while !done.load(Ordering::SeqCst) {
            (0..100).for_each(|n| assert_eq!(get(engine, &untouched(n)), Some(untouched(n))));
            let all = keys(engine, b"k", b"l", usize::MAX);
            assert_eq!(all.iter().filter(|key| key.len() == 4).count(), 100);
        }
    });
}

fn commits_of_several_threads_are_serialized<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    let add = |engine: &dyn Engine| {
        loop {
            let count = get(engine, b"count");
            let next = vec![count.as_ref().map_or(0, |count| count[0]) + 1];
            let batch = Batch { preconditions: vec![(b"count".to_vec(), count)], rows: vec![(b"count".to_vec(), Some(next))] };
            if commit(engine, &[batch]) == [Committed::Applied] {
                return;
            }
        }
    };
    let engine = &*engine;
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| (0..20).for_each(|_| add(engine)));
        }
    });
    assert_eq!(get(engine, b"count"), Some(vec![60]), "no precondition held twice");
}

fn the_bytes_on_disk_are_known<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    commit(&*engine, &[rows(&[(b"a", &[7; 4096])])]);
    assert!(engine.bytes_on_disk().expect("is known") >= 4096);
}

macro_rules! every_engine {
    ($($test:ident)*) => {
        mod sled { $(#[test] fn $test() { super::$test(&<super::SledStorage as super::TestStorage>::new()); })* }
        mod flushing_sled { $(#[test] fn $test() { super::$test(&<super::FlushingSledStorage as super::TestStorage>::new()); })* }
        mod redb { $(#[test] fn $test() { super::$test(&<super::RedbStorage as super::TestStorage>::new()); })* }
        mod memory { $(#[test] fn $test() { super::$test(&<super::Memory as super::TestStorage>::new()); })* }
    };
}

every_engine! {
    committed_rows_are_there_after_reopening
    a_stale_batch_changes_nothing
    preconditions_see_the_earlier_batches_of_their_call
    many_batches_are_one_commit
    a_scan_is_in_order_and_within_its_bounds
    keys_of_any_bytes_keep_their_order
    rows_may_be_empty_and_as_large_as_the_bound
    a_deleted_row_is_gone
    a_scan_sees_all_of_a_batch_or_nothing
    untouched_rows_are_always_found
    commits_of_several_threads_are_serialized
    the_bytes_on_disk_are_known
}

#[test]
fn a_damaged_row_fails_only_calls_that_read_it() {
    let memory = Memory::default();
    let engine = memory.open().expect("opens");
    commit(&*engine, &[rows(&[(b"a", b"1"), (b"b", b"2")])]);
    assert!(memory.damage(b"a"));
    assert!(matches!(engine.get(b"a"), Err(EngineError::Damaged(_))));
    assert_eq!(get(&*engine, b"b"), Some(b"2".to_vec()));
    assert!(matches!(engine.commit(vec![conditional(b"a", None, rows(&[(b"b", b"3")]))]), Err(EngineError::Damaged(_))));
    assert_eq!(get(&*engine, b"b"), Some(b"2".to_vec()), "nothing was applied");
}

#[test]
fn an_engine_creates_only_its_own_files() {
    let files = |folder: &Path| {
        let names = std::fs::read_dir(folder).expect("reads").map(|file| file.expect("a file").file_name().into_string().expect("a name"));
        names.filter(|name| !name.starts_with("snap.")).collect::<std::collections::BTreeSet<_>>()
    };
    let (sled, redb) = (SledStorage::new(), RedbStorage::new());
    drop((sled.open(), redb.open()));
    assert_eq!(files(sled.0.path()).into_iter().collect::<Vec<_>>(), ["blobs", "conf", "db", "journal.0", "journal.1"]);
    assert_eq!(files(redb.0.path()).into_iter().collect::<Vec<_>>(), ["journal.0", "journal.1", "rows.redb"]);
}
