//! Wakes whoever is in debt: looks at identities that are due, asks `wakes` what to do, sends, and keeps what came of it.
//!
//! - What is owed stands in the store, with its date: the courier has no queue of its own, and a restart forgets nothing (I6).
//! - An identity is visited by one visit at a time. What came of its wakes is decided in one act of the committer, on what is true then.
//! - So much is under way at once: `VISITS` identities. Who is due later waits in the store.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use driftless_protocol::PushTarget;
use futures_util::future::join_all;
use tokio::task::{Id, JoinError, JoinSet};
use tracing::{debug, error, warn};

use super::halts::AppKey;
use super::post::{PoolPush, PushService};
use super::visit::{self, Did, Sent};
use super::wakes::{self, Held, Sending, Step};
use super::{Fault, Verdict, Wake, Whom};
use crate::clock::Clock;
use crate::committer::{Committer, Reader, Unavailable};
use crate::metrics::Metrics;
use crate::store::{DueIdentity, Group, Identity, LastSeen, WakeRound, WakeTarget};

/// Identities that are visited at once: a gateway that answers in 30 ms is kept busy with some ten thousand wakes a second.
const VISITS: usize = 512;

/// Dates that are read at a time.
const DATES: usize = 256;

/// How long it rests at most: what is written meanwhile has a grace that is longer.
const REST_MS: u64 = 250;

/// How long it rests at least while visits are under way, in milliseconds.
const BUSY_MS: u64 = 25;

/// How long an identity is left alone whose visit failed.
const FAILED: Duration = Duration::from_secs(60);

/// How often registrations are looked through for devices that were not seen for too long.
const SWEEP: Duration = Duration::from_secs(3600);

/// Registrations that are looked at together.
const SWEEP_ROWS: usize = 256;

/// How long a pool without push waits for one, in milliseconds.
const NO_DESK_MS: u64 = 3600 * 1000;

/// What the courier needs; cheap to clone.
#[derive(Clone)]
pub struct Courier {
    reader: Reader,
    committer: Committer,
    post: PushService,
    clock: Clock,
    metrics: Metrics,
}

/// Identities that are visited, by the task that does.
#[derive(Default)]
struct UnderWay {
    identities: HashSet<Identity>,
    tasks: HashMap<Id, Identity>,
}

impl UnderWay {
    /// A visit ended. One that failed is not repeated at once: it would fail again.
    fn ended(&mut self, done: Result<(Id, ()), JoinError>, visits: &mut JoinSet<()>) {
        let (task, failed) = done.map_or_else(|error| (error.id(), true), |(task, ())| (task, false));
        let Some(identity) = self.tasks.remove(&task) else { return };
        if failed {
            error!(%identity, "a visit failed");
            self.tasks.insert(visits.spawn(tokio::time::sleep(FAILED)).id(), identity);
        } else {
            self.identities.remove(&identity);
        }
    }
}

impl Courier {
    /// For the devices of these pools.
    pub fn new(reader: Reader, committer: Committer, post: PushService, clock: Clock, metrics: Metrics) -> Courier {
        Courier { reader, committer, post, clock, metrics }
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        let (mut under_way, mut visits) = (UnderWay::default(), JoinSet::new());
        let mut last: Option<DueIdentity> = None;
        let mut sweeping = std::pin::pin!(self.sweep());
        loop {
            let due = match visits.len() < VISITS {
                true => self.due(last.as_ref()).await,
                false => Vec::new(),
            };
            let rest = due.is_empty();
            // After the end it begins again: some may have been given a date before those that were met.
            last = due.last().cloned();
            let strays = if rest { self.strays().await } else { Vec::new() };
            let fresh: Vec<DueIdentity> =
                due.into_iter().chain(strays).filter(|visit| !under_way.identities.contains(&visit.identity)).collect();
            if !fresh.is_empty() {
                // What was acknowledged in time counts. An error is met again by whoever keeps something.
                let _ = self.committer.flush_acks().await;
            }
            for DueIdentity { identity, .. } in fresh {
                if under_way.identities.insert(identity.clone()) {
                    let (courier, of) = (self.clone(), identity.clone());
                    let task = visits.spawn(async move { courier.visit(&of).await });
                    under_way.tasks.insert(task.id(), identity);
                }
            }
            while let Some(done) = visits.try_join_next_with_id() {
                under_way.ended(done, &mut visits);
            }
            if rest {
                let rest = self.rest(!visits.is_empty()).await;
                tokio::select! {
                    () = tokio::time::sleep(rest) => {}
                    Some(done) = visits.join_next_with_id() => under_way.ended(done, &mut visits),
                    () = &mut sweeping => {}
                }
            }
        }
    }

