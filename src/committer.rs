//! The one writer of a node: takes what is waiting, decides it in order, makes it durable once, then publishes and replies.
//!
//! - It has an OS thread of its own. While one group is being made durable the next one gathers, so groups grow with the load.
//! - An answer of success is sent only after the flush that covers it (I2), and after the change was published.
//! - What waits is bounded in number (`QUEUE_JOBS`) and in bytes (`QUEUE_KIB`): who asks then waits, and reads no further from its socket.
//! - Acknowledgements from sockets are held back for `ACK_DELAY_MS` and written with other things: losing one to a crash only means that
//!   the device is told again what it has.
//! - When the store fails, the outcome of a group is unknown. All is refused from then on; the process must be started again.

mod gate;
mod reader;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use driftless_protocol::{DatasetName, DeviceId, Record, ServerMessage};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{debug, error, warn};

pub use gate::Gate;
pub use reader::Reader;

use crate::clock::Clock;
use crate::hub::{Change, Hub};
use crate::metrics::Metrics;
use crate::store::{Admission, Decision, Group, Identity, LoginKey, Patch, Rules, Store, StoreError};

/// Jobs that may wait.
const QUEUE_JOBS: usize = 4096;

/// KiB of patches that may wait, as they are in memory: a value can be 32 times as large there as on the wire.
const QUEUE_KIB: usize = 64 * 1024;

/// Jobs of one group: past a thousand a larger group saves nothing more, and a reply waits longer.
const GROUP_JOBS: usize = 1024;

/// Bytes of rows that a group decides on before it is committed: a small patch can have a large result.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// How long an acknowledgement from a socket may wait for company, in milliseconds.
const ACK_DELAY_MS: u64 = 1000;

/// Acknowledgements that are held back at most.
const ACKS_HELD: usize = 16 * 1024;

/// The store cannot do it now; it may be asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

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
    /// The device.
    pub device: DeviceId,
    /// How many devices an identity may have.
    pub most_devices: usize,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AckOf {
    /// Whose.
    pub identity: Identity,
    /// Who acknowledges.
    pub device: DeviceId,
    /// Of which dataset.
    pub dataset: DatasetName,
}

enum Job {
    Write { patch: Patch, rules: Rules, writer: u64, reply: Reply<Decision>, _room: OwnedSemaphorePermit },
    Ack { of: AckOf, version: u64, reply: Option<Reply<()>> },
    SignIn { who: SignIn, reply: Reply<(Identity, Admission)> },
    Stop,
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
        let runtime = Handle::current();
        let mut writer = Writer { store, hub, metrics, clock, runtime, keeper, queue, acks: HashMap::new(), acks_since: None };
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || writer.run())?;
        Ok((Committer { jobs, room: Arc::new(Semaphore::new(QUEUE_KIB)), gate }, thread))
    }

    /// Hands in a patch. Waits while the queue is full.
    pub async fn write(&self, patch: Patch, rules: Rules, writer: u64) -> Result<Answer<Decision>, Unavailable> {
        let bytes: usize = patch.changes.iter().map(memory_bytes).sum();
        // The largest patch may have the queue for itself.
        let kib = u32::try_from((bytes / 1024 + 1).min(QUEUE_KIB)).map_err(|_| Unavailable)?;
        let _room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| Unavailable)?;
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Write { patch, rules, writer, reply, _room }).await.map_err(|_| Unavailable)?;
        Ok(answer)
    }

    /// Hands in an acknowledgement that nobody waits for.
    pub async fn note(&self, of: AckOf, version: u64) -> Result<(), Unavailable> {
        self.jobs.send(Job::Ack { of, version, reply: None }).await.map_err(|_| Unavailable)
    }

    /// Records an acknowledgement and returns when it is durable.
    pub async fn acknowledge(&self, of: AckOf, version: u64) -> Result<(), Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Ack { of, version, reply: Some(reply) }).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)?
    }

    /// Makes a login and a device known, and returns the identity when it is durable.
    pub async fn sign_in(&self, who: SignIn) -> Result<(Identity, Admission), Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::SignIn { who, reply }).await.map_err(|_| Unavailable)?;
        answer.await.map_err(|_| Unavailable)?
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

struct Writer {
    store: Store,
    hub: Hub,
    metrics: Metrics,
    clock: Clock,
    runtime: Handle,
    keeper: gate::Keeper,
    queue: mpsc::Receiver<Job>,
    acks: HashMap<AckOf, u64>,
    acks_since: Option<Instant>,
}

/// What is sent once the group is durable.
enum Done {
    Write { patch: Box<Patch>, writer: u64, decision: Decision, reply: Reply<Decision>, _room: OwnedSemaphorePermit },
    Ack(Reply<()>),
    SignIn { known: (Identity, Admission), reply: Reply<(Identity, Admission)> },
}

