//! The courier: reads identities that are due from the store, asks `wakes` what to do for each of their devices, sends, and stores the results.
//!
//! - Debts and their dates are in the store: the courier has no queue of its own, and a restart forgets nothing (I6).
//! - An identity has at most one round at a time. The results of a round are decided in transactions of the committer of bounded work,
//!   on the store's state at that time.
//! - At most [`MAX_ROUNDS`] rounds run at a time; later dates wait in the store.

use std::sync::Arc;
use std::time::Duration;

use driftless_protocol::PushTarget;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error};

use super::active_rounds::{ActiveRounds, RoundEnd};
use super::breakers::AppKey;
use super::round::{self, DeviceOutcome, SentWake};
use super::service::{PoolPush, PushService};
use super::wakes::{self, DueWake, Hold, WakeDecision};
use super::{FailureCause, FaultScope, RefusalCause, Verdict, Wake};
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, Unavailable};
use crate::metrics::Metrics;
use crate::store::{DueIdentity, Group, Identity, LastSeen, Store, StoreError, WakeRound, WakeTarget};

/// With a gateway that answers in 30 ms this many rounds at a time make some ten thousand wakes a second.
const MAX_ROUNDS: usize = 512;

/// Due dates that are read at a time.
const DATES_PER_READ: usize = 256;

/// The longest sleep between two reads, in milliseconds: shorter than the grace of what is written meanwhile.
const MAX_SLEEP_MS: u64 = 250;

/// The shortest sleep while rounds are running or identities rest, in milliseconds.
const MIN_BUSY_SLEEP_MS: u64 = 25;

/// How often the results of a round are submitted, a second apart, before the identity rests. While the store rejects all writes they are kept, and
/// their round keeps its place: another one could not store its results either.
const STORE_TRIES: u32 = 5;

/// The pause between two sweeps of registrations for devices that were not seen for too long.
const SWEEP_PAUSE: Duration = Duration::from_secs(3600);

/// Registrations that a sweep reads at a time.
const SWEEP_ROWS: usize = 256;

/// How long the debts of a pool without push settings wait for their next round, in milliseconds.
const NO_PUSH_MS: u64 = 3600 * 1000;

/// A round, the push settings of its pool, and what was done for each of its devices.
type WokenDevices = (WakeRound, Option<Arc<PoolPush>>, Vec<DeviceOutcome>);

#[derive(Clone)]
pub struct Courier {
    reader: Reader,
    committer: Committer,
    service: PushService,
    clock: Clock,
    metrics: Metrics,
}

impl Courier {
    pub fn new(reader: Reader, committer: Committer, service: PushService, clock: Clock, metrics: Metrics) -> Courier {
        Courier { reader, committer, service, clock, metrics }
    }

    /// Runs until the future is dropped, which aborts the running rounds.
    pub async fn run(self) {
        let (mut active, mut rounds) = (ActiveRounds::default(), JoinSet::new());
        let mut last: Option<DueIdentity> = None;
        let mut sweeping = std::pin::pin!(self.sweep());
        loop {
            let due = match rounds.len() < MAX_ROUNDS {
                true => self.due(last.as_ref()).await,
                false => Vec::new(),
            };
            let at_end = due.is_empty();
            // After the last date the scan starts over: rounds may have been given dates before the ones that were read.
            last = due.last().cloned();
            let implausible = if at_end { self.implausible_dates().await } else { Vec::new() };
            let fresh: Vec<DueIdentity> = due.into_iter().chain(implausible).filter(|due| !active.has(&due.identity)).collect();
            if !fresh.is_empty() {
                // Acknowledgements that arrived in time must count. If this fails, storing the rounds' results fails as well.
                let _ = self.committer.flush_acks().await;
            }
            for DueIdentity { identity, .. } in fresh {
                if !active.has(&identity) {
                    let (courier, of) = (self.clone(), identity.clone());
                    let task = rounds.spawn(async move { courier.run_round(&of).await });
                    active.begun(task.id(), identity);
                }
            }
            while let Some(done) = rounds.try_join_next_with_id() {
                active.finished(done, Instant::now());
            }
            active.end_pauses(Instant::now());
            if at_end {
                let sleep = self.sleep_time(!active.is_empty()).await;
                tokio::select! {
                    () = tokio::time::sleep(sleep) => {}
                    Some(done) = rounds.join_next_with_id() => active.finished(done, Instant::now()),
                    () = &mut sweeping => {}
                }
            }
        }
    }

