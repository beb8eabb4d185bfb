//! A device that only reads, message by message, and holds the server to what it may send.
//!
//! - On one connection records come in the order of their versions, none twice (I3), and pages follow each other without a gap.
//! - Whenever it is complete at a version it has exactly the dataset of that version (I4): the ledger compares.
//! - It acknowledges durably, over HTTP; what was acknowledged so is noted.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use driftless_client::{Connection, DisconnectReason};
use driftless_protocol::{ClientMessage, Codec, DatasetName, DeviceId, Epoch, Key, Position, Record, RefusalCode, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::ledger::{Cell, Ledger};
use crate::support::{name, settings, soon, token};

/// What it has of a dataset.
#[derive(Clone, Default)]
struct Replica {
    epoch: Option<Epoch>,
    version: u64,
    digest: u64,
    cells: BTreeMap<Key, Cell>,
}

/// What it was sent of a dataset on this connection.
#[derive(Default)]
struct Heard {
    begun_at: u64,
    pages: u64,
    newest: u64,
    records: HashSet<(Key, u64)>,
}

/// A reading device of a person.
#[derive(Clone)]
pub struct Watcher {
    pub person: &'static str,
    pub id: DeviceId,
    url: String,
    ledger: Arc<Ledger>,
    replicas: Arc<Mutex<BTreeMap<DatasetName, Replica>>>,
    identity: Arc<Mutex<Option<String>>>,
    acknowledged: Arc<Mutex<BTreeMap<DatasetName, u64>>>,
    news: watch::Sender<u64>,
}

impl Watcher {
    /// Connects whenever the server is up, for as long as the runtime lives.
    pub fn start(url: &str, person: &'static str, ledger: &Arc<Ledger>, up: watch::Receiver<bool>) -> Watcher {
        let watcher = Watcher {
            person,
            id: DeviceId::new("watcher").unwrap(),
            url: url.to_owned(),
            ledger: Arc::clone(ledger),
            replicas: Arc::default(),
            identity: Arc::default(),
            acknowledged: Arc::default(),
            news: watch::Sender::new(0),
        };
        tokio::spawn(watcher.clone().watch(up.clone()));
        tokio::spawn(watcher.clone().acknowledge(up));
        watcher
    }

    /// Waits until it is complete at the ledger's version of a dataset; it must be equal then.
    pub async fn is_equal(&self, dataset: &DatasetName) {
        let place = (self.person, dataset.clone());
        let (version, digest) = self.ledger.settled(&place);
        let mut news = self.news.subscribe();
        let has = || self.replicas.lock().unwrap().get(dataset).map_or((0, 0), |replica| (replica.version, replica.digest));
        soon(&format!("version {version} of {dataset} at the watcher of {}", self.person), async {
            while has().0 < version {
                news.changed().await.unwrap();
            }
        })
        .await;
        if has() != (version, digest) {
            let replica = self.replicas.lock().unwrap()[dataset].clone();
            let live = replica.cells.into_iter().filter(|(_, cell)| cell.value.is_some()).collect();
            self.ledger.equals(&place, "the watcher", &live);
            self.ledger.fault(format!("the watcher of {} is not equal at {version} of {dataset}", self.person));
        }
    }

    /// Whose it is, once it was welcomed.
    pub fn identity(&self) -> Option<String> {
        self.identity.lock().unwrap().clone()
    }

    /// Positions whose acknowledgement was durable.
    pub fn acknowledged(&self) -> BTreeMap<DatasetName, u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    fn fault(&self, what: String) {
        self.ledger.fault(format!("the watcher of {}: {what}", self.person));
    }

    async fn watch(self, mut up: watch::Receiver<bool>) {
        while up.wait_for(|up| *up).await.is_ok() {
            match self.session().await {
                // The server died.
                DisconnectReason::Unreachable(_) | DisconnectReason::Lost(_) | DisconnectReason::Timeout => {}
                DisconnectReason::Closed { code: 1006.., .. } => {}
                end => self.fault(format!("its session ended: {end}")),
            }
            tokio::task::yield_now().await;
        }
    }

    async fn session(&self) -> DisconnectReason {
        let settings = settings(&self.url, self.id.as_str(), Codec::MsgPack);
        let (mut connection, welcome) = match Connection::connect(&settings, token(self.person)).await {
            Ok(session) => session,
            Err(end) => return end,
        };
        *self.identity.lock().unwrap() = Some(welcome.identity);
        let mut heard: BTreeMap<DatasetName, Heard> = BTreeMap::new();
        for dataset in super::DATASETS.map(name) {
            let position = {
                let replicas = self.replicas.lock().unwrap();
                replicas.get(&dataset).and_then(|replica| Some(Position { epoch: replica.epoch.clone()?, version: replica.version }))
            };
            let begun_at = position.as_ref().map_or(0, |position| position.version);
            heard.insert(dataset.clone(), Heard { begun_at, ..Heard::default() });
            if let Err(end) = say(&mut connection, ClientMessage::Open { dataset, position }).await {
                return end;
            }
        }
        loop {
            match connection.recv().await {
                Ok(ServerMessage::Changes { dataset, epoch, from, to, reset, more, records, .. }) => {
                    let heard = heard.get_mut(&dataset).expect("it was opened");
                    self.hear(&dataset, heard, epoch, (from, to, reset, more), &records);
                    if !more
                        && to > 0
                        && let Err(end) = say(&mut connection, ClientMessage::Ack { dataset, version: to }).await
                    {
                        return end;
                    }
                }
                // The disk failed under it.
                Ok(ServerMessage::Refused { code: RefusalCode::Unavailable, .. }) => return DisconnectReason::Timeout,
                Ok(ServerMessage::Renew { .. } | ServerMessage::Bye { .. }) => {}
                Ok(other) => self.fault(format!("it was sent {other:?}")),
                Err(end) => return end,
            }
        }
    }

    fn hear(&self, dataset: &DatasetName, heard: &mut Heard, epoch: Epoch, page: (u64, u64, bool, bool), records: &[Record]) {
        let (from, to, reset, more) = page;
        let mut replicas = self.replicas.lock().unwrap();
        let replica = replicas.entry(dataset.clone()).or_default();
        if replica.epoch.as_ref().is_some_and(|known| *known != epoch) {
            self.fault(format!("{dataset} has another epoch"));
        }
        replica.epoch = Some(epoch);
        if reset {
            self.fault(format!("at {} of {dataset}, opened at {}, it is told to forget", replica.version, heard.begun_at));
            (replica.version, replica.digest) = (0, 0);
            replica.cells.clear();
        } else if from != replica.version || to < from {
            self.fault(format!("at {} of {dataset} it was sent a page from {from} to {to}", replica.version));
        }
        for record in records {
            let again = !heard.records.insert((record.key.clone(), record.version));
            if again || record.version < heard.newest || record.version <= heard.begun_at {
                self.fault(format!("{} of {dataset} at {} came after {}, again: {again}", record.key, record.version, heard.newest));
            }
            heard.newest = record.version;
            replica.keep(record);
        }
        heard.pages += 1;
        replica.version = to;
        if !more {
            if heard.newest > to {
                self.fault(format!("complete at {to} of {dataset} it has records of {}", heard.newest));
            }
            self.ledger.seen(&(self.person, dataset.clone()), to, replica.digest, "the watcher");
        }
        drop(replicas);
        self.news.send_modify(|count| *count += 1);
    }

    /// Acknowledges whatever is complete, again and again.
    async fn acknowledge(self, mut up: watch::Receiver<bool>) {
        let mut news = self.news.subscribe();
        while news.changed().await.is_ok() && up.wait_for(|up| *up).await.is_ok() {
            let versions =
                self.replicas.lock().unwrap().iter().map(|(dataset, replica)| (dataset.clone(), replica.version)).collect::<Vec<_>>();
            for (dataset, version) in versions {
                let known = self.acknowledged.lock().unwrap().get(&dataset).copied().unwrap_or(0);
                if version > known && self.post_ack(&dataset, version).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                    self.acknowledged.lock().unwrap().insert(dataset, version);
                }
            }
        }
    }

    async fn post_ack(&self, dataset: &DatasetName, version: u64) -> std::io::Result<String> {
        let body = format!("{{\"version\":{version}}}");
        let head = format!(
            "POST /v1/datasets/{dataset}/ack HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Driftless-Device: {}\r\nContent-Length: {}\r\n\r\n{body}",
            token(self.person),
            self.id,
            body.len()
        );
        let mut socket = TcpStream::connect(self.url.trim_start_matches("http://")).await?;
        socket.write_all(head.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Replica {
    fn keep(&mut self, record: &Record) {
        let before = self.cells.get(&record.key);
        if before.is_none_or(|before| before.version < record.version) {
            let after = Cell::of(record);
            self.digest ^= after.digest(&record.key) ^ before.map_or(0, |before| before.digest(&record.key));
            self.cells.insert(record.key.clone(), after);
        }
    }
}

async fn say(connection: &mut Connection, message: ClientMessage) -> Result<(), DisconnectReason> {
    connection.send(&message).await.map_err(|why| match why {
        driftless_client::SendError::Disconnected(end) => end,
        driftless_client::SendError::TooLarge { .. } => panic!("{why}"),
    })
}
