//! Durable writes through the committer: each writer has one write under way at a time, and its own person.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use driftless::clock::Clock;
use driftless::committer::Committer;
use driftless::hub::Hub;
use driftless::metrics::Metrics;
use driftless::store::{DatasetRules, Decision, DeviceBound, EngineConfig, EngineKind, Group, Identity, LoginKey, Patch, Store};
use driftless_protocol::{Change, DatasetName, DeviceId, Epoch, Key, Op, Value};
use tokio::runtime::Runtime;

use crate::disk::DiskBaseline;
use crate::report::{Measurement, counter, line, resident_mib, table};
use crate::settings::{self, SIZES};

pub const VALUE_BYTES: usize = 200;

/// Records of each writer.
const RECORDS: u64 = 100;

/// Opens or creates a store with the defaults of a server, except for the engine.
pub fn open(folder: &Path) -> Store {
    open_with_cache(folder, EngineConfig::default().cache_mib)
}

/// The same with another cache of the engine's tree.
pub fn open_with_cache(folder: &Path, cache_mib: u64) -> Store {
    let engine = match settings::engine().as_deref() {
        None | Some("sled") => EngineKind::Sled,
        Some("redb") => EngineKind::Redb,
        Some(other) => panic!("unknown engine {other}"),
    };
    Store::open(folder, &EngineConfig { engine, cache_mib, ..EngineConfig::default() }, &Epoch::new("bench").unwrap()).unwrap()
}

/// A patch that puts a value to each of these keys.
pub fn patch(identity: &Identity, id: u64, keys: impl Iterator<Item = u64>) -> Patch {
    let value = Value::from("x".repeat(VALUE_BYTES));
    let changes = keys.map(|key| Change::new(Key::new(&format!("key-{key}")).unwrap(), Op::Put, value.clone())).collect();
    Patch { identity: identity.clone(), device: DeviceId::new("phone").unwrap(), dataset: dataset(), id, changes }
}

pub fn dataset() -> DatasetName {
    DatasetName::new("settings").unwrap()
}

/// The id is as long as a real one.
pub fn identity(n: u64) -> Identity {
    Identity::from(format!("local:{:08x}-2f5c-4d7a-9b1e-3c8d5f6a7b90", (n as u32).wrapping_mul(2_654_435_761)).as_str())
}

/// An identity must have a login, and the patches' device, before patches to it are accepted.
pub fn sign_in(group: &mut Group<'_>, identity: &Identity) {
    let login = LoginKey { pool: "bench", issuer: "https://accounts.example.com", subject: identity.as_str() };
    group.identity(login, identity, 0).unwrap();
    group.admit(identity, &DeviceId::new("phone").unwrap(), &DeviceBound::without_sessions(1), 0).unwrap();
}

/// A store with one identity for each writer.
fn with_people(folder: &Path, people: u64) -> Store {
    let store = open(folder);
    let mut group = store.group();
    (0..people).for_each(|person| sign_in(&mut group, &identity(person)));
    group.commit().unwrap();
    store
}

/// Bytes of the rows that a patch writes when it replaces a value.
pub fn patch_bytes(folder: &Path) -> usize {
    const PATCHES: u64 = 64;
    let store = with_people(folder, PATCHES);
    let mut bytes = 0;
    for round in 0..2 {
        let mut group = store.group();
        for n in 0..PATCHES {
            group.write(&patch(&identity(n), 1 + round, 0..1), &DatasetRules::default(), 0).unwrap();
        }
        bytes = group.row_bytes();
        group.commit().unwrap();
    }
    bytes / PATCHES as usize
}

/// A store behind a committer.
pub struct CommitterRig {
    runtime: Runtime,
    committer: Committer,
    thread: JoinHandle<()>,
    metrics: Metrics,
    ids: Arc<AtomicU64>,
}

impl CommitterRig {
    pub fn new(store: Store) -> CommitterRig {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let metrics = Metrics::default();
        let entered = runtime.enter();
        let (committer, thread) = Committer::start(store, Hub::default(), metrics.clone(), Clock::start()).unwrap();
        drop(entered);
        // Above every patch number that `fill` used.
        CommitterRig { runtime, committer, thread, metrics, ids: Arc::new(AtomicU64::new(1_000_000)) }
    }

    /// Runs writers for some time. `target` maps a writer and a patch number to an identity and a key.
    pub fn slice<F>(&self, writers: usize, time: Duration, target: F) -> Measurement
    where
        F: Fn(usize, u64) -> (u64, u64) + Clone + Send + 'static,
    {
        let groups = self.groups();
        let begun = Instant::now();
        let waits = self.runtime.block_on(async {
            let tasks: Vec<_> = (0..writers).map(|writer| tokio::spawn(self.write(writer, begun + time, target.clone()))).collect();
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await.unwrap());
            }
            all
        });
        Measurement { groups: self.groups() - groups, patches: waits.len() as u64, time: begun.elapsed(), waits }
    }

    /// Stops the committer. The store is closed when this returns.
    pub fn stop(self) {
        self.runtime.block_on(self.committer.stop());
        self.thread.join().unwrap();
    }

    fn write<F>(&self, writer: usize, end: Instant, target: F) -> impl Future<Output = Vec<Duration>> + Send + 'static
    where
        F: Fn(usize, u64) -> (u64, u64) + Send + 'static,
    {
        let (committer, ids) = (self.committer.clone(), Arc::clone(&self.ids));
        async move {
            let mut waits = Vec::new();
            while Instant::now() < end {
                let id = ids.fetch_add(1, Ordering::Relaxed);
                let (person, key) = target(writer, id);
                let patch = patch(&identity(person), id, key..key + 1);
                let start = Instant::now();
                let answer = committer.write(patch, DatasetRules::default(), writer as u64 + 1).await.unwrap();
                let decision = answer.await.unwrap().unwrap();
                waits.push(start.elapsed());
                assert!(matches!(decision, Decision::Written { .. }), "{decision:?}");
            }
            waits
        }
    }

    fn groups(&self) -> u64 {
        counter(&self.metrics.text(), "driftless_committer_groups_total")
    }
}

/// Prints one table, with a line for each number of writers, beside the disk.
pub fn measure(folder: &Path, baseline: &mut DiskBaseline) {
    println!("\nthrough the committer, one write at a time each, beside the disk at the same group size, in turns");
    table(&["writers", "group", "writes/s", "disk/s", "ratio", "p50 us", "p99 us"]);
    let rig = CommitterRig::new(with_people(folder, SIZES[SIZES.len() - 1] as u64));
    for writers in SIZES {
        let (written, limit) = baseline.alternate_with(|time| rig.slice(writers, time, |writer, n| (writer as u64, n % RECORDS)));
        let ratio = format!("{:.0} %", 100.0 * written.rate() / limit.rate());
        let cells = [writers.to_string(), format!("{:.1}", written.group()), written.per_second(written.patches)];
        println!("{}", written.row(&[&cells[..], &[limit.per_second(limit.patches), ratio]].concat()));
    }
    println!("{}", line(&["memory after".to_owned(), format!("{:.0} MiB", resident_mib("self"))]));
    rig.stop();
}