#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Writer {
    fn run(&mut self) {
        let mut jobs = VecDeque::with_capacity(GROUP_JOBS);
        let mut fresh = Vec::with_capacity(GROUP_JOBS);
        loop {
            if jobs.is_empty() {
                self.gather(&mut fresh);
                jobs.extend(fresh.drain(..));
            }
            match self.group(&mut jobs) {
                Ok(Next::Go) => {}
                Ok(Next::Stop) => return debug!("the committer stops"),
                Err(error) => {
                    error!(%error, "nothing can be written any more; mend the disk and start driftless again");
                    return;
                }
            }
        }
    }

    /// Waits for jobs, or until held acknowledgements are due.
    fn gather(&mut self, jobs: &mut Vec<Job>) {
        let received = match self.acks_since {
            None => self.queue.blocking_recv_many(jobs, GROUP_JOBS),
            Some(since) => {
                let left = Duration::from_millis(ACK_DELAY_MS).saturating_sub(since.elapsed());
                let waiting = async { tokio::time::timeout(left, self.queue.recv_many(jobs, GROUP_JOBS)).await };
                self.runtime.block_on(waiting).unwrap_or(usize::MAX)
            }
        };
        if received == 0 {
            jobs.push(Job::Stop);
        }
    }

    fn group(&mut self, jobs: &mut VecDeque<Job>) -> Result<Next, StoreError> {
        let started = Instant::now();
        let now_ms = self.clock.unix_ms();
        let store = self.store.clone();
        let mut group = store.group();
        let mut done = Vec::with_capacity(jobs.len());
        let mut next = Next::Go;
        while group.bytes() < GROUP_BYTES
            && let Some(job) = jobs.pop_front()
        {
            match job {
                Job::Write { patch, rules, writer, reply, _room } => match group.write(&patch, &rules, now_ms) {
                    Ok(decision) => done.push(Done::Write { patch: Box::new(patch), writer, decision, reply, _room }),
                    Err(error) => refused(&error, &patch.identity, reply),
                },
                Job::Ack { of, version, reply: Some(reply) } => match group.acknowledge(&of.identity, &of.device, &of.dataset, version) {
                    Ok(()) => done.push(Done::Ack(reply)),
                    Err(error) => refused(&error, &of.identity, reply),
                },
                Job::Ack { of, version, reply: None } => {
                    let held = self.acks.entry(of).or_insert(0);
                    *held = version.max(*held);
                    self.acks_since.get_or_insert(started);
                }
                Job::SignIn { who, reply } => match sign_in(&mut group, &who, now_ms) {
                    Ok(known) => done.push(Done::SignIn { known, reply }),
                    Err(error) => refused(&error, &who.fresh, reply),
                },
                Job::Stop => next = Next::Stop,
            }
        }
        let due = self.acks_since.is_some_and(|since| since.elapsed() >= Duration::from_millis(ACK_DELAY_MS));
        if due || next == Next::Stop || self.acks.len() >= ACKS_HELD {
            self.release_acks(&mut group);
        }
        self.keeper.applying();
        group.commit()?;
        self.keeper.durable();
        if !done.is_empty() {
            self.metrics.committed(done.len(), started.elapsed().as_secs_f64());
        }
        for one in done {
            self.tell(one);
        }
        Ok(next)
    }

    fn release_acks(&mut self, group: &mut Group<'_>) {
        self.acks_since = None;
        for (of, version) in self.acks.drain() {
            if let Err(error) = group.acknowledge(&of.identity, &of.device, &of.dataset, version) {
                warn!(%error, identity = %of.identity, "an acknowledgement could not be kept");
            }
        }
    }

    /// Publishes and replies, in this order: a session that has its reply finds the change in the ring.
    fn tell(&self, done: Done) {
        match done {
            Done::Ack(reply) => answer(reply, Ok(())),
            Done::SignIn { known, reply } => answer(reply, Ok(known)),
            Done::Write { patch, writer, mut decision, reply, _room } => {
                self.metrics.write(outcome(&decision));
                if let Decision::Written { version, records, .. } = &mut decision {
                    self.publish(*patch, *version, std::mem::take(records), writer);
                }
                answer(reply, Ok(decision));
            }
        }
    }

    fn publish(&self, patch: Patch, version: u64, records: Vec<Record>, writer: u64) {
        let message = ServerMessage::Changes {
            dataset: patch.dataset.clone(),
            epoch: self.store.epoch().clone(),
            from: version - 1,
            to: version,
            reset: false,
            shared: None,
            more: false,
            records,
        };
        self.hub.publish(patch.identity.as_str(), Change::new(patch.dataset, version, writer, message));
    }
}

fn memory_bytes(change: &driftless_protocol::Change) -> usize {
    size_of_val(change) + change.key.as_str().len() + change.value.as_ref().map_or(0, driftless_protocol::Value::memory_bytes)
}

fn sign_in(group: &mut Group<'_>, who: &SignIn, now_ms: u64) -> Result<(Identity, Admission), StoreError> {
    let login = LoginKey { pool: &who.pool, issuer: &who.issuer, subject: &who.subject };
    let identity = group.identity(login, &who.fresh, now_ms)?;
    let admission = group.admit(&identity, &who.device, who.most_devices, now_ms)?;
    Ok((identity, admission))
}

/// A row that cannot be read costs the job that needed it, nobody else.
fn refused<T>(error: &StoreError, identity: &Identity, reply: Reply<T>) {
    warn!(%error, %identity, "a write could not be decided");
    answer(reply, Err(Unavailable));
}

/// Whoever asked may have gone; then nobody needs the answer.
fn answer<T>(reply: Reply<T>, answer: Result<T, Unavailable>) {
    let _ = reply.send(answer);
}

fn outcome(decision: &Decision) -> &'static str {
    match decision {
        Decision::Written { .. } => "written",
        Decision::Repeated { .. } => "repeated",
        Decision::Conflict(_) => "conflict",
        Decision::Refused(code, _) => code.as_str(),
    }
}

#[cfg(test)]
mod tests;
