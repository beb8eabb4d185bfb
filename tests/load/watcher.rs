//! A device that only reads, one message at a time, and checks each of them.
//!
//! - On one connection records arrive in the order of their versions, none of them twice (I3), and pages follow each other without a gap.
//! - Whenever the replica is complete at a version it equals the dataset at that version (I4); the ledger compares their digests.
//! - It acknowledges over HTTP, where the answer means that the acknowledgement is durable, and remembers what it acknowledged.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use driftless_client::{Connection, DisconnectReason};
use driftless_protocol::{ClientMessage, Codec, DatasetName, DeviceId, Epoch, Key, Position, Record, RefusalCode, ServerMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::ledger::{LedgerRecord, WriteLedger};
use super::settings::DATASETS;
use crate::support::{name, settings, token, wait_for};

/// The watcher's copy of a dataset.
#[derive(Clone, Default)]
struct WatchedReplica {
    epoch: Option<Epoch>,
    version: u64,
    digest: u64,
    records: BTreeMap<Key, LedgerRecord>,
}

/// What the server has sent of a dataset on this connection.
#[derive(Default)]
struct ReceivedPages {
    opened_at: u64,
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
    ledger: Arc<WriteLedger>,
    replicas: Arc<Mutex<BTreeMap<DatasetName, WatchedReplica>>>,
    identity: Arc<Mutex<Option<String>>>,
    acknowledged: Arc<Mutex<BTreeMap<DatasetName, u64>>>,
    /// Counts received pages, for tasks that wait for one.
    received: watch::Sender<u64>,
}

impl Watcher {
    /// Connects whenever the server is up, until the runtime is dropped.
    pub fn start(url: &str, person: &'static str, ledger: &Arc<WriteLedger>, up: watch::Receiver<bool>) -> Watcher {
        let watcher = Watcher {
            person,
            id: DeviceId::new("watcher").unwrap(),
            url: url.to_owned(),
            ledger: Arc::clone(ledger),
            replicas: Arc::default(),
            identity: Arc::default(),
            acknowledged: Arc::default(),
            received: watch::Sender::new(0),
        };
        tokio::spawn(watcher.clone().watch(up.clone()));
        tokio::spawn(watcher.clone().acknowledge(up));
        watcher
    }

    /// Waits until the replica of a dataset has the ledger's version, and checks that it equals the ledger.
    pub async fn check_replica(&self, dataset: &DatasetName) {
        let key = (self.person, dataset.clone());
        let (version, digest) = self.ledger.replayed(&key);
        let mut received = self.received.subscribe();
        let has = || self.replicas.lock().unwrap().get(dataset).map_or((0, 0), |replica| (replica.version, replica.digest));
        wait_for(&format!("version {version} of {dataset} at the watcher of {}", self.person), async {
            while has().0 < version {
                received.changed().await.unwrap();
            }
        })
        .await;
        if has() != (version, digest) {
            let replica = self.replicas.lock().unwrap()[dataset].clone();
            let live = replica.records.into_iter().filter(|(_, record)| record.value.is_some()).collect();
            self.ledger.check_live_records(&key, "the watcher", &live);
            self.ledger.report(format!("the watcher of {} differs from version {version} of {dataset}", self.person));
        }
    }

    /// The identity from the last welcome; `None` before the first one.
    pub fn identity(&self) -> Option<String> {
        self.identity.lock().unwrap().clone()
    }

    /// The versions that were acknowledged durably.
    pub fn acknowledged(&self) -> BTreeMap<DatasetName, u64> {
        self.acknowledged.lock().unwrap().clone()
    }

    fn report(&self, violation: String) {
        self.ledger.report(format!("the watcher of {}: {violation}", self.person));
    }

    async fn watch(self, mut up: watch::Receiver<bool>) {
        while up.wait_for(|up| *up).await.is_ok() {
            match self.session().await {
                // The server was killed.
                DisconnectReason::Unreachable(_) | DisconnectReason::Lost(_) | DisconnectReason::Timeout => {}
                DisconnectReason::Closed { code: 1006.., .. } => {}
                end => self.report(format!("its session ended: {end}")),
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
        let mut received: BTreeMap<DatasetName, ReceivedPages> = BTreeMap::new();
        for dataset in DATASETS.map(name) {
            let position = {
                let replicas = self.replicas.lock().unwrap();
                replicas.get(&dataset).and_then(|replica| Some(Position { epoch: replica.epoch.clone()?, version: replica.version }))
            };
            let opened_at = position.as_ref().map_or(0, |position| position.version);
            received.insert(dataset.clone(), ReceivedPages { opened_at, ..ReceivedPages::default() });
            if let Err(end) = send_message(&mut connection, ClientMessage::Open { dataset, position }).await {
                return end;
            }
        }
        loop {
            match connection.recv().await {
                Ok(ServerMessage::Changes { dataset, epoch, from, to, reset, more, records, .. }) => {
                    let received = received.get_mut(&dataset).expect("an opened dataset");
                    self.apply_page(&dataset, received, epoch, (from, to, reset, more), &records);
                    if !more
                        && to > 0
                        && let Err(end) = send_message(&mut connection, ClientMessage::Ack { dataset, version: to }).await
                    {
                        return end;
                    }
                }
                // The power was cut: the server's disk fails before the server is killed.
                Ok(ServerMessage::Refused { code: RefusalCode::Unavailable, .. }) => return DisconnectReason::Timeout,
                Ok(ServerMessage::Renew { .. } | ServerMessage::Renewed { .. } | ServerMessage::Bye { .. }) => {}
                Ok(other) => self.report(format!("it was sent {other:?}")),
                Err(end) => return end,
            }
        }
    }

    fn apply_page(
        &self,
        dataset: &DatasetName,
        received: &mut ReceivedPages,
        epoch: Epoch,
        page: (u64, u64, bool, bool),
        records: &[Record],
    ) {
        let (from, to, reset, more) = page;
        let mut replicas = self.replicas.lock().unwrap();
        let replica = replicas.entry(dataset.clone()).or_default();
        if replica.epoch.as_ref().is_some_and(|known| *known != epoch) {
            self.report(format!("the epoch of {dataset} changed"));
        }
        replica.epoch = Some(epoch);
        if reset {
            self.report(format!("at {} of {dataset}, opened at {}, it was reset", replica.version, received.opened_at));
            (replica.version, replica.digest) = (0, 0);
            replica.records.clear();
        } else if from != replica.version || to < from {
            self.report(format!("at {} of {dataset} it was sent a page from {from} to {to}", replica.version));
        }
        for record in records {
            let is_repeated = !received.records.insert((record.key.clone(), record.version));
            if is_repeated || record.version < received.newest || record.version <= received.opened_at {
                let (key, version, newest) = (&record.key, record.version, received.newest);
                self.report(format!("{key} of {dataset} at {version} was sent after {newest}, repeated: {is_repeated}"));
            }
            received.newest = record.version;
            replica.apply(record);
        }
        received.pages += 1;
        replica.version = to;
        if !more {
            if received.newest > to {
                self.report(format!("complete at {to} of {dataset} it has records of version {}", received.newest));
            }
            self.ledger.record_observed(&(self.person, dataset.clone()), to, replica.digest, "the watcher");
        }
        drop(replicas);
        self.received.send_modify(|count| *count += 1);
    }

    /// Acknowledges each dataset's version after every page.
    async fn acknowledge(self, mut up: watch::Receiver<bool>) {
        let mut received = self.received.subscribe();
        while received.changed().await.is_ok() && up.wait_for(|up| *up).await.is_ok() {
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

impl WatchedReplica {
    fn apply(&mut self, record: &Record) {
        let before = self.records.get(&record.key);
        if before.is_none_or(|before| before.version < record.version) {
            let after = LedgerRecord::of(record);
            self.digest ^= after.digest(&record.key) ^ before.map_or(0, |before| before.digest(&record.key));
            self.records.insert(record.key.clone(), after);
        }
    }
}

async fn send_message(connection: &mut Connection, message: ClientMessage) -> Result<(), DisconnectReason> {
    connection.send(&message).await.map_err(|why| match why {
        driftless_client::SendError::Disconnected(end) => end,
        driftless_client::SendError::TooLarge { .. } => panic!("{why}"),
    })
}
