//! Load for the tests that kill the server: several people, each with devices that write and one that only reads, and a ledger of what the
//! server acknowledged. A test that includes this module also includes `support`.

mod acks;
mod ledger;
mod plan;
#[allow(dead_code)]
#[path = "../../protocol/tests/random/mod.rs"]
mod random;
mod settings;
mod watcher;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use driftless_protocol::{ClientMessage, Codec, DatasetInfo, DatasetName, Key, Position, Record, ServerMessage};
use tokio::sync::watch;
use tokio::task::JoinSet;

use ledger::{DatasetKey, LedgerRecord, WriteLedger};
pub use random::SeededRandom;
use settings::{DATASETS, DEVICES, PATCHES_IN_FLIGHT, PEOPLE, POSITIONS, engine};
pub use settings::{number, seed};
use watcher::Watcher;
use writer::LoadWriter;

use crate::support::{DriftlessProcess, StartingProcess, TIMEOUT, TestDevice, name, token, wait_for};

/// The devices of all people, and the ledger of their writes.
pub struct DeviceLoad {
    seed: u64,
    url: String,
    ledger: Arc<WriteLedger>,
    writers: Vec<LoadWriter>,
    watchers: Vec<Watcher>,
    up: watch::Sender<bool>,
}

/// The tasks that write the patches of one round.
pub struct LoadRound(JoinSet<()>);

/// Starts the real binary on a folder, with the engine that `TEST_ENGINE` names. In every other round the journal has no capacity,
/// so that each commit is flushed to the engine's tree at once and kills also happen during those writes.
pub fn start_server(data: &Path, listen: &str, round: u64) -> StartingProcess {
    let engine = engine();
    let mut more: Vec<&str> = engine.iter().flat_map(|engine| ["--store-engine", engine]).collect();
    if round.is_multiple_of(2) {
        more.extend(["--store-journal-mib", "0"]);
    }
    DriftlessProcess::spawn(data, listen, &more)
}

/// An address for a server that is restarted. Its port is below the system's ephemeral ports, so that no other process is given it while
/// the server is down.
pub fn free_address() -> String {
    let ports = std::iter::repeat_with(|| 10_000 + getrandom::u32().unwrap() as u16 % 22_000);
    ports.map(|port| format!("127.0.0.1:{port}")).find(|address| std::net::TcpListener::bind(address).is_ok()).unwrap()
}

impl DeviceLoad {
    /// Connects all devices.
    pub async fn start(url: &str, seed: u64) -> DeviceLoad {
        let up = watch::Sender::new(true);
        let ledger = Arc::new(WriteLedger::default());
        let (mut writers, mut watchers) = (Vec::new(), Vec::new());
        for person in PEOPLE {
            for (n, device) in DEVICES.into_iter().enumerate() {
                let codec = if n % 2 == 0 { Codec::MsgPack } else { Codec::Json };
                writers.push(LoadWriter::start(url, (person, device.to_owned()), codec, &ledger, up.subscribe()).await);
            }
            watchers.push(Watcher::start(url, person, &ledger, up.subscribe()));
        }
        DeviceLoad { seed, url: url.to_owned(), ledger, writers, watchers, up }
    }

    /// Starts a round: each task of each device writes this many patches, one after the other.
    pub fn begin_round(&self, round: u64, patches: u64) -> LoadRound {
        let mut tasks = JoinSet::new();
        for writer in &self.writers {
            for task in 0..PATCHES_IN_FLIGHT {
                let unique = format!("{round}/{task}");
                let random = SeededRandom::for_purpose(self.seed, &format!("{}/{}/{unique}", writer.person, writer.id));
                tasks.spawn(writer.clone().write(random, unique, patches));
            }
        }
        LoadRound(tasks)
    }

    /// The patches of a round in which each task writes this many.
    pub fn patches_per_round(&self, patches: u64) -> u64 {
        self.writers.len() as u64 * PATCHES_IN_FLIGHT * patches
    }

    /// Patches that the server has answered so far.
    pub fn answered(&self) -> u64 {
        *self.ledger.answers().borrow()
    }

    /// Waits until the server has answered this many patches.
    pub async fn wait_for_answers(&self, count: u64) {
        let mut answers = self.ledger.answers();
        self.wait_for("more answers", answers.wait_for(|answered| *answered >= count)).await.unwrap();
    }

