//! Several people, each with devices that write and one that watches, and a ledger of what the server acknowledged.
//!
//! Shared by the tests in which the server dies. Whoever includes this also has `support`.

mod acks;
mod chance;
mod ledger;
mod plan;
mod watcher;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use driftless_protocol::{ClientMessage, Codec, DatasetInfo, DatasetName, Key, Position, Record, ServerMessage};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use chance::{Chance, seed, setting};
use ledger::{Cell, Ledger, Place};
use watcher::Watcher;
use writer::Writer;

use crate::support::{Binary, PATIENCE, Phone, Starting, name, soon, token};

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];
const DATASETS: [&str; 2] = ["settings", "notes"];

/// Patches that each device has on their way at once.
const LANES: u64 = 2;

/// Positions that a fresh device asks from, in each dataset, whenever all is quiet.
const POSITIONS: u64 = 3;

/// The devices and what they know.
pub struct Load {
    seed: u64,
    url: String,
    ledger: Arc<Ledger>,
    writers: Vec<Writer>,
    watchers: Vec<Watcher>,
    up: watch::Sender<bool>,
}

/// The writing of a round.
pub struct Round(JoinSet<()>);

/// The engine that is asked for.
fn engine() -> Option<String> {
    std::env::var("DRIFTLESS_ENGINE").ok()
}

/// Starts the real binary on a folder, with the engine that `DRIFTLESS_ENGINE` names, if it does. In every other round what is committed is
/// moved out of the journal at once, so that the engine's tree is being written all the time, too.
pub fn begin(data: &Path, listen: &str, round: u64) -> Starting {
    let engine = engine();
    let mut more: Vec<&str> = engine.iter().flat_map(|engine| ["--store-engine", engine]).collect();
    if round.is_multiple_of(2) {
        more.extend(["--store-journal-mib", "0"]);
    }
    Binary::begin(data, listen, &more)
}

/// An address for a server that comes and goes. Its port is below those that the system gives to anybody who asks for any: while the
/// server is down nobody takes it by chance.
pub fn address() -> String {
    let ports = std::iter::repeat_with(|| 10_000 + getrandom::u32().unwrap() as u16 % 22_000);
    ports.map(|port| format!("127.0.0.1:{port}")).find(|address| std::net::TcpListener::bind(address).is_ok()).unwrap()
}

impl Load {
    /// Everybody comes in.
    pub async fn start(url: &str, seed: u64) -> Load {
        let up = watch::Sender::new(true);
        let ledger = Arc::new(Ledger::default());
        let (mut writers, mut watchers) = (Vec::new(), Vec::new());
        for person in PEOPLE {
            for (n, device) in DEVICES.into_iter().enumerate() {
                let codec = if n % 2 == 0 { Codec::MsgPack } else { Codec::Json };
                writers.push(Writer::start(url, (person, device.to_owned()), codec, &ledger, up.subscribe()).await);
            }
            watchers.push(Watcher::start(url, person, &ledger, up.subscribe()));
        }
        Load { seed, url: url.to_owned(), ledger, writers, watchers, up }
    }

    /// Every device begins to write so many patches in each of its lanes.
    pub fn begin(&self, round: u64, patches: u64) -> Round {
        let mut lanes = JoinSet::new();
        for writer in &self.writers {
            for lane in 0..LANES {
                let unique = format!("{round}/{lane}");
                let chance = Chance::of(self.seed, &format!("{}/{}/{unique}", writer.person, writer.id));
                lanes.spawn(writer.clone().write(chance, unique, patches));
            }
        }
        Round(lanes)
    }

    /// How many patches a round has, if each lane has so many.
    pub fn patches(&self, each: u64) -> u64 {
        self.writers.len() as u64 * LANES * each
    }

    /// Patches that were answered so far.
    pub fn answered(&self) -> u64 {
        *self.ledger.answers().borrow()
    }

    /// Waits until so many patches were answered.
    pub async fn answers(&self, count: u64) {
        let mut answers = self.ledger.answers();
        self.soon("more answers", answers.wait_for(|answered| *answered >= count)).await.unwrap();
    }

