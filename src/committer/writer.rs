//! The writer: decides a batch of jobs in one group, commits the group, then publishes, replies, and wakes the followers.
//!
//! Invariant: nothing is published or answered with success before the flush that covers it (I2).

use std::collections::HashSet;
use std::time::Instant;

use driftless_protocol::{DatasetName, Record, ServerMessage};
use tokio::sync::mpsc;
use tracing::warn;

use super::blocking::block_until;
use super::held_acks::{HeldAcks, NewAcks};
use super::job::{Job, JobOwner, ReplySender, SessionNotice, Submission, send_reply};
use super::job_queue::JobQueue;
use super::unavailable::Unavailable;
use crate::clock::Clock;
use crate::hub::{Followers, Hub, PublishedChange, Signal};
use crate::metrics::Metrics;
use crate::store::{CommitOutcome, Decision, Group, GroupOutcomes, Identity, JobFailure, JobPart, Store, StoreError};

/// Jobs of one group: beyond a thousand a larger group saves nothing more, and each reply waits longer.
pub(super) const GROUP_JOBS: usize = 1024;

/// Jobs that wait in the writer's own queues, beyond which it takes no others from the one that all callers share: the callers wait then.
const MAX_WAITING_JOBS: usize = 16 * GROUP_JOBS;

/// Work after which a group takes no further job ([`Group::work_bytes`]): a small patch can have a large result, or look at much for nothing.
pub(super) const GROUP_WORK_BYTES: usize = 8 * 1024 * 1024;

/// How often a job is decided before it is rejected as stale.
pub(super) const MOST_TRIES: u32 = 16;

/// A job in the writer's queue.
pub(super) struct WaitingJob {
    owner: JobOwner,
    pub(super) job: Job,
    /// How often it was decided and stale.
    tries: u32,
}

struct DecidedJob {
    waiting: WaitingJob,
    /// `None`: another writer was faster before it was decided.
    part: Option<JobPart>,
}

pub(super) struct GroupWriter {
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) queue: mpsc::Receiver<Submission>,
    /// What was received, on its way into the other queues.
    received: Vec<Submission>,
    pub(super) jobs: JobQueue<WaitingJob>,
    held_acks: HeldAcks,
    /// Who waits until the acknowledgements that are held back are durable, and with which of their rounds they are.
    pub(super) flushes: Vec<(u64, ReplySender<()>)>,
    pub(super) is_stopping: bool,
    /// The disk was full at the last commit of a write. Then each job has a group of its own: one that frees space is not refused together with
    /// others that need some.
    is_full: bool,
    /// When the log last said that writes are rejected.
    pub(super) last_logged: Option<Instant>,
}

/// A group that could not be made durable. After a reopening the store may contain it or not.
pub(super) struct FailedGroup {
    pub(super) error: StoreError,
    /// Datasets that the group wrote to.
    pub(super) written: HashSet<(Identity, DatasetName)>,
    /// What its transactions were to tell sessions.
    pub(super) notices: Vec<SessionNotice>,
}

impl GroupWriter {
    pub(super) fn new(
        store: Store,
        hub: Hub,
        metrics: Metrics,
        clock: Clock,
        queue: mpsc::Receiver<Submission>,
        new_acks: NewAcks,
    ) -> GroupWriter {
        GroupWriter {
            store,
            hub,
            metrics,
            clock,
            queue,
            received: Vec::with_capacity(GROUP_JOBS),
            jobs: JobQueue::default(),
            held_acks: HeldAcks::new(new_acks),
            flushes: Vec::new(),
            is_stopping: false,
            is_full: false,
            last_logged: None,
        }
    }

    /// Waits for something to do, or until held acknowledgements are due or an identity has rested. While there is a job to do already it only takes
    /// what else was submitted.
    pub(super) fn receive(&mut self) {
        let mut received = std::mem::take(&mut self.received);
        let due = || self.held_acks.due().into_iter().chain(self.jobs.rested_at()).min();
        let wait_until = if self.has_work() { Some(Instant::now()) } else { due() };
        if self.jobs.len() < MAX_WAITING_JOBS && block_until(wait_until, self.queue.recv_many(&mut received, GROUP_JOBS)) == Some(0) {
            self.is_stopping = true;
        }
        for submission in received.drain(..) {
            match submission {
                Submission::Job(owner, job) => self.jobs.push(owner.clone(), WaitingJob { owner, job, tries: 0 }),
                Submission::AcksHeld => {}
                Submission::FlushAcks(reply) => self.flushes.push((self.held_acks.round_of_all(), reply)),
                Submission::Stop => self.is_stopping = true,
            }
        }
        self.received = received;
    }

