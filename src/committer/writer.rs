//! The writer's thread: gathers what is waiting, decides it, commits it, tells.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use driftless_protocol::{DatasetName, Record, ServerMessage};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::{debug, warn};

use super::{AckKey, Acted, Job, Reply, SessionNotice, SignIn, Unavailable, gate, waiting};
use crate::clock::Clock;
use crate::hub::{Change, Hub, Mark};
use crate::metrics::Metrics;
use crate::store::{Admission, Decision, Group, Identity, LoginKey, Store, StoreError};

/// Jobs of one group: past a thousand a larger group saves nothing more, and a reply waits longer.
const GROUP_JOBS: usize = 1024;

/// Bytes of rows that a group decides on before it is committed: a small patch can have a large result.
const GROUP_BYTES: usize = 16 * 1024 * 1024;

/// How long an acknowledgement from a socket may wait for company, in milliseconds.
const ACK_DELAY_MS: u64 = 1000;

/// Acknowledgements that are held back at most.
const ACKS_HELD: usize = 16 * 1024;

pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) hub: Hub,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) keeper: gate::Keeper,
    pub(super) queue: mpsc::Receiver<Job>,
    pub(super) acks: HashMap<AckKey, u64>,
    pub(super) acks_since: Option<Instant>,
    /// When the log last said that groups are refused.
    pub(super) said: Option<Instant>,
}

/// What is sent once the group is durable.
enum Done {
    Write { identity: Identity, dataset: DatasetName, writer: u64, decision: Decision, reply: Reply<Decision>, _room: OwnedSemaphorePermit },
    Ack(Reply<()>),
    SignIn { known: (Identity, Admission), reply: Reply<(Identity, Admission)> },
    Act(Acted),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    Stop,
}

/// A group that could not be made durable: it may be found later or not.
pub(super) struct Broken {
    pub(super) error: StoreError,
    /// Datasets that it wrote to.
    pub(super) touched: HashSet<(Identity, DatasetName)>,
    /// Identities whose sessions were to end.
    pub(super) ended: Vec<(Identity, Mark)>,
    pub(super) next: Next,
}

impl Writer {
    pub(super) fn new(store: Store, hub: Hub, metrics: Metrics, clock: Clock, keeper: gate::Keeper, queue: mpsc::Receiver<Job>) -> Writer {
        Writer { store, hub, metrics, clock, keeper, queue, acks: HashMap::new(), acks_since: None, said: None }
    }

    pub(super) fn run(&mut self) {
        let mut jobs = VecDeque::with_capacity(GROUP_JOBS);
        let mut fresh = Vec::with_capacity(GROUP_JOBS);
        loop {
            if jobs.is_empty() {
                self.gather(&mut fresh);
                jobs.extend(fresh.drain(..));
            }
            let next = match self.group(&mut jobs) {
                Ok(next) => next,
                Err(broken) => self.mend(broken, &mut jobs),
            };
            if next == Next::Stop {
                return debug!("the committer stops");
            }
        }
    }

    /// Waits for jobs, or until held acknowledgements are due.
    fn gather(&mut self, jobs: &mut Vec<Job>) {
        let due = self.acks_since.map(|since| since + Duration::from_millis(ACK_DELAY_MS));
        if waiting::until(due, self.queue.recv_many(jobs, GROUP_JOBS)) == Some(0) {
            jobs.push(Job::Stop);
        }
    }

