//! The one writer of a node: takes a batch of jobs, decides them in order, makes them durable with one flush, then publishes, replies, and wakes
//! the followers.
//!
//! - The writer has an OS thread of its own. While one group is being made durable the next batch accumulates, so groups grow with the load.
//! - Success is answered only after the flush that covers it (I2), and after the change was published.
//! - The queue is bounded in number (`QUEUE_JOBS`) and in bytes, those of one identity (`QUEUE_IDENTITY_MIB`) and those of all (`QUEUE_MIB`). When
//!   it is full the caller waits, and a session reads no further from its socket. Patches count until they are decided and durable, also when
//!   the session that sent them is gone.
//! - Acknowledgements from sockets are held back for up to a second and written together with other jobs. If a crash loses one, the server
//!   sends the device changes that it already has, and nothing worse happens.
//! - A part of a group whose rows another writer has changed meanwhile is decided again, in a later group.
//! - When the disk is full, writes are rejected and reads go on. When the store fails, the outcome of a group is unknown: reads and writes are
//!   rejected until the store was reopened, which is retried until it succeeds (`recovery`).

mod blocking;
mod held_acks;
mod job;
mod job_queue;
mod primitives;
mod read_queue;
mod reader;
mod reader_pool;
mod recovery;
mod restoring;
mod sign_in;
mod thread;
mod unavailable;
mod writer;

use std::thread::JoinHandle;
use std::time::Instant;

use driftless_protocol::{Change, DeviceId};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use held_acks::{AckNews, NewAcks};
pub use job::{AckKey, JobOwner, PendingReply, SessionNotice, SignInRequest};
use job::{Job, Submission, WriteJob};
pub use reader::{ReadOwner, Reader};
pub use restoring::RewindOutcome;
pub use unavailable::Unavailable;

use crate::clock::Clock;
use crate::hub::Hub;
use crate::limits::{MemoryBudgets, MemoryLimits, MemoryUse};
use crate::metrics::Metrics;
use crate::store::{Admission, DatasetRules, Decision, Group, Identity, JobProgress, Patch, RetentionPolicy, Store, StoreError};
use sign_in::DecidedSignIn;
use writer::GroupWriter;

/// Jobs that may be queued.
const QUEUE_JOBS: usize = 4096;

/// MiB of patches that may be queued, of all identities.
const QUEUE_MIB: u32 = 64;

/// MiB of patches of one identity that may be queued: two of the largest. What it sends beyond that would wait for its turns anyway.
const QUEUE_IDENTITY_MIB: u32 = 8;

/// Submits jobs to the writer thread. Clones share it.
#[derive(Clone)]
pub struct Committer {
    jobs: mpsc::Sender<Submission>,
    /// The patches that are queued. Nothing here is an answer.
    queued: MemoryBudgets,
    store: Store,
    hub: Hub,
    new_acks: NewAcks,
}