    fn has_work(&self) -> bool {
        self.jobs.is_ready() || !self.flushes.is_empty() || self.is_stopping
    }

    /// Whether the writer was told to stop, and has done all that was submitted before.
    pub(super) fn is_done(&self) -> bool {
        self.is_stopping && self.jobs.is_empty() && self.flushes.is_empty() && self.held_acks.is_empty()
    }

    /// Decides jobs in one group until the group is large enough, commits it, publishes and replies.
    pub(super) fn commit_group(&mut self) -> Result<(), FailedGroup> {
        let started = Instant::now();
        let now_ms = self.clock.unix_ms();
        let store = self.store.clone();
        let mut group = store.group();
        // A caller that waits for a place in the queues must not wait for those that rest.
        self.jobs.begin_group(started, !self.is_stopping && self.jobs.len() < MAX_WAITING_JOBS);
        let mut decided = Vec::with_capacity(self.jobs.len().min(GROUP_JOBS));
        while group.work_bytes() < GROUP_WORK_BYTES
            && decided.len() < GROUP_JOBS
            && (decided.is_empty() || !self.is_full)
            && let Some(job) = self.jobs.next()
        {
            let before = group.work_bytes();
            decided.extend(self.decide(job, &mut group, now_ms));
            self.jobs.charge(group.work_bytes() - before);
        }
        self.jobs.end_group(Instant::now());
        let is_last = self.is_stopping && self.jobs.is_empty();
        let has_acks = self.held_acks.collect(!self.flushes.is_empty() || is_last);
        let acks = if has_acks { self.decide_held_acks(&mut group) } else { Some(Vec::new()) };
        self.metrics.count_committer_work(group.work_bytes());
        let outcomes = match group.commit() {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.is_full = matches!(error, StoreError::Full(_));
                if has_acks {
                    // They are kept for a later group.
                    self.held_acks.postpone();
                }
                let jobs = || decided.iter().map(|decided| &decided.waiting.job);
                let (written, notices) =
                    (jobs().flat_map(Job::written_datasets).collect(), jobs().flat_map(Job::notices).cloned().collect());
                decided.into_iter().for_each(|decided| decided.waiting.job.reject(Unavailable::ReadOnly));
                self.flushes.drain(..).for_each(|(_, reply)| send_reply(reply, Err(Unavailable::ReadOnly)));
                if is_last {
                    self.held_acks.clear();
                }
                return Err(FailedGroup { error, written, notices });
            }
        };
        let mut decided = self.put_back_stale(decided, &outcomes);
        // If another writer was faster, all of the part are written again: what is written already changes nothing.
        let are_applied = |acks: Vec<JobPart>| acks.into_iter().all(|part| outcomes.of(part) == CommitOutcome::Applied);
        if acks.is_some_and(are_applied) && has_acks {
            self.held_acks.part_is_durable();
        }
        let flushed: Vec<_> = self.flushes.extract_if(.., |(round, _)| self.held_acks.is_durable(*round)).collect();
        self.is_full &= !decided.iter().any(|job| matches!(job, Job::Write(_)));
        let answers = decided.len() + flushed.len();
        if answers > 0 {
            self.metrics.group_committed(answers, started.elapsed().as_secs_f64());
        }
        // A session that has its reply finds the change in the ring. Followers can be many, and their work waits for the replies.
        let followers: Vec<_> = decided.iter_mut().filter_map(|job| self.publish(job)).collect();
        decided.into_iter().for_each(Job::answer);
        followers.into_iter().for_each(Followers::wake);
        flushed.into_iter().for_each(|(_, reply)| send_reply(reply, Ok(())));
        Ok(())
    }

    /// Decides a job on top of the group. One that fails, because of a row that cannot be read or by a panic, is answered at once and leaves
    /// nothing in the group, which goes on (I10).
    fn decide(&self, mut waiting: WaitingJob, group: &mut Group<'_>, now_ms: u64) -> Option<DecidedJob> {
        match group.run(|group| waiting.job.decide(group, now_ms)) {
            Ok(((), part)) => Some(DecidedJob { waiting, part: Some(part) }),
            Err(JobFailure::Stale) => Some(DecidedJob { waiting, part: None }),
            Err(failure) => {
                let identity = if let Job::Write(job) = &waiting.job { job.patch.identity.as_str() } else { "" };
                self.job_failed(&failure, identity);
                waiting.job.reject(Unavailable::Now);
                None
            }
        }
    }

    /// `None`: another writer was faster with one of them.
    fn decide_held_acks(&self, group: &mut Group<'_>) -> Option<Vec<JobPart>> {
        let mut parts = Vec::new();
        for (key, version) in self.held_acks.part() {
            match group.run(|group| group.acknowledge(&key.identity, &key.device, &key.dataset, *version)) {
                Ok(((), part)) => parts.push(part),
                Err(JobFailure::Stale) => return None,
                Err(failure) => self.job_failed(&failure, key.identity.as_str()),
            }
        }
        Some(parts)
    }

    /// Lets the jobs wait again whose owners another writer has written to since they were decided, in their order, and returns the others. One that
    /// was stale too often is rejected: it must not be decided for ever.
    fn put_back_stale(&mut self, decided: Vec<DecidedJob>, outcomes: &GroupOutcomes) -> Vec<Job> {
        let mut applied = Vec::with_capacity(decided.len());
        let mut stale = Vec::new();
        for DecidedJob { mut waiting, part } in decided {
            match part.map_or(CommitOutcome::Stale, |part| outcomes.of(part)) {
                CommitOutcome::Applied => applied.push(waiting.job),
                CommitOutcome::Stale => {
                    self.metrics.job_stale();
                    waiting.tries += 1;
                    stale.push(waiting);
                }
            }
        }
        for waiting in stale.into_iter().rev() {
            match waiting.tries < MOST_TRIES {
                true => self.jobs.put_back(waiting.owner.clone(), waiting),
                false => waiting.job.reject(Unavailable::Now),
            }
        }
        applied
    }

    fn job_failed(&self, failure: &JobFailure, identity: &str) {
        self.metrics.job_failed(failure.label());
        warn!(%failure, identity, "job failed: it could not be decided");
    }

    /// Puts the change of a write into its ring, or sends the notices of a transaction. Returns the sessions that are to be woken for a change.
    fn publish(&self, job: &mut Job) -> Option<Followers> {
        match job {
            Job::Transaction(job) => {
                job.notices().iter().cloned().for_each(|notice| self.notify(notice));
                None
            }
            Job::Write(job) => {
                let decision = job.decision.as_mut()?;
                self.metrics.patch_decided(outcome_label(decision));
                let Decision::Written { version, records, .. } = decision else { return None };
                let change = self.change_of(&job.patch.dataset, *version, std::mem::take(records), job.writer);
                self.hub.publish(job.patch.identity.as_str(), change)
            }
        }
    }

    pub(super) fn notify(&self, notice: SessionNotice) {
        match notice {
            SessionNotice::Advanced(identity, dataset, version) => self.hub.advance(identity.as_str(), &dataset, version),
            SessionNotice::Ended(identity, signal) => self.hub.signal_identity(identity.as_str(), signal),
            SessionNotice::Revoked(identity, device) => self.hub.signal_device(identity.as_str(), &device, Signal::Revoked),
            SessionNotice::Forgotten(identity, device) => self.hub.signal_device(identity.as_str(), &device, Signal::Moved),
            SessionNotice::LoginsChanged(identity) => self.hub.signal_identity(identity.as_str(), Signal::LoginsChanged),
        }
    }

    fn change_of(&self, dataset: &DatasetName, version: u64, records: Vec<Record>, writer: u64) -> PublishedChange {
        let message = ServerMessage::Changes {
            dataset: dataset.clone(),
            epoch: self.store.epoch().clone(),
            from: version - 1,
            to: version,
            reset: false,
            shared: None,
            more: false,
            fresh_until: None,
            records,
        };
        PublishedChange::new(dataset.clone(), version, writer, message)
    }
}

fn outcome_label(decision: &Decision) -> &'static str {
    match decision {
        Decision::Written { .. } => "written",
        Decision::Repeated { .. } => "repeated",
        Decision::Conflict(_) => "conflict",
        Decision::Refused(code, _) => code.as_str(),
        Decision::NoIdentity => "no_identity",
        Decision::DeviceRevoked => "revoked",
        Decision::DeviceForgotten => "forgotten",
    }
}
