//! A dataset that the app has opened: its replica, and how far the server's answer to `open` has come.

use driftless_protocol::{ClientMessage, DatasetName};
use tokio::sync::oneshot;

use super::reoffer_candidates::ReofferCandidates;
use crate::Replica;
use crate::replica::ChangesPage;

/// How far the server's answer to `open` has come on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncStatus {
    /// The device has sent `open`, or will on the next connection.
    Pending,
    /// The server could not answer; the device asks again later.
    Deferred,
    /// The answer is complete; changes follow as they happen.
    Synced,
}

/// Whether the server of this connection has said which history it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HistoryStatus {
    /// The server's history may be another than the replica's, in which the bases of writes are versions.
    Unknown,
    /// The replica follows the server's history, or the server refuses the dataset and so does not say.
    Known,
}

pub(crate) struct OpenDataset {
    pub(crate) replica: Replica,
    pub(crate) status: SyncStatus,
    pub(crate) history: HistoryStatus,
    /// Records from before a change of history, until the answer is complete.
    pub(crate) candidates: ReofferCandidates,
    /// The server could not take an acknowledgement; the device repeats it later.
    pub(crate) ack_deferred: bool,
    /// Callers of `synced` that wait for the answer to be complete.
    pub(crate) waiters: Vec<oneshot::Sender<Option<u64>>>,
}

impl OpenDataset {
    pub(crate) fn new() -> OpenDataset {
        OpenDataset {
            replica: Replica::new(),
            status: SyncStatus::Pending,
            history: HistoryStatus::Unknown,
            candidates: ReofferCandidates::default(),
            ack_deferred: false,
            waiters: Vec::new(),
        }
    }

    /// The connection ended; the device will ask the next connection's server again.
    pub(crate) fn disconnected(&mut self) {
        self.status = SyncStatus::Pending;
        self.history = HistoryStatus::Unknown;
        self.ack_deferred = false;
    }

    /// Asks for the changes after the replica's position.
    pub(crate) fn open_message(&self, dataset: &DatasetName) -> ClientMessage {
        ClientMessage::Open { dataset: dataset.clone(), position: self.replica.position() }
    }

    /// Whether patches may be sent: their bases are versions of the replica's history, and must not reach a server with another history unchanged.
    pub(crate) fn can_send_patches(&self) -> bool {
        self.history == HistoryStatus::Known || self.replica.epoch().is_none()
    }

    /// Whether this page begins another history than the replica's.
    pub(crate) fn starts_other_history(&self, page: &ChangesPage) -> bool {
        page.reset && self.replica.epoch().is_some_and(|epoch| *epoch != page.epoch)
    }
}