impl Committer {
    /// Starts the writer thread. It ends after [`Committer::stop`], when every clone is dropped, or by a panic.
    pub fn start(store: Store, hub: Hub, metrics: Metrics, clock: Clock) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let new_acks = NewAcks::default();
        let writer = GroupWriter::new(store.clone(), hub.clone(), metrics, clock, queue, new_acks.clone());
        let thread = primitives::spawn_named("committer", move || thread::run(writer))?;
        let limits = MemoryLimits { identity_received_mib: QUEUE_IDENTITY_MIB, received_mib: QUEUE_MIB, ..MemoryLimits::default() };
        Ok((Committer { jobs, queued: MemoryBudgets::new(limits), store, hub, new_acks }, thread))
    }

    /// Submits a patch. Waits while the queue is full.
    pub async fn write(&self, patch: Patch, rules: DatasetRules, writer: u64) -> Result<PendingReply<Decision>, Unavailable> {
        let bytes: usize = patch.changes.iter().map(Change::memory_bytes).sum();
        // One larger than its identity's part waits until nothing else of the identity is queued.
        let _memory = self.queued.take(patch.identity.text(), MemoryUse::Received, bytes).await;
        let (reply, pending) = oneshot::channel();
        let owner = patch.identity.clone();
        let job = Box::new(WriteJob { patch, rules, writer, decision: None, reply, _memory });
        self.submit(Submission::Job(JobOwner::Identity(owner), Job::Write(job))).await?;
        Ok(pending)
    }

    /// Hands an acknowledgement over without waiting until it is durable. A crash may lose it.
    pub fn submit_ack(&self, key: AckKey, version: u64) -> Result<(), Unavailable> {
        if !self.is_running() {
            return Err(Unavailable::Now);
        }
        if self.new_acks.hold(key, version, Instant::now()) == AckNews::Due {
            // If the queue is full the writer is about to look in any case.
            let _ = self.jobs.try_send(Submission::AcksHeld);
        }
        Ok(())
    }

    /// Records an acknowledgement and returns when it is durable.
    pub async fn acknowledge(&self, key: AckKey, version: u64) -> Result<(), Unavailable> {
        let owner = JobOwner::Identity(key.identity.clone());
        self.transact(owner, move |group, _| Ok((group.acknowledge(&key.identity, &key.device, &key.dataset, version)?, Vec::new()))).await
    }

    /// Writes the acknowledgements that are held back, and returns when they are durable.
    pub async fn flush_acks(&self) -> Result<(), Unavailable> {
        let (reply, pending) = oneshot::channel();
        self.submit(Submission::FlushAcks(reply)).await?;
        pending.await.map_err(|_| Unavailable::Now)?
    }

    /// Stores a login and its device, and returns the identity when that is durable. A new device can make the store forget another one.
    pub async fn sign_in(&self, request: SignInRequest) -> Result<(Identity, Admission), Unavailable> {
        let owner = JobOwner::Identity(request.new_identity.clone());
        let hub = self.hub.clone();
        let decide = move |group: &mut Group<'_>, now_ms| {
            let decided = sign_in::decide(group, &request, &hub, now_ms)?;
            let told = |device: &DeviceId| SessionNotice::Forgotten(decided.identity.clone(), device.clone());
            let notices = decided.forgotten.iter().map(told).collect();
            Ok((decided, notices))
        };
        let DecidedSignIn { identity, admission, forgotten } = self.transact(owner, decide).await?;
        for device in forgotten {
            info!(%identity, %device, "device forgotten: a new one needed its place");
        }
        Ok((identity, admission))
    }

    /// Runs `decide` within a group, at the group's time in Unix milliseconds, and returns its value when the group is durable. All other
    /// writes wait while it runs, so it must be short and bounded. It takes a turn of `owner`. It may run more than once, if rows that it read have
    /// changed since, so it has no effects outside the group.
    pub async fn transact<T, F>(&self, owner: JobOwner, decide: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Fn(&mut Group<'_>, u64) -> Result<(T, Vec<SessionNotice>), StoreError> + Send + 'static,
    {
        let (reply, pending) = oneshot::channel();
        self.submit(Submission::Job(owner, Job::transaction(decide, reply))).await?;
        pending.await.map_err(|_| Unavailable::Now)?
    }

    /// Advances the background job of an identity by one bounded step. Live sessions are notified of a dataset that the step moved.
    pub async fn advance_job(&self, identity: Identity, retention: RetentionPolicy) -> Result<JobProgress, Unavailable> {
        let owner = JobOwner::Identity(identity.clone());
        let step = move |group: &mut Group<'_>, now_ms| {
            let progress = group.run_job_step(&identity, &retention, now_ms)?;
            let notices = match &progress {
                JobProgress::Moved(into, dataset, version) => vec![SessionNotice::Advanced(into.clone(), dataset.clone(), *version)],
                JobProgress::Unfinished | JobProgress::Done => Vec::new(),
            };
            Ok((progress, notices))
        };
        self.transact(owner, step).await
    }

    /// Whether the writer still runs.
    pub fn is_running(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Whether the writer runs and the store works: it did not fail, or was reopened since.
    pub fn is_healthy(&self) -> bool {
        self.is_running() && !self.store.is_failed()
    }

    /// Lets the writer end once all jobs that were submitted before are done.
    pub async fn stop(&self) {
        // The writer may have ended already; the error is ignored.
        let _ = self.submit(Submission::Stop).await;
    }

    async fn submit(&self, job: Submission) -> Result<(), Unavailable> {
        self.jobs.send(job).await.map_err(|_| Unavailable::Now)
    }
}

#[cfg(test)]
mod failing;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waking;