    async fn due(&self, after: Option<&DueIdentity>) -> Vec<DueIdentity> {
        let until_ms = self.clock.unix_ms().saturating_sub(self.post.shortest_grace_ms());
        let after = after.cloned();
        let due = self.reader.read(move |store| store.due_identities(after.as_ref(), until_ms, DATES)).await.unwrap_or_default();
        if let Some(first) = due.first() {
            self.metrics.push_lag(until_ms.saturating_sub(first.at_ms) / 1000);
        }
        due
    }

    /// Dates that a clock which was set ahead has left: nobody waits for it to be right.
    async fn strays(&self) -> Vec<DueIdentity> {
        let from_ms = self.clock.unix_ms().saturating_add(wakes::FURTHEST_MS);
        self.reader.read(move |store| store.identities_due_after(from_ms, DATES)).await.unwrap_or_default()
    }

    /// How long until somebody is due.
    async fn rest(&self, visiting: bool) -> Duration {
        self.metrics.stopped_apps(self.post.halts().stopped().len());
        let next = self.reader.read(|store| store.due_identities(None, u64::MAX - 1, 1)).await.unwrap_or_default();
        let due_ms = next.first().map_or(u64::MAX, |next| next.at_ms.saturating_add(self.post.shortest_grace_ms()));
        // The dates of those that are visited have passed.
        let least_ms = if visiting { BUSY_MS } else { 1 };
        Duration::from_millis(due_ms.saturating_sub(self.clock.unix_ms()).clamp(least_ms, REST_MS))
    }

