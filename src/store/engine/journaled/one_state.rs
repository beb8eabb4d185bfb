//! Random commits, rotations and flushes beside scans that wait in the tree: each scan returns the state in which it began.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use super::fake_tree::{READER, ReadEvent};
use super::fixture::{JournaledFixture, MEMTABLE_BYTES};
use super::*;

const SEEDS: Range<u64> = 0..8;
const STEPS: usize = 400;

/// Few enough to be set again and again, and more than one chunk of a memtable has.
const KEYS: u64 = 300;

const MAX_OPEN_SCANS: usize = 4;

struct OpenScan {
    release: Sender<()>,
    expected: Vec<(Bytes, Bytes)>,
}

struct RandomScans {
    random: fastrand::Rng,
    fixture: JournaledFixture,
    engine: Arc<JournaledTree>,
    memtable_bytes: usize,
    model: BTreeMap<Bytes, Bytes>,
    scans: Vec<OpenScan>,
    events: Receiver<ReadEvent>,
    sender: Sender<ReadEvent>,
}

impl RandomScans {
    fn new(seed: u64) -> RandomScans {
        let fixture = JournaledFixture::new();
        // Many rotations, or memtables that a scan reads in several chunks.
        let memtable_bytes = if seed.is_multiple_of(2) { MEMTABLE_BYTES } else { 10 * MEMTABLE_BYTES };
        let engine = Arc::new(fixture.open_sized(Box::new(fixture.tree.clone()), memtable_bytes));
        let (sender, events) = mpsc::channel();
        fixture.tree.hold_reads(sender.clone());
        let random = fastrand::Rng::with_seed(seed);
        RandomScans { random, fixture, engine, memtable_bytes, model: BTreeMap::new(), scans: Vec::new(), events, sender }
    }

    fn key(&mut self) -> Bytes {
        format!("k{:03}", self.random.u64(..KEYS)).into_bytes()
    }

    fn commit(&mut self) {
        // Over this, commits wait for the flusher, and so for scans and holds that only this thread ends.
        if self.engine.shared.active_bytes() >= self.memtable_bytes * (MAX_BACKLOG / 2) {
            self.fixture.tree.hold(false);
            while !self.scans.is_empty() {
                self.continue_scan();
            }
        }
        let mut batch = RowBatch::new();
        for _ in 0..self.random.usize(1..20) {
            let (key, value) = (self.key(), self.random.u64(..).to_be_bytes());
            batch.push((key, (self.random.u8(..10) < 7).then(|| value.to_vec())));
        }
        for (key, row) in batch.clone() {
            match row {
                Some(row) => drop(self.model.insert(key, row)),
                None => drop(self.model.remove(&key)),
            }
        }
        self.engine.write(batch).expect("commits");
    }

    fn begin_scan(&mut self) {
        let (one, other) = (self.key(), self.key());
        let (start, end) = if one < other { (one, other) } else { (b"k".to_vec(), b"l".to_vec()) };
        let limit = *self.random.choice(&[1, 5, 70, usize::MAX]).expect("four");
        let in_range = self.model.range(start.clone()..end.clone()).take(limit);
        let expected = in_range.map(|(key, row)| (key.clone(), row.clone())).collect();
        let (engine, sender) = (Arc::clone(&self.engine), self.sender.clone());
        let read = move || {
            let found = engine.scan(&start, &end, limit).expect("scans");
            drop(engine);
            let _ = sender.send(ReadEvent::Ended(found));
        };
        std::thread::Builder::new().name(READER.to_owned()).spawn(read).expect("starts");
        let ReadEvent::Held(release) = self.events.recv().expect("an event") else { panic!("every scan reads the tree") };
        self.scans.push(OpenScan { release, expected });
    }

    /// Lets one scan go on until it waits again or ends. The other ones wait meanwhile, so the next event is its own.
    fn continue_scan(&mut self) {
        if self.scans.is_empty() {
            return;
        }
        let at = self.random.usize(..self.scans.len());
        let OpenScan { release, expected } = self.scans.swap_remove(at);
        drop(release);
        match self.events.recv().expect("an event") {
            ReadEvent::Held(release) => self.scans.push(OpenScan { release, expected }),
            ReadEvent::Ended(found) => assert_eq!(found, expected),
        }
    }

    fn step(&mut self) {
        match self.random.u8(..10) {
            0..5 => self.commit(),
            5..7 if self.scans.len() < MAX_OPEN_SCANS => self.begin_scan(),
            5..9 => self.continue_scan(),
            _ => {
                let is_held = self.random.bool();
                self.fixture.tree.hold(is_held);
            }
        }
    }
}

#[test]
fn a_scan_returns_the_state_in_which_it_began_whatever_is_committed_and_flushed_meanwhile() {
    for seed in SEEDS {
        let mut run = RandomScans::new(seed);
        (0..STEPS).for_each(|_| run.step());
        run.fixture.tree.hold(false);
        while !run.scans.is_empty() {
            run.continue_scan();
        }
        let RandomScans { fixture, engine, model, .. } = run;
        let expected: Vec<_> = model.into_iter().collect();
        assert_eq!(engine.scan(b"", b"\xff", usize::MAX).expect("scans"), expected, "seed {seed}");
        drop(engine);
        assert_eq!(fixture.open().scan(b"", b"\xff", usize::MAX).expect("scans"), expected, "seed {seed}, opened again");
    }
}
