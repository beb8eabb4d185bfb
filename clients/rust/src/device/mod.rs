//! The app's handle: one device, kept connected.
//!
//! One task owns the socket, the replicas and the outbox; the handle sends it commands over a bounded channel. The task ends when
//! the last clone of the handle is dropped, or by [`Device::shutdown`].

mod command;
mod event;
mod generation;
mod open_dataset;
mod outcome;
mod reoffer;
mod reoffer_candidates;
mod send_queue;
mod state;
mod task;
mod token_renewal;

use std::collections::BTreeMap;
use std::sync::Arc;

use driftless_protocol::{Change, DatasetInfo, DatasetName, Key, Position, Record, Registration, Value};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::{OutboxPatch, Replica, Settings};
use command::{DeviceCommand, PatchOrigin};
pub use event::{Event, Events};
use generation::HistoryGeneration;
pub use outcome::{DeviceShutDown, ListError, WriteOutcome};
use task::DeviceTask;

/// How many patches of the app may be unanswered. A further [`Device::write`] waits for room: an app that is offline for long
/// notices by the waiting, not by running out of memory.
const UNANSWERED_PATCHES: usize = 1_024;

/// Commands queued for the task; callers wait when the channel is full.
const COMMAND_CAPACITY: usize = 64;

/// A device that connects and reconnects until the app says otherwise. Clones are handles of the same device.
///
/// Every method waits only for its own answer. Its future may be dropped while it waits; a patch that reached the device's task is written all the same.
#[derive(Clone, Debug)]
pub struct Device {
    commands: mpsc::Sender<DeviceCommand>,
    permits: Arc<Semaphore>,
    generation: HistoryGeneration,
}

impl Device {
    /// Starts a device on the current Tokio runtime; panics outside of one. The device connects by itself; [`Events`] reports when it
    /// has connected, or why it has not.
    pub fn connect(settings: Settings) -> (Device, Events) {
        let (commands, receiver) = mpsc::channel(COMMAND_CAPACITY);
        let (sender, events) = event::channel();
        let generation = HistoryGeneration::default();
        // The task ends when `commands` and all its clones are dropped.
        tokio::spawn(DeviceTask::new(settings, receiver, sender, generation.clone()).run());
        (Device { commands, permits: Arc::new(Semaphore::new(UNANSWERED_PATCHES)), generation }, events)
    }

    /// Keeps a replica of a dataset from now on. [`Event::Synced`] reports when the replica is complete. Does nothing if the dataset is open.
    ///
    /// Like every method that returns [`DeviceShutDown`], it fails only after the device was shut down.
    pub async fn open(&self, dataset: &DatasetName) -> Result<(), DeviceShutDown> {
        self.send(DeviceCommand::Open(dataset.clone())).await
    }

    /// Waits until the replica of an open dataset has everything that the server had when the device asked for it, and returns the
    /// replica's version; `None` if the dataset is not open. Waits as long as the device is offline, or the server refuses the
    /// dataset ([`Event::Refused`]).
    pub async fn synced(&self, dataset: &DatasetName) -> Result<Option<u64>, DeviceShutDown> {
        let (reply, answer) = oneshot::channel();
        self.send(DeviceCommand::Synced(dataset.clone(), reply)).await?;
        answer.await.map_err(|_| DeviceShutDown)
    }

    /// Stops keeping a replica of the dataset and forgets its records. Unanswered patches to the dataset are still sent.
    pub async fn close(&self, dataset: &DatasetName) -> Result<(), DeviceShutDown> {
        self.send(DeviceCommand::Close(dataset.clone())).await
    }

    /// Asks the server which datasets the identity has. Waits for a connection if there is none.
    pub async fn list(&self) -> Result<Vec<DatasetInfo>, ListError> {
        let (reply, answer) = oneshot::channel();
        self.send(DeviceCommand::List(reply)).await.map_err(|DeviceShutDown| ListError::ShutDown)?;
        answer.await.unwrap_or(Err(ListError::ShutDown))
    }

