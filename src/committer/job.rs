//! What callers submit to the writer thread: jobs, which are decided within a group and answered when the group is durable.

use std::sync::Arc;

use driftless_protocol::{DatasetName, DeviceId};
use tokio::sync::oneshot;

use super::unavailable::Unavailable;
use crate::hub::Signal;
use crate::limits::HeldMemory;
use crate::store::{DatasetRules, Decision, Group, Identity, Patch, StoreError};

/// The result of a submitted job, once the job is durable.
pub type PendingReply<T> = oneshot::Receiver<Result<T, Unavailable>>;
pub(super) type ReplySender<T> = oneshot::Sender<Result<T, Unavailable>>;

/// A login or a device that is not known yet, and the identity that the login gets.
#[derive(Clone, Debug)]
pub struct SignInRequest {
    pub pool: Arc<str>,
    pub issuer: Arc<str>,
    pub subject: String,
    /// When the login's token was issued, in seconds since 1970 (UTC), if it says so.
    pub issued_s: Option<u64>,
    /// The identity that a new login gets.
    pub new_identity: Identity,
    /// The identity that a new login gets if `new_identity` is taken.
    pub fallback_identity: Identity,
    /// The device that is let in; `None`: the device only reads, and the store does not get to know it.
    pub device: Option<DeviceId>,
    /// How many devices an identity may have.
    pub max_devices: usize,
}

/// The key of an acknowledgement. Of several versions for the same key only the highest counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AckKey {
    pub identity: Identity,
    /// The device that acknowledges.
    pub device: DeviceId,
    pub dataset: DatasetName,
}

/// A notice to live sessions about a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionNotice {
    /// The dataset has this version now; its changes are in the store only.
    Advanced(Identity, DatasetName, u64),
    /// All sessions of the identity end.
    Ended(Identity, Signal),
    /// The session of the device ends: the device was revoked.
    Revoked(Identity, DeviceId),
    /// The session of the device ends: the device was forgotten, and signs in again as a new one.
    Forgotten(Identity, DeviceId),
    /// The sessions of the identity look at its logins again: one was linked, or tokens of some are refused.
    LoginsChanged(Identity),
}

/// Whose turn a job takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JobOwner {
    Identity(Identity),
    /// Nobody's in particular, such as a backup's.
    Store,
}

pub(super) enum Submission {
    Job(JobOwner, Job),
    /// There are acknowledgements that nobody waits for.
    AcksHeld,
    /// The acknowledgements that are held back are written in the next group, and this is answered with it.
    FlushAcks(ReplySender<()>),
    /// The writer ends when it has done all jobs that were submitted before.
    Stop,
}

/// A job. Once it is decided it holds what it decided; it can be decided again, on other rows.
pub(super) enum Job {
    Write(Box<WriteJob>),
    Transaction(Box<dyn Transaction>),
}

pub(super) struct WriteJob {
    pub patch: Patch,
    pub rules: DatasetRules,
    /// The session that writes.
    pub writer: u64,
    pub decision: Option<Decision>,
    pub reply: ReplySender<Decision>,
    /// What the patch counts as of its identity, until the job is answered: its session may be gone by then.
    pub _memory: HeldMemory,
}

/// Any other job: a function of the group, without effects outside it.
pub(super) trait Transaction: Send {
    fn decide(&mut self, group: &mut Group<'_>, now_ms: u64) -> Result<(), StoreError>;

    /// What sessions are told of it.
    fn notices(&self) -> &[SessionNotice];

    /// Answers the caller: with the value that was decided if that is durable.
    fn answer(self: Box<Self>, outcome: Result<(), Unavailable>);
}

pub(super) struct DecideWith<F, T> {
    decide: F,
    decided: Option<(T, Vec<SessionNotice>)>,
    reply: ReplySender<T>,
}

impl Job {
    pub(super) fn transaction<T, F>(decide: F, reply: ReplySender<T>) -> Job
    where
        T: Send + 'static,
        F: Fn(&mut Group<'_>, u64) -> Result<(T, Vec<SessionNotice>), StoreError> + Send + 'static,
    {
        Job::Transaction(Box::new(DecideWith { decide, decided: None, reply }))
    }

    pub(super) fn decide(&mut self, group: &mut Group<'_>, now_ms: u64) -> Result<(), StoreError> {
        match self {
            Job::Write(job) => {
                job.decision = Some(group.write(&job.patch, &job.rules, now_ms)?);
                Ok(())
            }
            Job::Transaction(job) => job.decide(group, now_ms),
        }
    }

    /// The datasets that a decided job has written to.
    pub(super) fn written_datasets(&self) -> Vec<(Identity, DatasetName)> {
        let moved = |notice: &SessionNotice| match notice {
            SessionNotice::Advanced(identity, dataset, _) => Some((identity.clone(), dataset.clone())),
            SessionNotice::Ended(..) | SessionNotice::Revoked(..) | SessionNotice::Forgotten(..) | SessionNotice::LoginsChanged(_) => None,
        };
        match self {
            Job::Write(job) => vec![(job.patch.identity.clone(), job.patch.dataset.clone())],
            Job::Transaction(job) => job.notices().iter().filter_map(moved).collect(),
        }
    }

    /// What a decided job tells sessions, beside the change of a write.
    pub(super) fn notices(&self) -> &[SessionNotice] {
        match self {
            Job::Write(_) => &[],
            Job::Transaction(job) => job.notices(),
        }
    }

    /// Answers the caller of a decided job that is durable.
    pub(super) fn answer(self) {
        match self {
            Job::Write(job) => {
                if let Some(decision) = job.decision {
                    send_reply(job.reply, Ok(decision));
                }
            }
            Job::Transaction(job) => job.answer(Ok(())),
        }
    }

    /// Answers the caller of a job that is not durable.
    pub(super) fn reject(self, why: Unavailable) {
        match self {
            Job::Write(job) => send_reply(job.reply, Err(why)),
            Job::Transaction(job) => job.answer(Err(why)),
        }
    }
}

impl<F, T> Transaction for DecideWith<F, T>
where
    T: Send,
    F: Fn(&mut Group<'_>, u64) -> Result<(T, Vec<SessionNotice>), StoreError> + Send,
{
    fn decide(&mut self, group: &mut Group<'_>, now_ms: u64) -> Result<(), StoreError> {
        self.decided = None;
        self.decided = Some((self.decide)(group, now_ms)?);
        Ok(())
    }

    fn notices(&self) -> &[SessionNotice] {
        self.decided.as_ref().map_or(&[], |(_, notices)| notices)
    }

    fn answer(self: Box<Self>, outcome: Result<(), Unavailable>) {
        let value = self.decided.map(|(value, _)| value).ok_or(Unavailable::Now);
        send_reply(self.reply, outcome.and(value));
    }
}

impl Submission {
    /// Answers the caller of something that the writer does not take.
    pub(super) fn reject(self, why: Unavailable) {
        match self {
            Submission::Job(_, job) => job.reject(why),
            Submission::FlushAcks(reply) => send_reply(reply, Err(why)),
            Submission::AcksHeld | Submission::Stop => {}
        }
    }
}

/// The caller may have dropped its receiver; the send error is ignored.
pub(super) fn send_reply<T>(reply: ReplySender<T>, result: Result<T, Unavailable>) {
    let _ = reply.send(result);
}
