//! The device of a command, connected while the command runs.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use driftless_client::{Device, DisconnectReason, Event, Events, Settings, WriteOutcome};
use driftless_protocol::{Change, Codec, DatasetName, Key, Limits, Record};

use super::error::ClientError;
use super::nearest::nearest;
use super::output::note;
use super::render::{self, printable};

/// After this time a note says that a write is not answered: a server that refuses writes for now gets them again until it takes them.
const UNANSWERED_NOTE: Duration = Duration::from_secs(3);

/// The most keys that a note names.
const MAX_SHOWN_KEYS: usize = 10;

/// A connected device. The first connection must succeed; after that the device reconnects by itself.
pub(super) struct CliSession {
    pub(super) device: Device,
    pub(super) events: Events,
    pub(super) codec: Codec,
    pub(super) limits: Limits,
    url: String,
}

impl CliSession {
    /// Connects; fails if the first attempt does.
    pub(super) async fn start(settings: Settings) -> Result<CliSession, ClientError> {
        let (url, codec) = (settings.address.url().to_owned(), settings.codec);
        let (device, mut events) = Device::connect(settings);
        loop {
            match events.recv().await {
                Some(Event::Connected(welcome)) => return Ok(CliSession { device, events, codec, limits: welcome.limits, url }),
                Some(Event::Disconnected { why, .. } | Event::Closed { why }) => return Err(ClientError::NoSession { url, why }),
                Some(_) => {}
                None => return Err(ClientError::DeviceEnded),
            }
        }
    }

    /// Runs a future that needs the connection, and reports the device's events on stderr meanwhile. Fails when the device gives up.
    pub(super) async fn run<T>(&mut self, future: impl Future<Output = T>) -> Result<T, ClientError> {
        tokio::pin!(future);
        loop {
            tokio::select! {
                biased;
                done = &mut future => return Ok(done),
                event = self.events.recv() => match event {
                    Some(event) => self.report(&event)?,
                    None => return Err(ClientError::DeviceEnded),
                },
            }
        }
    }

    /// Reports an event as a note on stderr. Fails if the event ends the command.
    pub(super) fn report(&self, event: &Event) -> Result<(), ClientError> {
        match event {
            Event::Connected(_) => note("reconnected"),
            Event::Disconnected { why, retry_in_ms } if why.code().is_none_or(|code| !is_permanent(code)) => {
                note(&format!("{}; reconnecting in {}.{} s", printable(&why.to_string()), retry_in_ms / 1_000, retry_in_ms % 1_000 / 100));
            }
            Event::Disconnected { why, .. } | Event::Closed { why } => return Err(self.no_session(why.clone())),
            Event::Refused { dataset: None, code, message } => note(&format!("refused ({code}): {}", printable(message))),
            Event::Refused { dataset: Some(_), code, message } => {
                return Err(ClientError::Refused { code: *code, message: message.clone() });
            }
            Event::StoreRestored { dataset, reoffered, .. } => note(&format!(
                "{dataset} was restored from a backup; {} that the backup does not have written again",
                render::count(*reoffered, "record")
            )),
            Event::IdentityMerged { from, to } => note(&format!("the identity {} was merged into {}", printable(from), printable(to))),
            Event::ReofferConflict { dataset, ours, .. } => {
                note(&format!("{dataset}: not written again because of newer writes by another device: {}", keys(ours)));
            }
            Event::ReofferRefused { dataset, ours, code, message } => {
                note(&format!("{dataset}: not written again ({code}: {}): {}", printable(message), keys(ours)));
            }
            Event::Changed { .. }
            | Event::Synced { .. }
            | Event::Registered { .. }
            | Event::Unregistered
            | Event::Linked { .. }
            | Event::PushLost { .. }
            | Event::Dropped { .. } => {}
        }
        Ok(())
    }

    /// The records of a dataset as they are now.
    pub(super) async fn records(&mut self, dataset: &DatasetName) -> Result<BTreeMap<Key, Record>, ClientError> {
        self.device.open(dataset).await?;
        let device = self.device.clone();
        self.run(device.synced(dataset)).await??;
        Ok(device.records(dataset).await?.unwrap_or_default())
    }

    /// The records of a dataset as they are now. A dataset that was never written is an error: its name may be misspelt.
    pub(super) async fn existing(&mut self, dataset: &DatasetName) -> Result<BTreeMap<Key, Record>, ClientError> {
        let records = self.records(dataset).await?;
        if records.is_empty() {
            let device = self.device.clone();
            let datasets = self.run(device.list()).await??;
            if !datasets.iter().any(|info| info.dataset == *dataset) {
                let nearest = nearest(dataset.as_str(), datasets.iter().map(|info| info.dataset.as_str()));
                return Err(ClientError::NoDataset { dataset: dataset.clone(), nearest });
            }
        }
        Ok(records)
    }

    /// Writes a patch; a conflict and a refusal are errors.
    pub(super) async fn write(&mut self, dataset: &DatasetName, changes: Vec<Change>) -> Result<(u64, Vec<Record>), ClientError> {
        let device = self.device.clone();
        let mut writing = pin!(self.run(device.write(dataset, changes)));
        let outcome = match tokio::time::timeout(UNANSWERED_NOTE, &mut writing).await {
            Ok(outcome) => outcome,
            Err(_) => {
                note("not written yet: the server refuses writes for now, its log says why, or is not reached; the write is sent again");
                writing.await
            }
        };
        written(outcome??)
    }

    pub(super) async fn close(self) {
        self.device.shutdown().await;
    }

    fn no_session(&self, why: DisconnectReason) -> ClientError {
        ClientError::NoSession { url: self.url.clone(), why }
    }
}

/// The version that a patch made, and the results that only the server can compute.
pub(super) fn written(outcome: WriteOutcome) -> Result<(u64, Vec<Record>), ClientError> {
    match outcome {
        WriteOutcome::Written { version, records } => Ok((version, records)),
        WriteOutcome::Conflict { records } => Err(ClientError::Conflict { records }),
        WriteOutcome::Refused { code, message } => Err(ClientError::Refused { code, message }),
    }
}

/// The keys of changes as text for people.
fn keys(changes: &[Change]) -> String {
    let shown: Vec<String> = changes.iter().take(MAX_SHOWN_KEYS).map(|change| printable(change.key.as_str())).collect();
    let more = changes.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// A rejected token will be rejected again: a command has only one.
fn is_permanent(code: driftless_protocol::CloseCode) -> bool {
    code == driftless_protocol::CloseCode::TokenRefused
}
