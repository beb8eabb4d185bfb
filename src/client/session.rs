//! A device for the length of a command.

use std::collections::BTreeMap;
use std::future::Future;

use driftless_client::{Device, DisconnectReason, Event, Events, WriteOutcome, Settings};
use driftless_protocol::{Change, Codec, DatasetName, Key, Limits, Record};

use super::Failure;
use super::output::note;
use super::render::{self, printable};

/// A note names at most this many keys.
const SHOWN_KEYS: usize = 10;

/// A connected device. The first connection must come about; later ones may be lost and found again.
pub(super) struct Session {
    pub(super) device: Device,
    pub(super) events: Events,
    pub(super) codec: Codec,
    pub(super) limits: Limits,
    url: String,
}

impl Session {
    /// Connects once.
    pub(super) async fn start(settings: Settings) -> Result<Session, Failure> {
        let (url, codec) = (settings.address.url().to_owned(), settings.codec);
        let (device, mut events) = Device::connect(settings);
        loop {
            match events.recv().await {
                Some(Event::Connected(welcome)) => return Ok(Session { device, events, codec, limits: welcome.limits, url }),
                Some(Event::Disconnected { why, .. } | Event::Closed { why }) => return Err(Failure::NoSession { url, why }),
                Some(_) => {}
                None => return Err(Failure::Gone),
            }
        }
    }

    /// Waits for work that needs the connection; says on stderr how that goes. Fails when the device gives up.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                event = self.events.recv() => match event {
                    Some(event) => self.connection(&event)?,
                    None => return Err(Failure::Gone),
                },
            }
        }
    }

    /// What an event says about the connection: a note on stderr, or the end of the command.
    pub(super) fn connection(&self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Connected(_) => note("connected again"),
            Event::Disconnected { why, retry_in_ms } if why.code().is_none_or(|code| !hopeless(code)) => {
                note(&format!("{}; trying again in {}.{} s", printable(&why.to_string()), retry_in_ms / 1_000, retry_in_ms % 1_000 / 100));
            }
            Event::Disconnected { why, .. } | Event::Closed { why } => return Err(self.no_session(why.clone())),
            Event::Refused { dataset: None, code, message } => note(&format!("refused ({code}): {}", printable(message))),
            Event::Refused { dataset: Some(_), code, message } => {
                return Err(Failure::Refused { code: *code, message: message.clone() });
            }
            Event::StoreRestored { dataset, offered, .. } => note(&format!(
                "{dataset} was restored from a backup; {} that the backup does not have written again",
                render::count(*offered, "record")
            )),
            Event::IdentityMerged { from, to } => note(&format!("{} is now {}", printable(from), printable(to))),
            Event::ReofferConflict { dataset, ours, .. } => {
                note(&format!("{dataset}: not written again, because another device wrote them since: {}", keys(ours)));
            }
            Event::ReofferRefused { dataset, ours, code, message } => {
                note(&format!("{dataset}: not written again ({code}: {}): {}", printable(message), keys(ours)));
            }
            Event::Changed { .. } | Event::Synced { .. } | Event::Registered { .. } | Event::Unregistered | Event::Dropped { .. } => {}
        }
        Ok(())
    }

    /// The records of a dataset as they are now.
    pub(super) async fn records(&mut self, dataset: &DatasetName) -> Result<BTreeMap<Key, Record>, Failure> {
        self.device.open(dataset).await?;
        let device = self.device.clone();
        self.during(device.synced(dataset)).await??;
        Ok(device.records(dataset).await?.unwrap_or_default())
    }

    /// Writes a patch; anything but success is a failure.
    pub(super) async fn write(&mut self, dataset: &DatasetName, changes: Vec<Change>) -> Result<(u64, Vec<Record>), Failure> {
        let device = self.device.clone();
        written(self.during(device.write(dataset, changes)).await??)
    }

    /// Closes the socket.
    pub(super) async fn end(self) {
        self.device.shutdown().await;
    }

    fn no_session(&self, why: DisconnectReason) -> Failure {
        Failure::NoSession { url: self.url.clone(), why }
    }
}

/// The version that a patch made, and the results that came with it.
pub(super) fn written(outcome: WriteOutcome) -> Result<(u64, Vec<Record>), Failure> {
    match outcome {
        WriteOutcome::Written { version, records } => Ok((version, records)),
        WriteOutcome::Conflict { records } => Err(Failure::Conflict { records }),
        WriteOutcome::Refused { code, message } => Err(Failure::Refused { code, message }),
    }
}

/// The keys of changes, for people.
fn keys(changes: &[Change]) -> String {
    let shown: Vec<String> = changes.iter().take(SHOWN_KEYS).map(|change| printable(change.key.as_str())).collect();
    let more = changes.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// A token that was given once will not get better.
fn hopeless(code: driftless_protocol::CloseCode) -> bool {
    code == driftless_protocol::CloseCode::TokenRefused
}
