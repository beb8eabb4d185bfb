//! The writer: decides a batch of jobs in one group, commits the group, then publishes and replies.
//!
//! Invariant: nothing is published or answered with success before the flush that covers it (I2).

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use driftless_protocol::{DatasetName, Record, ServerMessage};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::warn;

use super::blocking::block_until;
use super::gate::GateControl;
use super::job::{AckKey, CommitterJob, DecidedTransaction, ReplySender, SessionNotice, SignInRequest, send_reply};
use super::unavailable::Unavailable;
use crate::clock::Clock;
use crate::hub::{Hub, PublishedChange, Signal};
use crate::metrics::Metrics;
use crate::store::{Admission, Decision, Group, Identity, LoginKey, Store, StoreError};

/// Jobs of one group: beyond a thousand a larger group saves nothing more, and each reply waits longer.
pub(super) const GROUP_JOBS: usize = 1024;

/// Bytes of rows after which a group takes no further job: a small patch can have a large result.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// How long an acknowledgement from a socket may wait for other jobs to share its commit.
const ACK_DELAY: Duration = Duration::from_millis(1000);

/// Acknowledgements that are held back at most.
const HELD_ACKS: usize = 16 * 1024;

pub(super) struct GroupWriter {
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) gate: GateControl,
    pub(super) queue: mpsc::Receiver<CommitterJob>,
    /// Acknowledgements that are held back, and the highest version of each.
    held_acks: HashMap<AckKey, u64>,
    /// When the oldest of them was received.
    acks_held_since: Option<Instant>,
    /// When the log last said that writes are rejected.
    pub(super) last_logged: Option<Instant>,
}

/// A decided job; its reply is sent once the group is durable.
enum DecidedJob {
    Write {
        identity: Identity,
        dataset: DatasetName,
        writer: u64,
        decision: Decision,
        reply: ReplySender<Decision>,
        _permit: OwnedSemaphorePermit,
    },
    Ack(ReplySender<()>),
    SignIn {
        result: (Identity, Admission),
        reply: ReplySender<(Identity, Admission)>,
    },
    Transaction(DecidedTransaction),
}

/// The jobs of one group.
struct DecidedBatch {
    jobs: Vec<DecidedJob>,
    flush_acks: bool,
    flow: ControlFlow<()>,
}

/// A group that could not be made durable. After a reopening the store may contain it or not.
pub(super) struct FailedGroup {
    pub(super) error: StoreError,
    /// Datasets that the group wrote to.
    pub(super) written: HashSet<(Identity, DatasetName)>,
    /// What its transactions were to tell sessions.
    pub(super) notices: Vec<SessionNotice>,
    pub(super) flow: ControlFlow<()>,
}

impl GroupWriter {
    pub(super) fn new(
        store: Store,
        hub: Hub,
        metrics: Metrics,
        clock: Clock,
        gate: GateControl,
        queue: mpsc::Receiver<CommitterJob>,
    ) -> GroupWriter {
        GroupWriter { store, hub, metrics, clock, gate, queue, held_acks: HashMap::new(), acks_held_since: None, last_logged: None }
    }

    /// Waits for jobs, or until held acknowledgements are due.
    pub(super) fn receive_batch(&mut self, jobs: &mut Vec<CommitterJob>) {
        let due = self.acks_held_since.map(|since| since + ACK_DELAY);
        if block_until(due, self.queue.recv_many(jobs, GROUP_JOBS)) == Some(0) {
            jobs.push(CommitterJob::Stop);
        }
    }

