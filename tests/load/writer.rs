//! A device as an app uses it, through the client library: it writes, reconnects by itself, and keeps a replica.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftless_client::{Device, Event, Events, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{Codec, DatasetName, DeviceId, Key};
use tokio::sync::watch;

use super::ledger::{AcknowledgedPatch, LedgerRecord, WriteLedger};
use super::plan;
use super::random::SeededRandom;
use super::settings::DATASETS;
use crate::support::{name, token, wait_for};

/// A writing device of a person.
#[derive(Clone)]
pub struct LoadWriter {
    pub person: &'static str,
    pub id: DeviceId,
    pub device: Device,
    /// Counts the device's events, for tasks that wait for one.
    events: watch::Receiver<u64>,
    ledger: Arc<WriteLedger>,
}

impl LoadWriter {
    /// Connects a person's device, opens the datasets, and reconnects whenever the server is up.
    pub async fn start(
        url: &str,
        (person, device): (&'static str, String),
        codec: Codec,
        ledger: &Arc<WriteLedger>,
        up: watch::Receiver<bool>,
    ) -> LoadWriter {
        let id = DeviceId::new(&device).unwrap();
        // A new token for each connection, because a long run outlives a token.
        let tokens = TokenSource::new(move || std::future::ready(Ok(token(person))));
        let settings = Settings { codec, ..Settings::new(url, id.clone(), tokens).unwrap() };
        let (device, events) = Device::connect(settings);
        for dataset in DATASETS {
            device.open(&name(dataset)).await.unwrap();
        }
        let (counted, count) = watch::channel(0);
        let writer = LoadWriter { person, id, device, events: count, ledger: Arc::clone(ledger) };
        // The task ends with the device.
        tokio::spawn(check_events(writer.clone(), events, up, counted));
        writer
    }

    /// Writes this many patches, one after the other, and records the answer to each in the ledger.
    pub async fn write(self, mut random: SeededRandom, unique: String, patches: u64) {
        for n in 0..patches {
            let dataset = name(DATASETS[random.below(DATASETS.len() as u64) as usize]);
            let unique = format!("{}/{unique}/{n}", self.id);
            let changes = match n {
                0 => vec![plan::unique_record(&unique)],
                _ => plan::changes(&mut random, &self.device, &dataset, &unique).await,
            };
            let key = (self.person, dataset.clone());
            match self.device.write(&dataset, changes.clone()).await.unwrap() {
                WriteOutcome::Written { version, records } => {
                    self.ledger.record_written(&key, version, AcknowledgedPatch { device: self.id.clone(), changes, results: records });
                }
                WriteOutcome::Conflict { records } => self.ledger.record_conflict(&key, &self.id, &changes, &records),
                WriteOutcome::Refused { code, message } => panic!("{} was refused: {code}, {message}", self.id),
            }
        }
    }

    /// Waits until the replica has a version, and returns its records.
    pub async fn replica(&self, dataset: &DatasetName, version: u64) -> BTreeMap<Key, LedgerRecord> {
        let mut events = self.events.clone();
        wait_for(&format!("version {version} of {dataset} at {} of {}", self.id, self.person), async {
            while self.device.position(dataset).await.unwrap().map_or(0, |position| position.version) < version {
                events.changed().await.expect("the device runs");
            }
        })
        .await;
        let records = self.device.records(dataset).await.unwrap().expect("the dataset is open");
        records.iter().map(|(key, record)| (key.clone(), LedgerRecord::of(record))).collect()
    }
}

/// Checks a device's events: the versions of datasets and records only increase, and pages follow each other without a gap.
async fn check_events(writer: LoadWriter, mut events: Events, mut up: watch::Receiver<bool>, counted: watch::Sender<u64>) {
    let LoadWriter { person, id, device, ledger, .. } = writer;
    let mut versions: BTreeMap<DatasetName, u64> = BTreeMap::new();
    let mut records_at: BTreeMap<(DatasetName, Key), u64> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Changed { dataset, from, to, reset, records } => {
                let before = versions.insert(dataset.clone(), to).unwrap_or(from);
                if reset && before > 0 {
                    ledger.report(format!("{id} of {person} was at {before} of {dataset} and was reset"));
                }
                if before != from || to < from {
                    ledger.report(format!("{id} of {person} was at {before} of {dataset} and went from {from} to {to}"));
                }
                for record in records {
                    let before = records_at.insert((dataset.clone(), record.key.clone()), record.version);
                    if before.is_some_and(|before| before >= record.version) {
                        ledger.report(format!("{id} of {person} had {before:?} of {} and was sent {}", record.key, record.version));
                    }
                }
            }
            // Reconnects as soon as the server is up: the client's backoff would only make the test slower.
            Event::Disconnected { .. } => {
                if up.wait_for(|up| *up).await.is_err() || device.go_online().await.is_err() {
                    return;
                }
            }
            Event::Refused { .. }
            | Event::Closed { .. }
            | Event::StoreRestored { .. }
            | Event::IdentityMerged { .. }
            | Event::ReofferConflict { .. }
            | Event::ReofferRefused { .. } => ledger.report(format!("{id} of {person}: {event:?}")),
            // On a busy machine the client library drops events, also pages; the next one may start at any version.
            Event::Dropped { .. } => versions.clear(),
            Event::Connected(_)
            | Event::Synced { .. }
            | Event::Registered { .. }
            | Event::Unregistered
            | Event::Linked { .. }
            | Event::PushLost { .. } => {}
        }
        counted.send_modify(|count| *count += 1);
    }
}