    /// Writes a patch and waits for its answer, across reconnects and for as long as the device is offline or has given up
    /// ([`Event::Closed`]). An app that cannot wait watches the events instead. The dataset need not be open.
    /// While 1,024 patches are unanswered, further ones wait for room first.
    ///
    /// If the server's history changes before the answer (`PROTOCOL.md` §8), the device lowers the bases of the changes to the last version
    /// that both histories have. The device learns of the change from an open dataset; for a dataset that is not open the app must
    /// handle bases itself.
    pub async fn write(&self, dataset: &DatasetName, changes: Vec<Change>) -> Result<WriteOutcome, DeviceShutDown> {
        let generation = self.generation.current();
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| DeviceShutDown)?;
        let (reply, answer) = oneshot::channel();
        let patch = OutboxPatch { dataset: dataset.clone(), changes, context: PatchOrigin::App { reply, _permit: permit } };
        self.send(DeviceCommand::Write(patch, generation)).await?;
        answer.await.map_err(|_| DeviceShutDown)
    }

    /// The live records of a dataset as this device has them; `None` if the dataset is not open.
    pub async fn records(&self, dataset: &DatasetName) -> Result<Option<BTreeMap<Key, Record>>, DeviceShutDown> {
        self.read(dataset, |replica| replica.live_records().map(|record| (record.key.clone(), record.clone())).collect()).await
    }

    /// The replica's position in a dataset; `None` if the dataset is not open or nothing was received yet.
    pub async fn position(&self, dataset: &DatasetName) -> Result<Option<Position>, DeviceShutDown> {
        Ok(self.read(dataset, Replica::position).await?.flatten())
    }

    /// A `put` whose base is what this device has of the key: it conflicts if another device writes the key first. `None` if the dataset is
    /// not open. After [`Event::StoreRestored`] or [`Event::IdentityMerged`] the app must make a change again that it has not written
    /// yet, because its base belongs to the former history.
    pub async fn put_if_unchanged(&self, dataset: &DatasetName, key: Key, value: Value) -> Result<Option<Change>, DeviceShutDown> {
        self.read(dataset, move |replica| replica.put_if_unchanged(key, value)).await
    }

    /// A `remove` whose base is what this device has of the key: it conflicts if another device writes the key first. `None` if the dataset
    /// is not open. The same holds after a change of history as for [`Device::put_if_unchanged`].
    pub async fn remove_if_unchanged(&self, dataset: &DatasetName, key: Key) -> Result<Option<Change>, DeviceShutDown> {
        self.read(dataset, move |replica| replica.remove_if_unchanged(key)).await
    }

    /// Registers this installation for pushes while it is disconnected; sent on this connection or the next one. [`Event::Registered`]
    /// confirms it, [`Event::Refused`] reports why it cannot be. The device repeats the registration on each connection, which keeps it
    /// fresh. An app calls this at each start, and when its push provider issues another token.
    pub async fn register(&self, registration: Registration) -> Result<(), DeviceShutDown> {
        self.send(DeviceCommand::Push(Some(registration))).await
    }

    /// Ends the registration for pushes. [`Event::Unregistered`] confirms it.
    pub async fn unregister(&self) -> Result<(), DeviceShutDown> {
        self.send(DeviceCommand::Push(None)).await
    }

    /// Closes the socket and does not reconnect; returns when the socket is closed. The device keeps patches that are written meanwhile.
    pub async fn go_offline(&self) -> Result<(), DeviceShutDown> {
        let (reply, done) = oneshot::channel();
        self.send(DeviceCommand::Offline(reply)).await?;
        done.await.map_err(|_| DeviceShutDown)
    }

    /// Connects now: after [`Device::go_offline`], after the device gave up, or instead of waiting out a back-off.
    pub async fn go_online(&self) -> Result<(), DeviceShutDown> {
        self.send(DeviceCommand::Online).await
    }

    /// Closes the socket and ends the device, for all clones of this handle. Unanswered patches are dropped: await the writes first.
    pub async fn shutdown(self) {
        let (reply, done) = oneshot::channel();
        if self.send(DeviceCommand::Shutdown(reply)).await.is_ok() {
            // An error means that the task had ended already.
            let _ = done.await;
        }
    }

    async fn send(&self, command: DeviceCommand) -> Result<(), DeviceShutDown> {
        self.commands.send(command).await.map_err(|_| DeviceShutDown)
    }

    async fn read<T: Send + 'static>(
        &self,
        dataset: &DatasetName,
        view: impl FnOnce(&Replica) -> T + Send + 'static,
    ) -> Result<Option<T>, DeviceShutDown> {
        let (reply, answer) = oneshot::channel();
        let read = move |replica: Option<&Replica>| {
            // The caller may have dropped its future; the send error is ignored.
            let _ = reply.send(replica.map(view));
        };
        self.send(DeviceCommand::Read(dataset.clone(), Box::new(read))).await?;
        answer.await.map_err(|_| DeviceShutDown)
    }
}
