//! A read that waits for the disk does not delay anything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fake_tree::FakeTree;
use super::fixture::{JournaledFixture, batch};
use super::*;
use crate::store::engine::tree::RowChange;

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
        let engine = Arc::new(fixture.open_tree(Box::new(SlowTree(fixture.tree.clone()))));
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
            engine.commit(vec![batch(commits.len() as u32)]).expect("commits");
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