    async fn visit(&self, identity: &Identity) {
        let of = identity.clone();
        let round = match self.reader.read(move |store| store.wake_round(&of)).await {
            Ok(Some(round)) => round,
            Ok(None) => return,
            Err(_) => return tokio::time::sleep(Duration::from_secs(1)).await,
        };
        let desk = self.post.desk(&round.pool);
        let done = match &desk {
            Some(desk) => join_all(round.targets.iter().map(|sleeper| self.step(&round, sleeper, desk))).await,
            None => Vec::new(),
        };
        // The dates stand as they are until it is kept: to leave now would send the same wakes again, every second while a disk is full.
        while let Err(why) = self.keep(round.clone(), desk.clone(), done.clone()).await {
            debug!(?why, %identity, "what came of a visit cannot be kept yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn step(&self, round: &WakeRound, sleeper: &WakeTarget, desk: &PoolPush) -> Did {
        let held = self.post.held(&app_of(round, sleeper), desk, self.clock.unix_ms());
        match wakes::decide(round, sleeper, &desk.wakes, held.as_ref(), self.clock.unix_ms()) {
            Step::Rest(reason) | Step::Wait(_, reason) => {
                self.metrics.wake(sleeper.provider.as_str(), "none", reason.label());
                Did::Not(sleeper.device.clone(), reason)
            }
            Step::Send(sending) => {
                let (verdict, turned) = self.send(round, sleeper, &sending, desk).await;
                Did::Sent(Box::new(Sent { sleeper: sleeper.clone(), sending, verdict, turned, chance: chance() }))
            }
        }
    }

    async fn send(&self, round: &WakeRound, sleeper: &WakeTarget, sending: &Sending, desk: &PoolPush) -> (Verdict, Option<PushTarget>) {
        let Some(target) = &sleeper.target else { return (Verdict::Dead { reason: "no token".to_owned(), since_ms: None }, None) };
        let now_ms = self.clock.unix_ms();
        let wake = Wake {
            pool: round.pool.clone(),
            identity: round.identity.as_str().to_owned(),
            dataset: sending.dataset.clone(),
            version: sending.version,
            shown: sending.shown.then(|| desk.shown.clone()),
            expires_unix_s: now_ms / 1000 + desk.wakes.debt_s,
        };
        let (verdict, turned) = desk.wake(target, &sleeper.app, &wake).await;
        let (outcome, reason) = counted(&verdict);
        self.metrics.wake(sleeper.provider.as_str(), outcome, reason);
        self.note(app_of(round, sleeper), &verdict, sending);
        (verdict, turned)
    }

    /// What an answer means for all devices of the app.
    fn note(&self, app: AppKey, verdict: &Verdict, sending: &Sending) {
        let now_ms = self.clock.unix_ms();
        match verdict {
            Verdict::Accepted { .. } => {
                self.metrics.wake_accepted(now_ms.saturating_sub(sending.since_ms) as f64 / 1000.0);
                self.post.halts().flows(&app);
            }
            Verdict::Later { reason, after_ms, whom: Whom::App } => self.post.halts().pause(app, reason, *after_ms, now_ms, chance()),
            Verdict::Refused { reason, fault: Fault::App } => {
                if self.post.halts().stop(app.clone(), reason, now_ms) {
                    let AppKey { pool, provider, app } = app;
                    error!(pool, %provider, app, reason, "wakes of an app are stopped: mend its credential or topic, then send SIGHUP or run: driftless push resume");
                }
            }
            Verdict::Refused { reason, fault: Fault::Sender } => {
                let many = self.post.halts().strange(&app);
                let AppKey { pool, provider, app } = app;
                match many {
                    true => {
                        error!(pool, %provider, app, reason, "many tokens belong to another sender: the service account is of another project than the app")
                    }
                    false => warn!(pool, %provider, app, reason, "a token belongs to another sender, and is not used any more"),
                }
            }
            Verdict::Refused { reason, fault: Fault::Payload } => warn!(pool = app.pool, reason, "a gateway refuses a wake for its form"),
            Verdict::Dead { .. } | Verdict::OtherEnvironment { .. } | Verdict::Later { whom: Whom::Device, .. } => {}
        }
    }

    /// Keeps what came of a visit, and gives what is still owed another date.
    async fn keep(&self, round: WakeRound, desk: Option<Arc<PoolPush>>, done: Vec<Did>) -> Result<(), Unavailable> {
        let post = self.post.clone();
        let act = move |group: &mut Group<'_>, now_ms| {
            let held =
                |sleeper: &WakeTarget| desk.as_ref().map_or_else(no_desk(now_ms), |desk| post.held(&app_of(&round, sleeper), desk, now_ms));
            let wakes = desk.as_ref().map(|desk| desk.wakes).unwrap_or_default();
            Ok((visit::conclude(group, &round, done, &wakes, held, post.shortest_grace_ms(), now_ms)?, Vec::new()))
        };
        self.committer.transact(act).await
    }

    /// Drops the registrations of devices that were not seen for too long, again and again.
    async fn sweep(&self) {
        loop {
            let mut last: Option<LastSeen> = None;
            loop {
                let after = last.take();
                let Ok(page) = self.reader.read(move |store| store.registrations(after.as_ref(), SWEEP_ROWS)).await else { break };
                let full = page.len() == SWEEP_ROWS;
                last = page.last().cloned();
                for seen in page {
                    self.drop_unseen(seen).await;
                }
                if !full {
                    break;
                }
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    async fn drop_unseen(&self, seen: LastSeen) {
        let LastSeen { identity, device, at_ms } = seen;
        let of = identity.clone();
        let Ok(Some(pool)) = self.reader.read(move |store| store.pool(&of)).await else { return };
        let drop_s = self.post.desk(&pool).map_or_else(|| wakes::WakeSettings::default().drop_s, |desk| desk.wakes.drop_s);
        let since_ms = self.clock.unix_ms().saturating_sub(drop_s.saturating_mul(1000));
        if at_ms > since_ms {
            return;
        }
        let act =
            move |group: &mut Group<'_>, now_ms| Ok((group.drop_stale_registration(&identity, &device, since_ms, now_ms)?, Vec::new()));
        // What fails is met again.
        let _ = self.committer.transact(act).await;
    }
}

fn app_of(round: &WakeRound, sleeper: &WakeTarget) -> AppKey {
    AppKey { pool: round.pool.clone(), provider: sleeper.provider, app: sleeper.app.clone() }
}

/// A pool without push may get one.
fn no_desk(now_ms: u64) -> impl Fn() -> Option<Held> {
    move || Some(Held { until_ms: now_ms + NO_DESK_MS, why: "the pool has no push in its configuration".to_owned() })
}

/// Outcome and reason, for counting: few words, never what a stranger wrote.
fn counted(verdict: &Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Accepted { .. } => ("accepted", ""),
        Verdict::Dead { .. } => ("dead", "token"),
        Verdict::OtherEnvironment { .. } => ("dead", "environment"),
        Verdict::Later { whom: Whom::Device, .. } => ("later", "device"),
        Verdict::Later { whom: Whom::App, .. } => ("later", "app"),
        Verdict::Refused { fault: Fault::Payload, .. } => ("refused", "payload"),
        Verdict::Refused { fault: Fault::App, .. } => ("refused", "app"),
        Verdict::Refused { fault: Fault::Sender, .. } => ("refused", "sender"),
    }
}

fn chance() -> u32 {
    // Without chance, half of the time: still a wait, no longer a spread.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
