//! A device as an app has it: it writes, reconnects by itself, and its replica follows.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftless_client::{Device, Event, Events, Settings, TokenSource, WriteOutcome};
use driftless_protocol::{Codec, DatasetName, DeviceId, Key};
use tokio::sync::watch;

use super::ledger::{Cell, Entry, Ledger};
use super::{Chance, plan};
use crate::support::{name, soon, token};

/// A device of a person.
#[derive(Clone)]
pub struct Writer {
    pub person: &'static str,
    pub id: DeviceId,
    pub device: Device,
    news: watch::Receiver<u64>,
    ledger: Arc<Ledger>,
}

impl Writer {
    /// Connects, opens the datasets, and stays connected whenever the server is up.
    pub async fn start(url: &str, who: (&'static str, String), codec: Codec, ledger: &Arc<Ledger>, up: watch::Receiver<bool>) -> Writer {
        let (person, id) = (who.0, DeviceId::new(&who.1).unwrap());
        // A token for each connection: a long run outlives them.
        let tokens = TokenSource::new(move || std::future::ready(Ok(token(person))));
        let settings = Settings { codec, ..Settings::new(url, id.clone(), tokens).unwrap() };
        let (device, events) = Device::connect(settings);
        for dataset in super::DATASETS {
            device.open(&name(dataset)).await.unwrap();
        }
        let (told, news) = watch::channel(0);
        let writer = Writer { person, id, device, news, ledger: Arc::clone(ledger) };
        // Ends with the device.
        tokio::spawn(listen(writer.clone(), events, up, told));
        writer
    }

    /// Writes so many patches, one after the other, and notes what became of each.
    pub async fn write(self, mut chance: Chance, unique: String, patches: u64) {
        for n in 0..patches {
            let dataset = name(super::DATASETS[chance.below(super::DATASETS.len() as u64) as usize]);
            let unique = format!("{}/{unique}/{n}", self.id);
            let changes = match n {
                0 => vec![plan::mark(&unique)],
                _ => plan::changes(&mut chance, &self.device, &dataset, &unique).await,
            };
            let place = (self.person, dataset.clone());
            match self.device.write(&dataset, changes.clone()).await.unwrap() {
                WriteOutcome::Written { version, records } => {
                    self.ledger.written(&place, version, Entry { device: self.id.clone(), changes, results: records });
                }
                WriteOutcome::Conflict { records } => self.ledger.conflict(&place, &self.id, &changes, &records),
                WriteOutcome::Refused { code, message } => panic!("{} was refused: {code}, {message}", self.id),
            }
        }
    }

    /// Waits until the replica has a version, and returns its records.
    pub async fn replica(&self, dataset: &DatasetName, version: u64) -> BTreeMap<Key, Cell> {
        let mut news = self.news.clone();
        soon(&format!("version {version} of {dataset} at {} of {}", self.id, self.person), async {
            while self.device.position(dataset).await.unwrap().map_or(0, |position| position.version) < version {
                news.changed().await.expect("the device lives");
            }
        })
        .await;
        let records = self.device.records(dataset).await.unwrap().expect("the dataset is open");
        records.iter().map(|(key, record)| (key.clone(), Cell::of(record))).collect()
    }
}

/// Hears what happens to a device: its versions only ever go forward, one page after the other.
async fn listen(writer: Writer, mut events: Events, mut up: watch::Receiver<bool>, told: watch::Sender<u64>) {
    let Writer { person, id, device, ledger, .. } = writer;
    let mut versions: BTreeMap<DatasetName, u64> = BTreeMap::new();
    let mut records_at: BTreeMap<(DatasetName, Key), u64> = BTreeMap::new();
    while let Some(event) = events.recv().await {
        match event {
            Event::Changed { dataset, from, to, reset, records } => {
                let before = versions.insert(dataset.clone(), to).unwrap_or(from);
                if reset && before > 0 {
                    ledger.fault(format!("{id} of {person} was at {before} of {dataset} and had to begin again"));
                }
                if before != from || to < from {
                    ledger.fault(format!("{id} of {person} was at {before} of {dataset} and went from {from} to {to}"));
                }
                for record in records {
                    let before = records_at.insert((dataset.clone(), record.key.clone()), record.version);
                    if before.is_some_and(|before| before >= record.version) {
                        ledger.fault(format!("{id} of {person} had {before:?} of {} and was given {}", record.key, record.version));
                    }
                }
            }
            // Back at once when the server is: the client's own patience is not what is tried here.
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
            | Event::ReofferRefused { .. } => ledger.fault(format!("{id} of {person}: {event:?}")),
            // A busy machine: what was missed may have been pages.
            Event::Dropped { .. } => versions.clear(),
            Event::Connected(_) | Event::Synced { .. } | Event::Registered { .. } | Event::Unregistered => {}
        }
        told.send_modify(|count| *count += 1);
    }
}