    /// Waits for an event that must happen; after `TIMEOUT` it panics with the violations found so far, which say more than the timeout.
    async fn wait_for<T>(&self, what: &str, event: impl Future<Output = T>) -> T {
        match tokio::time::timeout(TIMEOUT, event).await {
            Ok(done) => done,
            Err(_) => {
                self.ledger.check(&format!("{what} did not happen"));
                panic!("{what} did not happen within {TIMEOUT:?}, {} patches were answered", self.answered());
            }
        }
    }

    /// The server is about to be killed: the devices do not reconnect until `server_is_up`.
    pub fn server_goes_down(&self) {
        self.up.send_replace(false);
    }

    /// The server serves again at the same address.
    pub fn server_is_up(&self) {
        self.up.send_replace(true);
    }

    /// Waits until all patches of a round are answered.
    pub async fn finish_round(&self, mut round: LoadRound) {
        self.wait_for("the answers of all patches", async {
            while let Some(task) = round.0.join_next().await {
                task.unwrap();
            }
        })
        .await;
    }

    /// Checks, with nothing in flight, that the server, each device's replica and a new device equal what was acknowledged.
    pub async fn check(&self, random: &mut SeededRandom, context: &str) {
        for person in PEOPLE {
            let infos = self.infos(person).await;
            let mut fresh = wait_for("a new device", TestDevice::connect(&self.url, &token(person), "fresh")).await;
            for dataset in DATASETS.map(name) {
                let key = (person, dataset.clone());
                self.ledger.replay_to_head(&key, infos.get(&dataset));
                let (version, _) = self.ledger.replayed(&key);
                let (records, head) = fresh.open(dataset.as_str()).await;
                self.ledger.check_live_records(&key, "a new device", &by_key(&records));
                // Not from version 0: a device that has nothing is sent no removals.
                for _ in 0..POSITIONS.min(version) {
                    let position = Position { epoch: head.epoch.clone(), version: 1 + random.below(version) };
                    self.check_catch_up(&mut fresh, &key, position).await;
                }
                for writer in self.writers.iter().filter(|writer| writer.person == person) {
                    self.ledger.check_live_records(&key, writer.id.as_str(), &writer.replica(&dataset, version).await);
                }
                for watcher in self.watchers.iter().filter(|watcher| watcher.person == person) {
                    watcher.check_replica(&dataset).await;
                }
            }
        }
        self.ledger.check(context);
    }

    /// Checks, while the server is down, that its data folder has every acknowledgement that was durable.
    pub fn check_acknowledgements(&self, data: &Path) {
        acks::check(data, &self.watchers);
    }

    /// How many patches the server acknowledged, and how many of them are lost.
    pub fn sums(&self) -> (u64, u64) {
        self.ledger.sums()
    }

    async fn infos(&self, person: &str) -> BTreeMap<DatasetName, DatasetInfo> {
        let writer = self.writers.iter().find(|writer| writer.person == person).expect("each person has a writer");
        let infos = wait_for("the list of datasets", writer.device.list()).await.unwrap();
        infos.into_iter().map(|info| (info.dataset.clone(), info)).collect()
    }

    /// Opens a dataset at a position and checks what the server sends.
    async fn check_catch_up(&self, fresh: &mut TestDevice, key: &DatasetKey, position: Position) {
        let version = position.version;
        fresh.send_message(ClientMessage::Open { dataset: key.1.clone(), position: Some(position) }).await;
        let (mut all, mut is_reset) = (Vec::new(), false);
        loop {
            let ServerMessage::Changes { reset, more, records, .. } = fresh.receive().await else { panic!("not changes") };
            is_reset |= reset;
            all.extend(records);
            if !more {
                break;
            }
        }
        match is_reset {
            // The position is behind the tombstone horizon: the server sent a snapshot.
            true => self.ledger.check_live_records(key, "a device behind the horizon", &by_key(&all)),
            false => self.ledger.check_changes(key, "a device", version, &by_key(&all)),
        }
    }
}

fn by_key(records: &[Record]) -> BTreeMap<Key, LedgerRecord> {
    records.iter().map(|record| (record.key.clone(), LedgerRecord::of(record))).collect()
}