    /// Waits for what must happen; where it does not, faults that were met on the way say more.
    async fn soon<T>(&self, what: &str, happens: impl Future<Output = T>) -> T {
        match tokio::time::timeout(PATIENCE, happens).await {
            Ok(done) => done,
            Err(_) => {
                self.ledger.check(&format!("{what} did not happen"));
                panic!("{what} did not happen within {PATIENCE:?}, {} patches were answered", self.answered());
            }
        }
    }

    /// The server is about to die: nobody knocks until it is back.
    pub fn goes_down(&self) {
        self.up.send_replace(false);
    }

    /// The server serves again, at the same address.
    pub fn is_up(&self) {
        self.up.send_replace(true);
    }

    /// All patches of a round are answered.
    pub async fn end(&self, mut round: Round) {
        self.soon("the answers of all patches", async {
            while let Some(lane) = round.0.join_next().await {
                lane.unwrap();
            }
        })
        .await;
    }

    /// Nothing is on its way. Everything must be as it was acknowledged, at everybody's: the store, each replica, and a fresh device.
    pub async fn check(&self, chance: &mut Chance, context: &str) {
        for person in PEOPLE {
            let infos = self.infos(person).await;
            let mut fresh = soon("a fresh device", Phone::welcomed(&self.url, &token(person), "fresh")).await;
            for dataset in DATASETS.map(name) {
                let place = (person, dataset.clone());
                self.ledger.settle(&place, infos.get(&dataset));
                let (version, _) = self.ledger.settled(&place);
                let (records, head) = fresh.open(dataset.as_str()).await;
                self.ledger.equals(&place, "a fresh device", &cells(&records));
                // A position of 0 has nothing: what is gone is not said to it.
                for _ in 0..POSITIONS.min(version) {
                    let position = Position { epoch: head.epoch.clone(), version: 1 + chance.below(version) };
                    self.is_sent_what_follows(&mut fresh, &place, position).await;
                }
                for writer in self.writers.iter().filter(|writer| writer.person == person) {
                    self.ledger.equals(&place, writer.id.as_str(), &writer.replica(&dataset, version).await);
                }
                for watcher in self.watchers.iter().filter(|watcher| watcher.person == person) {
                    watcher.is_equal(&dataset).await;
                }
            }
        }
        self.ledger.check(context);
    }

    /// The server is dead. What it left knows of every acknowledgement that was durable.
    pub fn acknowledgements_are_kept(&self, data: &Path) {
        acks::are_kept(data, &self.watchers);
    }

    /// Patches that were acknowledged, and those of them that are gone.
    pub fn sums(&self) -> (u64, u64) {
        self.ledger.sums()
    }

    async fn infos(&self, person: &str) -> BTreeMap<DatasetName, DatasetInfo> {
        let writer = self.writers.iter().find(|writer| writer.person == person).expect("everybody writes");
        let infos = soon("the list of datasets", writer.device.list()).await.unwrap();
        infos.into_iter().map(|info| (info.dataset.clone(), info)).collect()
    }

    async fn is_sent_what_follows(&self, fresh: &mut Phone, place: &Place, position: Position) {
        let version = position.version;
        fresh.say(ClientMessage::Open { dataset: place.1.clone(), position: Some(position) }).await;
        let (mut all, mut begins_again) = (Vec::new(), false);
        loop {
            let ServerMessage::Changes { reset, more, records, .. } = fresh.hear().await else { panic!("not changes") };
            begins_again |= reset;
            all.extend(records);
            if !more {
                break;
            }
        }
        match begins_again {
            // It is told that it cannot go on from there, and gets a snapshot.
            true => self.ledger.equals(place, "a device behind the horizon", &cells(&all)),
            false => self.ledger.follows(place, "a device", version, &cells(&all)),
        }
    }
}

fn cells(records: &[Record]) -> BTreeMap<Key, Cell> {
    records.iter().map(|record| (record.key.clone(), Cell::of(record))).collect()
}
