//! The contract as tests, run against every engine.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::batch::{Batch, Bytes, CommitOutcome, Fence, Owner, ROW_BYTES, RowBatch};
use super::config::{EngineConfig, EngineKind};
use super::contract::Engine;
use super::embedded::EmbeddedEngine;
use super::error::EngineError;
use super::memory::Memory;

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
        Box::new(EmbeddedEngine::open(self.0.path(), &EngineConfig::cached(16), |_| false).expect("opens"))
    }
}

impl TestStorage for FlushingSledStorage {
    fn new() -> FlushingSledStorage {
        FlushingSledStorage(tempfile::tempdir().expect("folder"))
    }

    fn open(&self) -> Box<dyn Engine> {
        Box::new(EmbeddedEngine::open_flushing(self.0.path(), &EngineConfig::cached(16)).expect("opens"))
    }
}

impl TestStorage for RedbStorage {
    fn new() -> RedbStorage {
        RedbStorage(tempfile::tempdir().expect("folder"))
    }

    fn open(&self) -> Box<dyn Engine> {
        let config = EngineConfig { engine: EngineKind::Redb, ..EngineConfig::cached(16) };
        Box::new(EmbeddedEngine::open(self.0.path(), &config, |_| false).expect("opens"))
    }
}

impl TestStorage for Memory {
    fn new() -> Memory {
        Memory::default()
    }

    fn open(&self) -> Box<dyn Engine> {
        Box::new(EmbeddedEngine::in_memory(self).expect("opens"))
    }
}

/// Rows; `-` before a key deletes the row.
fn rows(rows: &[(&[u8], &[u8])]) -> Batch {
    let row = |(key, value): &(&[u8], &[u8])| match key.strip_prefix(b"-") {
        Some(key) => (key.to_vec(), None),
        None => (key.to_vec(), Some(value.to_vec())),
    };
    Batch::unfenced(rows.iter().map(row).collect())
}

fn owner(name: &str) -> Owner {
    Owner::from(name.as_bytes())
}

/// The fences of owners as they are now.
fn fences(engine: &dyn Engine, names: &[&str]) -> Vec<(Owner, Fence)> {
    names.iter().map(|name| (owner(name), engine.fence(&owner(name)))).collect()
}

fn commit(engine: &dyn Engine, batches: &[Batch]) -> Vec<CommitOutcome> {
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
    assert_eq!(done, [CommitOutcome::Applied; 2]);
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
    let both = fences(&*engine, &["a", "b"]);
    let [of_a, of_b] = [&both[..1], &both[1..]].map(<[(Owner, Fence)]>::to_vec);
    let write = |fences: &[(Owner, Fence)], key: &[u8]| Batch { fences: fences.to_vec(), ..rows(&[(key, b"1"), (b"-kept", b"")]) };
    assert_eq!(commit(&*engine, &[Batch { fences: of_a.clone(), ..rows(&[(b"first", b"1"), (b"kept", b"1")]) }]), [CommitOutcome::Applied]);
    let stale = [write(&of_a, b"x"), write(&both, b"y")];
    assert_eq!(commit(&*engine, &stale[..1]), [CommitOutcome::Stale]);
    assert_eq!(commit(&*engine, &stale[1..]), [CommitOutcome::Stale], "one raised fence is enough");
    assert_eq!(commit(&*engine, &[Batch { fences: of_a, rows: RowBatch::new() }]), [CommitOutcome::Stale], "also for one without rows");
    assert_eq!(["x", "y", "kept"].map(|key| get(&*engine, key.as_bytes())), [None, None, Some(b"1".to_vec())]);
    let again = [write(&of_b, b"z"), write(&fences(&*engine, &["a"]), b"x")];
    assert_eq!(commit(&*engine, &again), [CommitOutcome::Applied; 2], "a batch without rows raises nothing");
    assert_eq!(["x", "z", "kept"].map(|key| get(&*engine, key.as_bytes())), [Some(b"1".to_vec()), Some(b"1".to_vec()), None]);
}

