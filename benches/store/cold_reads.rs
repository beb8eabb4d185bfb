//! What commits wait beside reads that the disk has to serve: a read of the tree holds nothing that a commit needs.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use driftless::store::Store;
use rustix::fs::{Advice, fadvise};

use crate::committer::{CommitterRig, dataset, identity, open_with_cache};
use crate::curve::{RECORDS_PER_PERSON, fill};
use crate::report::{Measurement, table};
use crate::settings::{number, slice};

/// Threads that read, as many as a server has, and none to compare with.
const READERS: [usize; 2] = [0, 8];

/// Records of the store, some ten times as many as its cache has room for. `BENCH_COLD_RECORDS` changes it.
const RECORDS: u64 = 500_000;

/// The cache of the engine's tree.
const CACHE_MIB: u64 = 16;

/// Slices of each number of readers, in turns.
const SLICES: usize = 5;

/// Pause between two times that the system is asked to forget the files' pages: most reads then ask the disk.
const FORGET_PAUSE: Duration = Duration::from_millis(20);

/// Threads that read the rows of people at random until they are stopped.
struct ColdReaders {
    is_stopped: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl ColdReaders {
    fn start(store: &Store, folder: &Path, people: u64, readers: usize) -> ColdReaders {
        let (is_stopped, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut threads: Vec<_> = (0..readers as u64)
            .map(|reader| {
                let (store, is_stopped, reads) = (store.clone(), Arc::clone(&is_stopped), Arc::clone(&reads));
                std::thread::spawn(move || {
                    let mut chosen = reader;
                    while !is_stopped.load(Ordering::Relaxed) {
                        chosen = chosen.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                        store.version(&identity((chosen >> 33) % people), &dataset()).unwrap();
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        if readers > 0 {
            let (folder, is_stopped) = (folder.to_owned(), Arc::clone(&is_stopped));
            threads.push(std::thread::spawn(move || {
                while !is_stopped.load(Ordering::Relaxed) {
                    forget_pages(&folder);
                    std::thread::sleep(FORGET_PAUSE);
                }
            }));
        }
        ColdReaders { is_stopped, reads, threads }
    }

    /// Stops them, and returns how many reads they did.
    fn stop(self) -> u64 {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.reads.load(Ordering::Relaxed)
    }
}

fn forget_pages(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        fadvise(File::open(entry.path()).unwrap(), 0, None, Advice::DontNeed).unwrap();
    }
}

/// Prints one table, with a line for each number of readers.
pub fn measure(folder: &Path) {
    println!("\none writer, each write to a record of its own person, beside threads whose reads ask the disk");
    table(&["readers", "reads/s", "writes/s", "p50 us", "p99 us"]);
    let people = number("BENCH_COLD_RECORDS").unwrap_or(RECORDS) / RECORDS_PER_PERSON;
    fill(folder, people * RECORDS_PER_PERSON);
    let store = open_with_cache(folder, CACHE_MIB);
    let rig = CommitterRig::new(store.clone());
    let mut measured = READERS.map(|_| (Measurement::default(), 0));
    for _ in 0..SLICES {
        for (readers, (written, reads)) in READERS.into_iter().zip(&mut measured) {
            let cold = ColdReaders::start(&store, folder, people, readers);
            written.add(rig.slice(1, slice(), |_, n| (0, n % RECORDS_PER_PERSON)));
            *reads += cold.stop();
        }
    }
    for (readers, (written, reads)) in READERS.into_iter().zip(measured) {
        println!("{}", written.row(&[readers.to_string(), written.per_second(reads), written.per_second(written.patches)]));
    }
    drop(store);
    rig.stop();
}
