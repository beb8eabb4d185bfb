//! The handle of an app: one device, kept connected.
//!
//! One task owns the socket, the replicas and the outbox; this handle talks to it over a bounded channel. The task ends when
//! the last clone of the handle is dropped, or by [`Device::shutdown`].

mod ages;
mod dataset;
mod driver;
mod event;
mod former;
mod machine;
mod offers;
mod outcome;
mod outgoing;
mod renewal;

use std::collections::BTreeMap;
use std::sync::Arc;

use driftless_protocol::{Change, DatasetInfo, DatasetName, Key, Position, Record, Registration, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::{Patch, Replica, Settings};
use ages::Age;
use driver::Driver;
pub use event::{Event, Events};
use offers::Overtaken;
pub use outcome::{Gone, ListError, Outcome};

/// Patches that wait for their answer. A further [`Device::write`] waits for room: an app that is offline
/// for long should hear of it from the waiting, not from the machine's memory.
const PATCHES: usize = 1_024;

/// Commands on their way to the task; callers wait when it is full.
const COMMANDS: usize = 64;

/// Whose a patch is.
pub(crate) enum Ticket {
    /// The app's: where its answer goes, and its place among [`PATCHES`].
    App { reply: oneshot::Sender<Outcome>, _room: OwnedSemaphorePermit },
    /// The device's own: what it had before the history changed. Bounded by the replica that it comes from.
    Offer(Overtaken),
}

type ListReply = oneshot::Sender<Result<Vec<DatasetInfo>, ListError>>;
type Look = Box<dyn FnOnce(Option<&Replica>) + Send>;

/// What a handle asks of its task.
pub(crate) enum Command {
    Open(DatasetName),
    Close(DatasetName),
    List(ListReply),
    /// With the age in which it was made.
    Write(Patch<Ticket>, u64),
    Synced(DatasetName, oneshot::Sender<Option<u64>>),
    Look(DatasetName, Look),
    Push(Option<Registration>),
    Offline(oneshot::Sender<()>),
    Online,
    Shutdown(oneshot::Sender<()>),
}

/// A device that connects, and connects again, until it is told otherwise. Clones are the same device.
///
/// Every method waits only for its own answer and may be dropped while it waits; a patch that was handed over is written all the same.
#[derive(Clone, Debug)]
pub struct Device {
    commands: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    age: Age,
}

impl Device {
    /// Starts a device on the current Tokio runtime. It connects by itself; [`Events`] tells when it has, or why it has not.
    pub fn connect(settings: Settings) -> (Device, Events) {
        let (commands, orders) = mpsc::channel(COMMANDS);
        let (sink, events) = event::channel();
        let age = Age::default();
        // Ends when `commands` and all its clones are dropped.
        tokio::spawn(Driver::new(settings, orders, sink, age.clone()).run());
        (Device { commands, room: Arc::new(Semaphore::new(PATCHES)), age }, events)
    }

    /// Keeps a replica of a dataset from now on. [`Event::Synced`] says when it is complete. Does nothing if it is open.
    pub async fn open(&self, dataset: &DatasetName) -> Result<(), Gone> {
        self.say(Command::Open(dataset.clone())).await
    }

    /// Waits until the replica of an open dataset has everything that the server had when it was asked, and gives its version; `None`
    /// if the dataset is not open. Waits for as long as the device is offline, or the server refuses the dataset ([`Event::Refused`]).
    pub async fn synced(&self, dataset: &DatasetName) -> Result<Option<u64>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.say(Command::Synced(dataset.clone(), reply)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// Keeps it no more and forgets its records; its unsent writes stay.
    pub async fn close(&self, dataset: &DatasetName) -> Result<(), Gone> {
        self.say(Command::Close(dataset.clone())).await
    }

    /// Which datasets there are. Waits for a connection if there is none.
    pub async fn list(&self) -> Result<Vec<DatasetInfo>, ListError> {
        let (reply, answer) = oneshot::channel();
        self.say(Command::List(reply)).await.map_err(|Gone| ListError::Gone)?;
        answer.await.unwrap_or(Err(ListError::Gone))
    }

    /// Writes a patch and waits for its answer, across reconnects and for as long as the device is offline or has given up
    /// ([`Event::Closed`]); who cannot wait watches the events. The dataset need not be open.
    /// While 1,024 patches are unanswered, further ones wait for room first.
    ///
    /// If the server's history changes before the answer (`PROTOCOL.md` §8), the bases of the changes are lowered to what both histories have. A
    /// device learns that from an open dataset; bases of one that is not open are the app's own affair.
    pub async fn write(&self, dataset: &DatasetName, changes: Vec<Change>) -> Result<Outcome, Gone> {
        let made = self.age.now();
        let room = self.room.clone().acquire_owned().await.map_err(|_| Gone)?;
        let (reply, answer) = oneshot::channel();
        let patch = Patch { dataset: dataset.clone(), changes, ticket: Ticket::App { reply, _room: room } };
        self.say(Command::Write(patch, made)).await?;
        answer.await.map_err(|_| Gone)
    }

    /// The live records of a dataset as this device has them; `None` if it is not open.
    pub async fn records(&self, dataset: &DatasetName) -> Result<Option<BTreeMap<Key, Record>>, Gone> {
        self.look(dataset, |replica| replica.live().map(|record| (record.key.clone(), record.clone())).collect()).await
    }

    /// What this device has seen of a dataset; `None` if it is not open or nothing came yet.
    pub async fn position(&self, dataset: &DatasetName) -> Result<Option<Position>, Gone> {
        Ok(self.look(dataset, Replica::position).await?.flatten())
    }

    /// A `put` that conflicts if another device writes the key before it; `None` if the dataset is not open. One that is not written yet when
    /// [`Event::Restored`] or [`Event::Moved`] comes is of a history that is gone: make it again.
    pub async fn put_based(&self, dataset: &DatasetName, key: Key, value: Value) -> Result<Option<Change>, Gone> {
        self.look(dataset, move |replica| replica.put_based(key, value)).await
    }

    /// A `remove` that conflicts if another device writes the key before it; `None` if the dataset is not open.
    pub async fn remove_based(&self, dataset: &DatasetName, key: Key) -> Result<Option<Change>, Gone> {
        self.look(dataset, move |replica| replica.remove_based(key)).await
    }

    /// Has the device woken by pushes while it is away, from the next connection on at the latest. [`Event::Registered`] says that it stands, [`Event::Refused`]
    /// that it cannot. It is said again on each connection, which keeps it fresh; an app calls this at each start, and when its provider gives it another token.
    pub async fn register(&self, registration: Registration) -> Result<(), Gone> {
        self.say(Command::Push(Some(registration))).await
    }

    /// Has the device woken no more. [`Event::Unregistered`] says that it is so.
    pub async fn unregister(&self) -> Result<(), Gone> {
        self.say(Command::Push(None)).await
    }

    /// Closes the socket and stays away; returns when the socket is gone. Writes are kept.
    pub async fn go_offline(&self) -> Result<(), Gone> {
        let (reply, done) = oneshot::channel();
        self.say(Command::Offline(reply)).await?;
        done.await.map_err(|_| Gone)
    }

    /// Connects now: after [`Device::go_offline`], after the device gave up, or instead of waiting out a back-off.
    pub async fn go_online(&self) -> Result<(), Gone> {
        self.say(Command::Online).await
    }

    /// Closes the socket and ends the device, for all clones of this handle. What was not answered is dropped: await the writes first.
    pub async fn shutdown(self) {
        let (reply, done) = oneshot::channel();
        if self.say(Command::Shutdown(reply)).await.is_ok() {
            // An error means that it was gone already.
            let _ = done.await;
        }
    }

    async fn say(&self, command: Command) -> Result<(), Gone> {
        self.commands.send(command).await.map_err(|_| Gone)
    }

    async fn look<T: Send + 'static>(
        &self,
        dataset: &DatasetName,
        view: impl FnOnce(&Replica) -> T + Send + 'static,
    ) -> Result<Option<T>, Gone> {
        let (reply, answer) = oneshot::channel();
        let look = move |replica: Option<&Replica>| {
            // Whoever asked may have gone.
            let _ = reply.send(replica.map(view));
        };
        self.say(Command::Look(dataset.clone(), Box::new(look))).await?;
        answer.await.map_err(|_| Gone)
    }
}