    async fn due(&self, after: Option<&DueIdentity>) -> Vec<DueIdentity> {
        let until_ms = self.clock.unix_ms().saturating_sub(self.service.shortest_grace_ms());
        let after = after.cloned();
        let due = self
            .reader
            .read(ReadOwner::Server, move |store| store.due_identities(after.as_ref(), until_ms, DATES_PER_READ))
            .await
            .unwrap_or_default();
        if let Some(first) = due.first() {
            self.metrics.push_lag(until_ms.saturating_sub(first.at_ms) / 1000);
        }
        due
    }

    /// Dates further ahead than any that a round sets: a clock that was set ahead stored them, and they must not wait for it.
    async fn implausible_dates(&self) -> Vec<DueIdentity> {
        let from_ms = self.clock.unix_ms().saturating_add(wakes::MAX_DATE_AHEAD_MS);
        self.reader.read(ReadOwner::Server, move |store| store.identities_due_after(from_ms, DATES_PER_READ)).await.unwrap_or_default()
    }

    /// The time until the next date, within bounds.
    async fn sleep_time(&self, busy: bool) -> Duration {
        self.metrics.stopped_apps(self.service.breakers().stopped().len());
        let next = self.reader.read(ReadOwner::Server, |store| store.due_identities(None, u64::MAX - 1, 1)).await.unwrap_or_default();
        let due_ms = next.first().map_or(u64::MAX, |next| next.at_ms.saturating_add(self.service.shortest_grace_ms()));
        // While rounds are running or identities rest, the first date may be one of theirs, which has passed.
        let least_ms = if busy { MIN_BUSY_SLEEP_MS } else { 1 };
        Duration::from_millis(due_ms.saturating_sub(self.clock.unix_ms()).clamp(least_ms, MAX_SLEEP_MS))
    }

    async fn run_round(&self, identity: &Identity) -> RoundEnd {
        let (round, pool, outcomes) = match self.service.unless_erased(identity, self.wake_devices(identity)).await {
            Some(Ok(Some(woken))) => woken,
            Some(Ok(None)) | None => return RoundEnd::Done,
            Some(Err(_)) => return RoundEnd::Unread,
        };
        match self.store_outcomes(Arc::new(round), pool, outcomes).await {
            Ok(()) => RoundEnd::Done,
            Err(end) => end,
        }
    }

    /// Sends the wakes of a round; `None`: there is nothing to wake for.
    async fn wake_devices(&self, identity: &Identity) -> Result<Option<WokenDevices>, Unavailable> {
        let of = identity.clone();
        let Some(round) = self.reader.read(identity, move |store| store.wake_round(&of)).await? else { return Ok(None) };
        let pool = self.service.pool(&round.pool);
        let outcomes = match &pool {
            Some(pool) => join_all(round.targets.iter().map(|target| self.wake_device(&round, target, pool))).await,
            None => Vec::new(),
        };
        Ok(Some((round, pool, outcomes)))
    }

    async fn wake_device(&self, round: &WakeRound, target: &WakeTarget, pool: &PoolPush) -> DeviceOutcome {
        let hold = self.service.hold(&AppKey::of(&round.pool, target), pool, self.clock.unix_ms());
        match wakes::decide(target, &pool.wakes, hold.as_ref(), self.clock.unix_ms()) {
            WakeDecision::Skip(reason) | WakeDecision::Wait(_, reason) => {
                self.metrics.wake(target.provider.as_str(), "none", reason.label());
                DeviceOutcome::NotSent(target.device.clone(), reason)
            }
            WakeDecision::Send(due) => {
                let (verdict, other_environment) = self.send(round, target, &due, pool).await;
                DeviceOutcome::Sent(Box::new(SentWake { target: target.clone(), due, verdict, other_environment, chance: chance() }))
            }
        }
    }

