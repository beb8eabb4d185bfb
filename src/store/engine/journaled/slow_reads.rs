//! A read that waits for the disk delays nothing else, and the flusher waits for it.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use super::fake_tree::{READER, ReadEvent};
use super::fixture::{JournaledFixture, MEMTABLE_BYTES, batch, check, rows};
use super::*;

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
