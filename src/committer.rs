//! The one writer of a node: takes what is waiting, decides it in order, makes it durable once, then publishes and replies.
//!
//! - It has an OS thread of its own. While one group is being made durable the next one gathers, so groups grow with the load.
//! - An answer of success is sent only after the flush that covers it (I2), and after the change was published.
//! - What waits is bounded in number (`QUEUE_JOBS`) and in bytes (`QUEUE_KIB`): who asks then waits, and reads no further from its socket.
//! - Acknowledgements from sockets are held back for `ACK_DELAY_MS` and written with other things: losing one to a crash only means that
//!   the device is told again what it has.
//! - When the disk is full, writes are refused and reads go on. When the store fails, the outcome of a group is unknown: nothing is shown or taken
//!   until the store was opened again, which is tried until it succeeds (see `mending`).

mod gate;
mod mending;
mod reader;
mod readers;
mod waiting;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use driftless_protocol::{DatasetName, DeviceId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

pub use gate::{Gate, GateTicket};
pub use reader::Reader;

use crate::clock::Clock;
use crate::hub::{Hub, Mark};
use crate::metrics::Metrics;
use crate::store::{Admission, DatasetRules, Decision, Group, Identity, JobProgress, Patch, RetentionPolicy, Store, StoreError};
use writer::Writer;

/// Jobs that may wait.
const QUEUE_JOBS: usize = 4096;

/// KiB of patches that may wait, as they are in memory: a value can be 32 times as large there as on the wire.
const QUEUE_KIB: usize = 64 * 1024;

/// Why the store cannot do it now; it may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It fails, or stops.
    Now,
    /// It takes no writes: its disk is full or fails. Reads may go on.
    ReadOnly,
}

/// What becomes of a job.
pub type Answer<T> = oneshot::Receiver<Result<T, Unavailable>>;
type Reply<T> = oneshot::Sender<Result<T, Unavailable>>;

/// Somebody at the door: the login, the identity to give it at first sight, the device.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The pool.
    pub pool: Arc<str>,
    /// The token's issuer.
    pub issuer: Arc<str>,
    /// The token's subject.
    pub subject: String,
    /// The identity that a new login gets.
    pub fresh: Identity,
    /// The one that it gets if that one is taken.
    pub spare: Identity,
    /// The device.
    pub device: DeviceId,
    /// How many devices an identity may have.
    pub most_devices: usize,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AckKey {
    /// Whose.
    pub identity: Identity,
    /// Who acknowledges.
    pub device: DeviceId,
    /// Of which dataset.
    pub dataset: DatasetName,
}

enum Job {
    Write { patch: Patch, rules: DatasetRules, writer: u64, reply: Reply<Decision>, _room: OwnedSemaphorePermit },
    Ack { of: AckKey, version: u64, reply: Option<Reply<()>> },
    SignIn { who: SignIn, reply: Reply<(Identity, Admission)> },
    Release { reply: Reply<()> },
    Act(Act),
    Stop,
}

/// Something decided in a group; `None` if it could not be, and whoever asked knows.
type Act = Box<dyn FnOnce(&mut Group<'_>, u64) -> Option<Acted> + Send>;

/// What follows once an act is durable, or once it is known that it is not.
struct Acted {
    notices: Vec<SessionNotice>,
    reply: Box<dyn FnOnce(Result<(), Unavailable>) + Send>,
}

/// What live sessions must know of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionNotice {
    /// A dataset has this version now; its changes are in the store only.
    Jumped(Identity, DatasetName, u64),
    /// All sessions of an identity end.
    Ended(Identity, Mark),
    /// The session of a device ends: it was revoked.
    Revoked(Identity, DeviceId),
}

/// The way to the one writer; cheap to clone.
#[derive(Clone)]
pub struct Committer {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    gate: Gate,
}