    fn group(&mut self, jobs: &mut VecDeque<Job>) -> Result<Next, Broken> {
        let started = Instant::now();
        let now_ms = self.clock.unix_ms();
        let store = self.store.clone();
        let mut group = store.group();
        let mut done = Vec::with_capacity(jobs.len());
        let mut next = Next::Go;
        let mut release = false;
        while group.bytes() < GROUP_BYTES
            && let Some(job) = jobs.pop_front()
        {
            match job {
                Job::Write { patch, rules, writer, reply, _room } => {
                    let (identity, dataset) = (patch.identity.clone(), patch.dataset.clone());
                    match group.write(patch, &rules, now_ms) {
                        Ok(decision) => done.push(Done::Write { identity, dataset, writer, decision, reply, _room }),
                        Err(error) => refused(&error, &identity, reply),
                    }
                }
                Job::Ack { of, version, reply: Some(reply) } => match group.acknowledge(&of.identity, &of.device, &of.dataset, version) {
                    Ok(()) => done.push(Done::Ack(reply)),
                    Err(error) => refused(&error, &of.identity, reply),
                },
                Job::Ack { of, version, reply: None } => {
                    let held = self.acks.entry(of).or_insert(0);
                    *held = version.max(*held);
                    self.acks_since.get_or_insert(started);
                }
                Job::Release { reply } => {
                    release = true;
                    done.push(Done::Ack(reply));
                }
                Job::SignIn { who, reply } => match sign_in(&mut group, &who, now_ms) {
                    Ok(known) => done.push(Done::SignIn { known, reply }),
                    Err(error) => refused(&error, &who.fresh, reply),
                },
                Job::Act(act) => done.extend(act(&mut group, now_ms).map(Done::Act)),
                Job::Stop => next = Next::Stop,
            }
        }
        let due = self.acks_since.is_some_and(|since| since.elapsed() >= Duration::from_millis(ACK_DELAY_MS));
        if due || release || next == Next::Stop || self.acks.len() >= ACKS_HELD {
            self.release_acks(&mut group);
        }
        self.keeper.applying();
        if let Err(error) = group.commit() {
            let touched = done.iter().flat_map(Done::touches).collect();
            let ended = done.iter().flat_map(Done::ends).collect();
            done.into_iter().for_each(|one| one.refuse(Unavailable::ReadOnly));
            return Err(Broken { error, touched, ended, next });
        }
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
            Done::Act(Acted { notices, reply }) => {
                notices.into_iter().for_each(|notice| self.notify(notice));
                reply(Ok(()));
            }
            Done::Write { identity, dataset, writer, mut decision, reply, _room } => {
                self.metrics.write(outcome(&decision));
                if let Decision::Written { version, records, .. } = &mut decision {
                    self.publish(&identity, dataset, *version, std::mem::take(records), writer);
                }
                answer(reply, Ok(decision));
            }
        }
    }

    fn notify(&self, notice: SessionNotice) {
        match notice {
            SessionNotice::Jumped(identity, dataset, version) => self.hub.jump(identity.as_str(), &dataset, version),
            SessionNotice::Ended(identity, mark) => self.hub.mark(identity.as_str(), mark),
            SessionNotice::Revoked(identity, device) => self.hub.mark_device(identity.as_str(), &device, Mark::Revoked),
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
        self.hub.publish(identity.as_str(), Change::new(dataset, version, writer, message));
    }
}

impl Done {
    /// The datasets that a group with this in it has written to.
    fn touches(&self) -> Vec<(Identity, DatasetName)> {
        match self {
            Done::Write { identity, dataset, .. } => vec![(identity.clone(), dataset.clone())],
            Done::Act(Acted { notices, .. }) => notices
                .iter()
                .filter_map(|notice| match notice {
                    SessionNotice::Jumped(identity, dataset, _) => Some((identity.clone(), dataset.clone())),
                    SessionNotice::Ended(..) | SessionNotice::Revoked(..) => None,
                })
                .collect(),
            Done::Ack(_) | Done::SignIn { .. } => Vec::new(),
        }
    }

    /// The identities whose sessions a group with this in it ends.
    fn ends(&self) -> Vec<(Identity, Mark)> {
        let Done::Act(Acted { notices, .. }) = self else { return Vec::new() };
        let ended = |notice: &SessionNotice| match notice {
            SessionNotice::Ended(identity, mark) => Some((identity.clone(), *mark)),
            SessionNotice::Jumped(..) | SessionNotice::Revoked(..) => None,
        };
        notices.iter().filter_map(ended).collect()
    }

    fn refuse(self, why: Unavailable) {
        match self {
            Done::Write { reply, .. } => answer(reply, Err(why)),
            Done::Ack(reply) => answer(reply, Err(why)),
            Done::SignIn { reply, .. } => answer(reply, Err(why)),
            Done::Act(Acted { reply, .. }) => reply(Err(why)),
        }
    }
}

impl Job {
    /// Answers a job that is not taken.
    pub(super) fn refuse(self, why: Unavailable) {
        match self {
            Job::Write { reply, .. } => answer(reply, Err(why)),
            Job::Ack { reply: Some(reply), .. } | Job::Release { reply } => answer(reply, Err(why)),
            Job::SignIn { reply, .. } => answer(reply, Err(why)),
            // Whoever asked for an act sees that it is gone.
            Job::Ack { reply: None, .. } | Job::Act(_) | Job::Stop => {}
        }
    }
}

fn sign_in(group: &mut Group<'_>, who: &SignIn, now_ms: u64) -> Result<(Identity, Admission), StoreError> {
    let login = LoginKey { pool: &who.pool, issuer: &who.issuer, subject: &who.subject };
    let fresh = if group.is_free(&who.fresh)? { &who.fresh } else { &who.spare };
    let identity = group.identity(login, fresh, now_ms)?;
    let admission = group.admit(&identity, &who.device, who.most_devices, now_ms)?;
    Ok((identity, admission))
}

/// A row that cannot be read costs the job that needed it, nobody else.
fn refused<T>(error: &StoreError, identity: &Identity, reply: Reply<T>) {
    warn!(%error, %identity, "a write could not be decided");
    answer(reply, Err(Unavailable::Now));
}

/// Whoever asked may have gone; then nobody needs the answer.
pub(super) fn answer<T>(reply: Reply<T>, answer: Result<T, Unavailable>) {
    let _ = reply.send(answer);
}

fn outcome(decision: &Decision) -> &'static str {
    match decision {
        Decision::Written { .. } => "written",
        Decision::Repeated { .. } => "repeated",
        Decision::Conflict(_) => "conflict",
        Decision::Refused(code, _) => code.as_str(),
        Decision::NoIdentity => "no_identity",
    }
}
