//! A read that waits for the disk delays nothing else, and the flusher waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::fake_tree::{FakeTree, READER, ReadEvent};
use super::fixture::{JournaledFixture, MEMTABLE_BYTES, batch, check, rows};
use super::*;
use crate::store::engine::tree::RowChange;

/// An engine whose reads by other threads wait in the tree.
struct HeldReads {
    fixture: JournaledFixture,
    engine: Arc<JournaledTree>,
    events: Receiver<ReadEvent>,
    sender: Sender<ReadEvent>,
}

impl HeldReads {
    fn new() -> HeldReads {
        let fixture = JournaledFixture::new();
        let engine = Arc::new(fixture.open());
        let (sender, events) = mpsc::channel();
        fixture.tree.hold_reads(sender.clone());
        HeldReads { fixture, engine, events, sender }
    }

    /// Starts a read in a thread of its own. Returns when it waits in the tree.
    fn start(&self, read: impl FnOnce(&JournaledTree) -> Vec<(Bytes, Bytes)> + Send + 'static) -> Sender<()> {
        let (engine, sender) = (Arc::clone(&self.engine), self.sender.clone());
        let thread = std::thread::Builder::new().name(READER.to_owned()).spawn(move || {
            let found = read(&engine);
            drop(engine);
            let _ = sender.send(ReadEvent::Ended(found));
        });
        thread.expect("starts");
        match self.events.recv() {
            Ok(ReadEvent::Held(release)) => release,
            Ok(ReadEvent::Ended(_)) | Err(_) => panic!("it waits in the tree"),
        }
    }

    fn start_scan(&self) -> Sender<()> {
        self.start(|engine| engine.scan(b"", b"\xff", usize::MAX).expect("scans"))
    }

    /// Lets all reads go on until one has ended.
    fn wait_for_rows(&self) -> Vec<(Bytes, Bytes)> {
        loop {
            if let ReadEvent::Ended(found) = self.events.recv().expect("an event") {
                return found;
            }
        }
    }

    /// Commits until the active memtable has this many bytes. Returns the next commit's number.
    fn commit_until(&self, first: u32, active_bytes: usize) -> u32 {
        let mut next = first;
        while self.engine.shared.active_bytes() < active_bytes {
            self.engine.write(batch(next)).expect("commits");
            next += 1;
            assert!(next < first + 1000, "no flush goes on meanwhile, which would make the active memtable a new one");
        }
        next
    }
}

#[test]
fn a_read_that_waits_for_the_disk_stops_no_commit_no_rotation_and_no_other_read() {
    let held = HeldReads::new();
    held.engine.write(batch(0)).expect("commits");
    let cold_row = held.start(|engine| engine.get(b"cold").expect("reads").into_iter().map(|row| (b"cold".to_vec(), row)).collect());
    let cold_range = held.start_scan();
    let mut next = 1;
    while !held.engine.shared.memtables.has_immutable() {
        held.engine.write(batch(next)).expect("commits");
        next += 1;
    }
    held.engine.write(batch(next)).expect("commits after the rotation");
    check(&held.engine, 0..next + 1);
    drop(cold_row);
    assert_eq!(held.wait_for_rows(), [], "it is nowhere");
    drop(cold_range);
    assert_eq!(held.wait_for_rows(), rows(0..1), "the scan sees the state in which it began");
}

#[test]
fn the_flusher_writes_nothing_that_an_open_scan_must_not_see() {
    let held = HeldReads::new();
    held.engine.write(batch(0)).expect("commits");
    let scan = held.start_scan();
    let full = held.commit_until(1, MEMTABLE_BYTES);
    // These go to the next memtable. Each of the last ones gives the flusher some time.
    held.commit_until(full + 1, MEMTABLE_BYTES * MAX_BACKLOG);
    assert_eq!(held.fixture.tree.state().written, Vec::<Bytes>::new());
    // A scan that began later does not hold it up.
    let later = held.start_scan();
    drop(scan);
    assert_eq!(held.wait_for_rows(), rows(0..1));
    held.engine.write(batch(u32::MAX - 1)).expect("the flusher is done with the first memtable");
    assert!(!held.fixture.tree.state().written.is_empty());
    drop(later);
    held.wait_for_rows();
}

#[test]
fn closing_while_a_scan_is_open_ends_after_it_and_flushes_everything() {
    let held = HeldReads::new();
    held.engine.write(batch(0)).expect("commits");
    let scan = held.start_scan();
    let full = held.commit_until(1, MEMTABLE_BYTES);
    held.engine.write(batch(full)).expect("commits to the next memtable");
    let HeldReads { fixture, engine, events, sender: _ } = held;
    // The scan has the engine now, and closes it.
    drop(engine);
    drop(scan);
    while !matches!(events.recv().expect("an event"), ReadEvent::Ended(_)) {}
    assert_eq!(fixture.tree.state().rows.clone().into_iter().collect::<Vec<_>>(), rows(0..full + 1));
}

/// A tree whose reads of "cold" rows take as long as those of a slow disk.
struct SlowTree(FakeTree);

/// What a read of a cold row takes.
const COLD_READ: Duration = Duration::from_millis(500);

impl SlowTree {
    fn wait_for_disk(key: &[u8]) {
        if key.starts_with(b"cold") {
            std::thread::sleep(COLD_READ);
        }
    }
}

impl Tree for SlowTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        SlowTree::wait_for_disk(key);
        self.0.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        SlowTree::wait_for_disk(start);
        self.0.scan(start, end, limit)
    }

    fn write(&self, rows: &[RowChange<'_>]) -> Result<(), EngineError> {
        self.0.write(rows)
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        self.0.bytes_on_disk()
    }
}

/// Prints how long commits and reads of memory take beside eight threads of cold reads: half of them read a row, half scan a range.
#[test]
#[ignore = "measures for ten seconds, and asserts nothing"]
fn commits_beside_cold_reads() {
    for readers in [0, 8] {
        let fixture = JournaledFixture::new();
        let engine = Arc::new(fixture.open_sized(Box::new(SlowTree(fixture.tree.clone())), 8 << 20));
        let is_done = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = (0..readers)
            .map(|n| {
                let (engine, is_done) = (Arc::clone(&engine), Arc::clone(&is_done));
                std::thread::spawn(move || {
                    while !is_done.load(Ordering::Relaxed) {
                        match n % 2 {
                            0 => drop(engine.get(b"cold").expect("reads")),
                            _ => drop(engine.scan(b"cold", b"colder", 10).expect("scans")),
                        }
                    }
                })
            })
            .collect();
        let (begun, mut commits, mut reads) = (Instant::now(), Vec::new(), Vec::new());
        while begun.elapsed() < Duration::from_secs(5) {
            let at = Instant::now();
            engine.write(batch(commits.len() as u32)).expect("commits");
            commits.push(at.elapsed());
            let at = Instant::now();
            engine.get(b"head").expect("reads");
            reads.push(at.elapsed());
        }
        is_done.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().expect("ends"));
        for (name, mut times) in [("commit", commits), ("read of memory", reads)] {
            times.sort_unstable();
            let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000];
            println!("{readers} readers, {} times: {name} p50 {:?} p99 {:?} max {:?}", times.len(), at(500), at(990), at(1000));
        }
    }
}