    /// Takes jobs into one group until the group is large enough, commits it, publishes and replies.
    pub(super) fn commit_group(&mut self, jobs: &mut VecDeque<CommitterJob>) -> Result<ControlFlow<()>, FailedGroup> {
        let started = Instant::now();
        let now_ms = self.clock.unix_ms();
        let store = self.store.clone();
        let mut group = store.group();
        let mut batch = DecidedBatch { jobs: Vec::with_capacity(jobs.len()), flush_acks: false, flow: ControlFlow::Continue(()) };
        while group.bytes() < GROUP_BYTES
            && let Some(job) = jobs.pop_front()
        {
            self.decide(job, &mut group, &mut batch, started, now_ms);
        }
        let acks_are_due = self.acks_held_since.is_some_and(|since| since.elapsed() >= ACK_DELAY);
        if acks_are_due || batch.flush_acks || batch.flow.is_break() || self.held_acks.len() >= HELD_ACKS {
            self.write_held_acks(&mut group);
        }
        self.gate.begin_group();
        if let Err(error) = group.commit() {
            let written = batch.jobs.iter().flat_map(DecidedJob::written_datasets).collect();
            let notices = batch.jobs.iter().flat_map(DecidedJob::notices).cloned().collect();
            batch.jobs.into_iter().for_each(|job| job.reject(Unavailable::ReadOnly));
            return Err(FailedGroup { error, written, notices, flow: batch.flow });
        }
        self.gate.set_durable();
        if !batch.jobs.is_empty() {
            self.metrics.group_committed(batch.jobs.len(), started.elapsed().as_secs_f64());
        }
        for job in batch.jobs {
            self.complete(job);
        }
        Ok(batch.flow)
    }

    fn decide(&mut self, job: CommitterJob, group: &mut Group<'_>, batch: &mut DecidedBatch, started: Instant, now_ms: u64) {
        match job {
            CommitterJob::Write { patch, rules, writer, reply, _permit } => {
                let (identity, dataset) = (patch.identity.clone(), patch.dataset.clone());
                match group.write(patch, &rules, now_ms) {
                    Ok(decision) => batch.jobs.push(DecidedJob::Write { identity, dataset, writer, decision, reply, _permit }),
                    Err(error) => reject_undecided(&error, &identity, reply),
                }
            }
            CommitterJob::Ack { key, version, reply: Some(reply) } => {
                match group.acknowledge(&key.identity, &key.device, &key.dataset, version) {
                    Ok(()) => batch.jobs.push(DecidedJob::Ack(reply)),
                    Err(error) => reject_undecided(&error, &key.identity, reply),
                }
            }
            CommitterJob::Ack { key, version, reply: None } => {
                let held = self.held_acks.entry(key).or_insert(0);
                *held = version.max(*held);
                self.acks_held_since.get_or_insert(started);
            }
            CommitterJob::FlushAcks { reply } => {
                batch.flush_acks = true;
                batch.jobs.push(DecidedJob::Ack(reply));
            }
            CommitterJob::SignIn { request, reply } => match sign_in(group, &request, now_ms) {
                Ok(result) => batch.jobs.push(DecidedJob::SignIn { result, reply }),
                Err(error) => reject_undecided(&error, &request.new_identity, reply),
            },
            CommitterJob::Transaction(transaction) => batch.jobs.extend(transaction(group, now_ms).map(DecidedJob::Transaction)),
            CommitterJob::Stop => batch.flow = ControlFlow::Break(()),
        }
    }

    fn write_held_acks(&mut self, group: &mut Group<'_>) {
        self.acks_held_since = None;
        for (key, version) in self.held_acks.drain() {
            if let Err(error) = group.acknowledge(&key.identity, &key.device, &key.dataset, version) {
                warn!(%error, identity = %key.identity, "acknowledgement not written");
            }
        }
    }

    /// Publishes and replies, in this order: a session that has its reply finds the change in the ring.
    fn complete(&self, job: DecidedJob) {
        match job {
            DecidedJob::Ack(reply) => send_reply(reply, Ok(())),
            DecidedJob::SignIn { result, reply } => send_reply(reply, Ok(result)),
            DecidedJob::Transaction(DecidedTransaction { notices, reply }) => {
                notices.into_iter().for_each(|notice| self.notify(notice));
                reply(Ok(()));
            }
            DecidedJob::Write { identity, dataset, writer, mut decision, reply, _permit } => {
                self.metrics.patch_decided(outcome_label(&decision));
                if let Decision::Written { version, records, .. } = &mut decision {
                    self.publish(&identity, dataset, *version, std::mem::take(records), writer);
                }
                send_reply(reply, Ok(decision));
            }
        }
    }

