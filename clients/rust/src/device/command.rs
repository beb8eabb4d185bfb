//! What the app's handle sends to the device's task, and where the answers go.

use driftless_protocol::{DatasetInfo, DatasetName, Registration};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::outcome::{ListError, WriteOutcome};
use super::reoffer::AppWrites;
use crate::{OutboxPatch, Replica};

/// Where a patch comes from.
pub(crate) enum PatchOrigin {
    /// The app wrote it. The permit bounds how many such patches are unanswered at once.
    App { reply: oneshot::Sender<WriteOutcome>, _permit: OwnedSemaphorePermit },
    /// The device writes again what it had before the history changed. Bounded by the replica that the changes come from.
    Reoffer(AppWrites),
}

pub(crate) type ListReply = oneshot::Sender<Result<Vec<DatasetInfo>, ListError>>;

/// Reads a replica on the device's task; `None` if the dataset is not open.
pub(crate) type ReplicaReader = Box<dyn FnOnce(Option<&Replica>) + Send>;

/// A request of the handle to the device's task.
pub(crate) enum DeviceCommand {
    Open(DatasetName),
    Close(DatasetName),
    List(ListReply),
    /// The generation is the one in which the app made the changes.
    Write(OutboxPatch<PatchOrigin>, u64),
    Synced(DatasetName, oneshot::Sender<Option<u64>>),
    Read(DatasetName, ReplicaReader),
    /// Registers for pushes; `None` unregisters.
    Push(Option<Registration>),
    Offline(oneshot::Sender<()>),
    Online,
    Shutdown(oneshot::Sender<()>),
}