    async fn send(&self, round: &WakeRound, target: &WakeTarget, due: &DueWake, pool: &PoolPush) -> (Verdict, Option<PushTarget>) {
        let Some(address) = &target.target else { return (no_token(), None) };
        let now_ms = self.clock.unix_ms();
        let wake = Wake {
            pool: round.pool.clone(),
            identity: round.identity.as_str().to_owned(),
            dataset: due.dataset.clone(),
            version: due.version,
            cognito_pool: target.cognito_pool.clone(),
            alert: due.shown.then(|| pool.alert.clone()),
            expires_unix_s: now_ms / 1000 + pool.wakes.debt_s,
        };
        let (verdict, other_environment) = pool.wake(address, &target.app, &wake, self.clock).await;
        let (outcome, reason) = metric_labels(&verdict);
        self.metrics.wake(target.provider.as_str(), outcome, reason);
        self.update_breakers(AppKey::of(&round.pool, target), &verdict, due);
        (verdict, other_environment)
    }

    /// Applies what a verdict means for all devices of the app, and logs what an operator has to know or act on.
    fn update_breakers(&self, app: AppKey, verdict: &Verdict, due: &DueWake) {
        let now_ms = self.clock.unix_ms();
        let breakers = self.service.breakers();
        self.service.failure_log().log(&app, verdict, self.clock.elapsed_ms());
        match verdict {
            Verdict::Accepted { .. } => {
                self.metrics.wake_accepted(now_ms.saturating_sub(due.since_ms) as f64 / 1000.0);
                breakers.record_accepted(&app);
            }
            Verdict::Later { reason, after_ms, scope: FaultScope::App, .. } => breakers.pause(app, reason, *after_ms, now_ms, chance()),
            Verdict::Refused { failure, reason, cause: RefusalCause::App } => {
                if breakers.stop(app.clone(), reason, now_ms) {
                    let AppKey { pool, provider, app } = app;
                    error!(
                        pool, %provider, app, cause = failure.label(), reason,
                        "push credential refused, wakes of the app stopped: correct its credential or topic, then send SIGHUP or run driftless push resume"
                    );
                }
            }
            Verdict::Refused { reason, cause: RefusalCause::Mismatch, .. } => {
                if breakers.record_mismatch(&app) {
                    let AppKey { pool, provider, app } = app;
                    error!(
                        pool, %provider, app, reason,
                        "push credential refused for many tokens in a row: they belong to another project, topic or key than the configuration has; correct it, then send SIGHUP"
                    );
                }
            }
            Verdict::Refused { cause: RefusalCause::Payload, .. }
            | Verdict::Dead { .. }
            | Verdict::OtherEnvironment { .. }
            | Verdict::Later { scope: FaultScope::Device, .. } => {}
        }
    }