    pub(super) fn notify(&self, notice: SessionNotice) {
        match notice {
            SessionNotice::Advanced(identity, dataset, version) => self.hub.advance(identity.as_str(), &dataset, version),
            SessionNotice::Ended(identity, signal) => self.hub.signal_identity(identity.as_str(), signal),
            SessionNotice::Revoked(identity, device) => self.hub.signal_device(identity.as_str(), &device, Signal::Revoked),
            SessionNotice::LoginsChanged(identity) => self.hub.signal_identity(identity.as_str(), Signal::LoginsChanged),
        }
    }

    fn publish(&self, identity: &Identity, dataset: DatasetName, version: u64, records: Vec<Record>, writer: u64) {
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
        self.hub.publish(identity.as_str(), PublishedChange::new(dataset, version, writer, message));
    }
}

impl DecidedJob {
    fn written_datasets(&self) -> Vec<(Identity, DatasetName)> {
        match self {
            DecidedJob::Write { identity, dataset, .. } => vec![(identity.clone(), dataset.clone())],
            DecidedJob::Transaction(DecidedTransaction { notices, .. }) => notices
                .iter()
                .filter_map(|notice| match notice {
                    SessionNotice::Advanced(identity, dataset, _) => Some((identity.clone(), dataset.clone())),
                    SessionNotice::Ended(..) | SessionNotice::Revoked(..) | SessionNotice::LoginsChanged(_) => None,
                })
                .collect(),
            DecidedJob::Ack(_) | DecidedJob::SignIn { .. } => Vec::new(),
        }
    }

    /// What the job tells sessions.
    fn notices(&self) -> &[SessionNotice] {
        match self {
            DecidedJob::Transaction(DecidedTransaction { notices, .. }) => notices,
            DecidedJob::Write { .. } | DecidedJob::Ack(_) | DecidedJob::SignIn { .. } => &[],
        }
    }

    fn reject(self, why: Unavailable) {
        match self {
            DecidedJob::Write { reply, .. } => send_reply(reply, Err(why)),
            DecidedJob::Ack(reply) => send_reply(reply, Err(why)),
            DecidedJob::SignIn { reply, .. } => send_reply(reply, Err(why)),
            DecidedJob::Transaction(DecidedTransaction { reply, .. }) => reply(Err(why)),
        }
    }
}

fn sign_in(group: &mut Group<'_>, request: &SignInRequest, now_ms: u64) -> Result<(Identity, Admission), StoreError> {
    let login = LoginKey { pool: &request.pool, issuer: &request.issuer, subject: &request.subject };
    let new_identity = if group.is_free(&request.new_identity)? { &request.new_identity } else { &request.fallback_identity };
    let identity = group.identity(login, new_identity, now_ms)?;
    // The token was verified before. What an operator has refused since is not let in, and leaves no device behind.
    if let Some(until_s) = group.refused_until(login, &identity, request.issued_s)? {
        return Ok((identity, Admission::TokenRefused { until_s }));
    }
    let admission = group.admit(&identity, &request.device, request.max_devices, now_ms)?;
    Ok((identity, admission))
}

/// A row that cannot be read fails the one job that needed it; the group goes on (I10).
fn reject_undecided<T>(error: &StoreError, identity: &Identity, reply: ReplySender<T>) {
    warn!(%error, %identity, "write failed: it could not be decided");
    send_reply(reply, Err(Unavailable::Now));
}

fn outcome_label(decision: &Decision) -> &'static str {
    match decision {
        Decision::Written { .. } => "written",
        Decision::Repeated { .. } => "repeated",
        Decision::Conflict(_) => "conflict",
        Decision::Refused(code, _) => code.as_str(),
        Decision::NoIdentity => "no_identity",
    }
}