impl Committer {
    /// Starts the writer. Its thread ends after [`Committer::stop`], or when the store fails in a way that it cannot survive.
    pub fn start(store: Store, hub: Hub, metrics: Metrics, clock: Clock) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let (keeper, gate) = gate::gate();
        let mut writer = Writer::new(store, hub, metrics, clock, keeper, queue);
        let thread = spawn_named("committer", move || writer.run())?;
        Ok((Committer { jobs, room: Arc::new(Semaphore::new(QUEUE_KIB)), gate }, thread))
    }

    /// Hands in a patch. Waits while the queue is full.
    pub async fn write(&self, patch: Patch, rules: DatasetRules, writer: u64) -> Result<Answer<Decision>, Unavailable> {
        let bytes: usize = patch.changes.iter().map(memory_bytes).sum();
        // The largest patch may have the queue for itself.
        let kib = u32::try_from((bytes / 1024 + 1).min(QUEUE_KIB)).map_err(|_| Unavailable::Now)?;
        let _room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| Unavailable::Now)?;
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Write { patch, rules, writer, reply, _room }).await.map_err(|_| Unavailable::Now)?;
        Ok(answer)
    }

    /// Hands in an acknowledgement that nobody waits for.
    pub async fn note(&self, of: AckKey, version: u64) -> Result<(), Unavailable> {
        self.jobs.send(Job::Ack { of, version, reply: None }).await.map_err(|_| Unavailable::Now)
    }

    /// Records an acknowledgement and returns when it is durable.
    pub async fn acknowledge(&self, of: AckKey, version: u64) -> Result<(), Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Ack { of, version, reply: Some(reply) }).await.map_err(|_| Unavailable::Now)?;
        answer.await.map_err(|_| Unavailable::Now)?
    }

    /// Writes the acknowledgements that are held back, and returns when they are durable.
    pub async fn release_acknowledgements(&self) -> Result<(), Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Release { reply }).await.map_err(|_| Unavailable::Now)?;
        answer.await.map_err(|_| Unavailable::Now)?
    }

    /// Makes a login and a device known, and returns the identity when it is durable.
    pub async fn sign_in(&self, who: SignIn) -> Result<(Identity, Admission), Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::SignIn { who, reply }).await.map_err(|_| Unavailable::Now)?;
        answer.await.map_err(|_| Unavailable::Now)?
    }

    /// Decides something in a group, and returns it when it is durable. It holds up all writes while it decides: it is quick, and bounded.
    pub async fn act<T, F>(&self, act: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&mut Group<'_>, u64) -> Result<(T, Vec<SessionNotice>), StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let act: Act = Box::new(move |group, now_ms| match act(group, now_ms) {
            Ok((value, notices)) => Some(Acted { notices, reply: Box::new(move |durable| writer::answer(reply, durable.map(|()| value))) }),
            Err(error) => {
                tracing::warn!(%error, "an act could not be decided");
                writer::answer(reply, Err(Unavailable::Now));
                None
            }
        });
        self.jobs.send(Job::Act(act)).await.map_err(|_| Unavailable::Now)?;
        answer.await.map_err(|_| Unavailable::Now)?
    }

    /// One step of the work on an identity. Live sessions hear of a dataset that moved.
    pub async fn work(&self, identity: Identity, keep: RetentionPolicy) -> Result<JobProgress, Unavailable> {
        let step = move |group: &mut Group<'_>, now_ms| {
            let worked = group.run_job_step(&identity, &keep, now_ms)?;
            let notices = match &worked {
                JobProgress::Moved(into, dataset, version) => vec![SessionNotice::Jumped(into.clone(), dataset.clone(), *version)],
                JobProgress::Unfinished | JobProgress::Done => Vec::new(),
            };
            Ok((worked, notices))
        };
        self.act(step).await
    }

    /// The gate that whatever is read passes before it is shown.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Lets the writer end once all that was handed in before is done.
    pub async fn stop(&self) {
        // If it is gone already there is nothing to stop.
        let _ = self.jobs.send(Job::Stop).await;
    }
}

fn spawn_named(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn memory_bytes(change: &driftless_protocol::Change) -> usize {
    size_of_val(change) + change.key.as_str().len() + change.value.as_ref().map_or(0, driftless_protocol::Value::memory_bytes)
}

#[cfg(test)]
mod failing;
#[cfg(test)]
mod tests;