fn each_batch_of_a_call_has_its_own_outcome<S: TestStorage>(storage: &S) {
    let engine = storage.open();
    let names: Vec<String> = (0..9).map(|n| format!("owner {n}")).collect();
    let taken: Vec<_> = names.iter().map(|name| fences(&*engine, &[name])).collect();
    commit(&*engine, &[Batch { fences: fences(&*engine, &["owner 4"]), ..rows(&[(b"x", b"")]) }]);
    let batch = |(name, fences): (&String, &Vec<(Owner, Fence)>)| Batch { fences: fences.clone(), ..rows(&[(name.as_bytes(), b"1")]) };
    let outcomes = commit(&*engine, &names.iter().zip(&taken).map(batch).collect::<Vec<_>>());
    for (n, (name, outcome)) in names.iter().zip(outcomes).enumerate() {
        assert_eq!(
            (outcome, get(&*engine, name.as_bytes()).is_some()),
            if n == 4 { (CommitOutcome::Stale, false) } else { (CommitOutcome::Applied, true) }
        );
    }
}

fn many_batches_are_one_commit<S: TestStorage>(storage: &S) {
    let number = |n: u32| (n | 1 << 24).to_be_bytes().to_vec();
    let engine = storage.open();
    let batch = |n: u32| Batch {
        fences: fences(&*engine, &[&n.to_string()]),
        rows: vec![(b"last".to_vec(), Some(number(n))), (number(n), Some(number(n)))],
    };
    let done = commit(&*engine, &(0..1024).map(batch).collect::<Vec<_>>());
    assert_eq!(done, vec![CommitOutcome::Applied; 1024]);
    assert_eq!(get(&*engine, b"last"), Some(number(1023)), "of several changes of a row the last one counts");
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
    let mut all: Vec<Bytes> = vec![vec![1], vec![1, 0], vec![1, 255], vec![2, 0], vec![255, 0], vec![255, 255, 255], vec![7; 1_500]];
    let engine = storage.open();
    let batch = Batch::unfenced(all.iter().rev().map(|key| (key.clone(), Some(key.clone()))).collect());
    commit(&*engine, &[batch]);
    all.sort();
    assert_eq!(keys(&*engine, b"", &[255; 9], usize::MAX), all);
    assert_eq!(keys(&*engine, &[1, 0], &[2], usize::MAX), [vec![1, 0], vec![1, 255]]);
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
        Batch::unfenced(ends.into_iter().chain(filling).collect())
    };
    commit(&*engine, &[pair(0)]);
    let (done, engine) = (AtomicBool::new(false), &*engine);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            (1..=PAIRS).for_each(|n| assert_eq!(commit(engine, &[pair(n)]), [CommitOutcome::Applied]));
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
    commit(&*engine, &[Batch::unfenced((0..100).map(|n| (untouched(n), Some(untouched(n)))).collect())]);
    // Closing the engine flushes the memtables.
    drop(engine);
    let (done, engine) = (AtomicBool::new(false), storage.open());
    let engine = &*engine;
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..40u32 {
                let neighbour =
                    |n: u32| (format!("k{:03}.{}", n % 100, n / 100).into_bytes(), round.is_multiple_of(2).then(|| vec![7; 60]));
                commit(engine, &[Batch::unfenced((0..600).map(neighbour).collect())]);
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
            let fences = fences(engine, &["counter"]);
            let count = get(engine, b"count").map_or(0, |count| count[0]);
            if commit(engine, &[Batch { fences, ..rows(&[(b"count", &[count + 1])]) }]) == [CommitOutcome::Applied] {
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
    assert_eq!(get(engine, b"count"), Some(vec![60]), "nobody's was lost");
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
    each_batch_of_a_call_has_its_own_outcome
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
fn an_engine_creates_only_its_own_files() {
    let files = |folder: &Path| {
        let names = std::fs::read_dir(folder).expect("reads").map(|file| file.expect("a file").file_name().into_string().expect("a name"));
        names.filter(|name| !name.starts_with("snap.")).collect::<std::collections::BTreeSet<_>>()
    };
    let (sled, redb) = (SledStorage::new(), RedbStorage::new());
    drop((sled.open(), redb.open()));
    assert_eq!(
        files(sled.0.path()).into_iter().collect::<Vec<_>>(),
        ["blobs", "commits", "conf", "db", "driftless.lock", "engine", "journal.0", "journal.1"]
    );
    assert_eq!(
        files(redb.0.path()).into_iter().collect::<Vec<_>>(),
        ["commits", "driftless.lock", "engine", "journal.0", "journal.1", "rows.redb"]
    );
}