    /// Stores the outcomes of a round and reschedules what is still owed.
    async fn store_outcomes(
        &self,
        round: Arc<WakeRound>,
        pool: Option<Arc<PoolPush>>,
        outcomes: Vec<DeviceOutcome>,
    ) -> Result<(), RoundEnd> {
        let settings = pool.as_ref().map(|pool| pool.wakes).unwrap_or_default();
        let (service, shift_ms, of) = (self.service.clone(), self.service.shortest_grace_ms(), Arc::clone(&round));
        let hold = move |target: &WakeTarget, now_ms| {
            pool.as_ref().map_or_else(no_push(now_ms), |pool| service.hold(&AppKey::of(&of.pool, target), pool, now_ms))
        };
        if round::is_small(&round) {
            let of = Arc::clone(&round);
            let conclude = move |group: &mut Group<'_>, now_ms| {
                round::conclude(group, &of, &outcomes, &settings, |target| hold(target, now_ms), shift_ms, now_ms)
            };
            return self.store(&round.identity, conclude).await;
        }
        for part in outcomes.chunks(round::DEVICES_PER_STEP) {
            let (of, part) = (Arc::clone(&round), part.to_vec());
            let record = move |group: &mut Group<'_>, now_ms| round::record_results(group, &of, &part, &settings, now_ms);
            self.store(&round.identity, record).await?;
        }
        for part in round.debts.chunks(round::DEBTS_PER_STEP) {
            let (of, part) = (Arc::clone(&round), part.to_vec());
            let mark = move |group: &mut Group<'_>, now_ms| round::mark_examined(group, &of, &part, &settings, now_ms);
            self.store(&round.identity, mark).await?;
        }
        let (of, now_ms) = (round.identity.clone(), self.clock.unix_ms());
        let find = move |store: &Store| {
            let current = store.wake_round(&of)?;
            Ok(current.map_or_else(Vec::new, |current| round::dates(&current, &settings, |target| hold(target, now_ms), shift_ms, now_ms)))
        };
        let dates = self.reader.read(&round.identity, find).await.map_err(|_| RoundEnd::Unread)?;
        for part in dates.chunks(round::DEBTS_PER_STEP) {
            let (of, part) = (round.identity.clone(), part.to_vec());
            let reschedule = move |group: &mut Group<'_>, _now_ms| round::reschedule(group, &of, &part);
            self.store(&round.identity, reschedule).await?;
        }
        Ok(())
    }

    /// Stores a part of a round's results. The dates stay as they are until then: without the retry, the next round would send the same wakes again,
    /// every second while the disk is full.
    async fn store<F>(&self, identity: &Identity, decide: F) -> Result<(), RoundEnd>
    where
        F: Fn(&mut Group<'_>, u64) -> Result<(), StoreError> + Clone + Send + 'static,
    {
        let mut tries = 0;
        loop {
            let decide = decide.clone();
            let transaction = move |group: &mut Group<'_>, now_ms| Ok((decide(group, now_ms)?, Vec::new()));
            let Err(error) = self.committer.transact(JobOwner::Identity(identity.clone()), transaction).await else { return Ok(()) };
            debug!(?error, %identity, "wake round not stored yet, retrying");
            tries += u32::from(error != Unavailable::ReadOnly);
            if tries >= STORE_TRIES {
                return Err(RoundEnd::NotStored);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Drops the registrations of devices that were not seen for too long, again and again.
    async fn sweep(&self) {
        loop {
            let mut last: Option<LastSeen> = None;
            loop {
                let after = last.take();
                let Ok(page) = self.reader.read(ReadOwner::Server, move |store| store.registrations(after.as_ref(), SWEEP_ROWS)).await
                else {
                    break;
                };
                let full = page.len() == SWEEP_ROWS;
                last = page.last().cloned();
                for seen in page {
                    self.drop_unseen(seen).await;
                }
                if !full {
                    break;
                }
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
        }
    }

    async fn drop_unseen(&self, seen: LastSeen) {
        let LastSeen { identity, device, at_ms } = seen;
        let (of, owner) = (identity.clone(), JobOwner::Identity(identity.clone()));
        let Ok(Some(pool)) = self.reader.read(ReadOwner::Server, move |store| store.pool(&of)).await else { return };
        let drop_s = self.service.pool(&pool).map_or_else(|| wakes::WakeSettings::default().drop_s, |pool| pool.wakes.drop_s);
        let since_ms = self.clock.unix_ms().saturating_sub(drop_s.saturating_mul(1000));
        if at_ms > since_ms {
            return;
        }
        let transaction =
            move |group: &mut Group<'_>, now_ms| Ok((group.drop_stale_registration(&identity, &device, since_ms, now_ms)?, Vec::new()));
        // On failure the next sweep finds the registration again.
        let _ = self.committer.transact(owner, transaction).await;
    }
}

fn no_token() -> Verdict {
    Verdict::Dead { failure: FailureCause::TokenDead, reason: "no token".to_owned(), since_ms: None }
}

/// A reload of the configuration may give the pool push settings.
fn no_push(now_ms: u64) -> impl Fn() -> Option<Hold> {
    move || Some(Hold { until_ms: now_ms + NO_PUSH_MS, why: "the pool has no push in its configuration".to_owned() })
}

/// The labels `outcome` and `reason` in metrics: a fixed set of words, never a text that a gateway sent.
fn metric_labels(verdict: &Verdict) -> (&'static str, &'static str) {
    (verdict.outcome(), verdict.failure().map_or("", |(cause, _)| cause.label()))
}

fn chance() -> u32 {
    // If the system's random source fails, the middle is still a wait, only without jitter.
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
