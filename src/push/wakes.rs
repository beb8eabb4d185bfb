//! Who is woken when: pure. What is known of an identity comes in, with the time; what to do comes out.
//!
//! - A device owes nothing to itself: what it wrote is no debt, nor what it has acknowledged or was woken for.
//! - After the grace a device in debt gets one wake, for all that it is owed; it names the dataset that changed last.
//! - A device that just came in is given a grace of its own: it will ask for what it needs.
//! - Silent wakes come out of a bucket, wakes that are shown out of another one; when both are empty the debt waits for a drop.
//! - Who cannot be woken (no token, not seen for too long) is waited for by nobody: it asks when it comes.

use std::fmt;

use driftless_protocol::{DatasetName, Provider};
use serde::Deserialize;

use super::{Fault, Verdict};
use crate::store::{Debt, DeliveryLogEntry, DeliveryStatus, PushBudget, TokenBucket, TokenDisposition, WakeResult, WakeRound, WakeTarget};

const HOUR_MS: u64 = 3600 * 1000;

/// A wake of a bucket is so many drops.
const WAKE: u64 = 1_000_000;

/// The first wait after a failure, in milliseconds; it doubles with each further one.
const RETRY_MS: u64 = 5_000;

/// The longest wait after a failure. A gateway that was down for a day is found again within the hour.
const RETRY_MOST_MS: u64 = HOUR_MS;

/// The longest wait that a gateway may ask for.
pub(super) const ASKED_MOST_MS: u64 = 6 * HOUR_MS;

/// No date is further away than this: one that is was left by a clock that was set ahead.
pub(super) const FURTHEST_MS: u64 = ASKED_MOST_MS + HOUR_MS;

/// How long what we did wrong is not tried again: another try would end alike.
const OUR_FAULT_MS: u64 = HOUR_MS;

/// How a pool's devices are woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WakeSettings {
    /// How long a device has to acknowledge before it is woken, in milliseconds.
    pub grace_ms: u64,
    /// Silent wakes of an Apple device in an hour.
    pub apple_per_hour: u64,
    /// How many of them may come at once.
    pub apple_burst: u64,
    /// Wakes of normal priority of an Android device in an hour.
    pub android_per_hour: u64,
    /// How many of them may come at once.
    pub android_burst: u64,
    /// Wakes of a browser or UnifiedPush app in an hour.
    pub web_per_hour: u64,
    /// How many of them may come at once.
    pub web_burst: u64,
    /// Wakes that are shown to the user, in an hour, when no silent one is left; 0: none.
    pub shown_per_hour: u64,
    /// A device that was not seen for so long is not woken, in seconds.
    pub stale_s: u64,
    /// The registration of one that was not seen for so long goes, in seconds.
    pub drop_s: u64,
    /// What was written so long ago wakes nobody any more, in seconds.
    pub debt_s: u64,
}

impl Default for WakeSettings {
    /// Apple: "don't try to send more than two or three per hour" (Pushing background updates to your App). Google holds back what is of normal priority and
    /// drops tokens after 270 days.
    fn default() -> WakeSettings {
        const DAY_S: u64 = 24 * 3600;
        WakeSettings {
            grace_ms: 3_000,
            apple_per_hour: 3,
            apple_burst: 1,
            android_per_hour: 3,
            android_burst: 1,
            web_per_hour: 12,
            web_burst: 2,
            shown_per_hour: 1,
            stale_s: 30 * DAY_S,
            drop_s: 270 * DAY_S,
            debt_s: 7 * DAY_S,
        }
    }
}

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy)]
struct Budget {
    per_hour: u64,
    burst: u64,
}

impl WakeSettings {
    fn silent(&self, provider: Provider) -> Budget {
        let (per_hour, burst) = match provider {
            Provider::Apns | Provider::ApnsSandbox => (self.apple_per_hour, self.apple_burst),
            Provider::Fcm => (self.android_per_hour, self.android_burst),
            Provider::Webpush => (self.web_per_hour, self.web_burst),
        };
        Budget { per_hour, burst }
    }

    /// Whether the grace of what is owed is over: a visit that came before has not seen it.
    pub(super) fn is_past_grace(&self, owed: &Debt, now_ms: u64) -> bool {
        owed.first_ms == 0 || now_ms >= owed.first_ms.saturating_add(self.grace_ms)
    }

    fn shown(&self) -> Budget {
        Budget { per_hour: self.shown_per_hour, burst: 1 }
    }
}

impl Budget {
    fn missing(self, bucket: TokenBucket, now_ms: u64) -> u64 {
        // A clock that was set back makes nobody wait for it to be right.
        if bucket.at_ms > now_ms {
            return 0;
        }
        let passed_ms = now_ms.saturating_sub(bucket.at_ms);
        bucket.missing_micro.saturating_sub(passed_ms.saturating_mul(self.per_hour).saturating_mul(WAKE) / HOUR_MS)
    }

    /// When there is a wake; `None`: never.
    fn next_ms(self, bucket: TokenBucket, now_ms: u64) -> Option<u64> {
        if self.per_hour == 0 || self.burst == 0 {
            return None;
        }
        let over = self.missing(bucket, now_ms).saturating_sub((self.burst - 1) * WAKE);
        Some(now_ms + (over.saturating_mul(HOUR_MS)).div_ceil(self.per_hour * WAKE))
    }

    fn take(self, bucket: TokenBucket, now_ms: u64) -> TokenBucket {
        TokenBucket { missing_micro: (self.missing(bucket, now_ms) + WAKE).min(self.burst * WAKE), at_ms: now_ms }
    }
}

/// Why no wake is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has acknowledged all.
    Paid,
    /// It wrote all that it has not acknowledged.
    Writer,
    /// It was woken for all that it has not acknowledged.
    Woken,
    /// It registered for other datasets.
    NotWanted,
    /// Its token is dead: what its provider said.
    NoToken(String),
    /// It was not seen for too long.
    Stale,
    /// What it is owed is too old.
    Expired,
    /// The grace is not over.
    Grace,
    /// It came in a moment ago.
    Connected,
    /// No wake is left for now.
    Budget,
    /// After a failure.
    BackOff,
    /// Wakes of its app are held back.
    Stopped(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoToken(why) => write!(f, "no token: {why}"),
            Reason::Stopped(why) => write!(f, "queue stopped: {why}"),
            other => f.write_str(other.label()),
        }
    }
}

impl Reason {
    /// That a device's token is dead, if it is.
    pub fn no_token(sleeper: &WakeTarget) -> Option<Reason> {
        let why = || sleeper.dead.as_ref().map_or_else(String::new, |dead| dead.reason.clone());
        sleeper.target.is_none().then(|| Reason::NoToken(why()))
    }

    /// For counting.
    pub fn label(&self) -> &'static str {
        match self {
            Reason::Paid => "paid",
            Reason::Writer => "writer",
            Reason::Woken => "woken already",
            Reason::NotWanted => "not wanted",
            Reason::NoToken(_) => "no token",
            Reason::Stale => "stale",
            Reason::Expired => "expired",
            Reason::Grace => "grace",
            Reason::Connected => "connected",
            Reason::Budget => "budget",
            Reason::BackOff => "back-off",
            Reason::Stopped(_) => "queue stopped",
        }
    }
}

/// What is to be done for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, and nothing later.
    Rest(Reason),
    /// Nothing before a moment, in milliseconds since 1970 (UTC).
    Wait(u64, Reason),
    /// It is woken.
    Send(Sending),
}

/// A wake that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Whether it is shown.
    pub shown: bool,
    /// What it names.
    pub dataset: DatasetName,
    /// Its version.
    pub version: u64,
    /// What it stands for.
    pub pays: Vec<(DatasetName, u64)>,
    /// Since when the device is owed something, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
}

/// Wakes of an app that are held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Until this moment at least, in milliseconds since 1970 (UTC).
    pub until_ms: u64,
    /// Why.
    pub why: String,
}

/// What a device is owed of one dataset; `Err`: why nothing.
fn debt(owed: &Debt, sleeper: &WakeTarget, at: usize, settings: &WakeSettings, now_ms: u64) -> Result<(), Reason> {
    if sleeper.datasets.as_ref().is_some_and(|wanted| !wanted.contains(&owed.dataset)) {
        return Err(Reason::NotWanted);
    }
    let foreign = owed.version_from_others(&sleeper.device);
    let (acknowledged, woken) = (sleeper.acknowledged[at], sleeper.woken[at]);
    if acknowledged >= owed.version {
        return Err(Reason::Paid);
    }
    if acknowledged >= foreign {
        return Err(Reason::Writer);
    }
    if woken >= foreign {
        return Err(Reason::Woken);
    }
    if now_ms >= owed.changed_ms.saturating_add(settings.debt_s.saturating_mul(1000)) {
        return Err(Reason::Expired);
    }
    Ok(())
}

/// What is to be done for a device of a round. `held`: wakes of its app are held back.
pub fn decide(round: &WakeRound, sleeper: &WakeTarget, settings: &WakeSettings, held: Option<&Held>, now_ms: u64) -> Step {
    let (mut debts, mut reason) = (Vec::new(), Reason::Paid);
    for (at, owed) in round.debts.iter().enumerate() {
        match debt(owed, sleeper, at, settings, now_ms) {
            Ok(()) => debts.push(owed),
            Err(Reason::Paid) => {}
            Err(why) => reason = why,
        }
    }
    let Some(newest) = debts.iter().max_by_key(|owed| owed.changed_ms) else { return Step::Rest(reason) };
    if let Some(reason) = Reason::no_token(sleeper) {
        return Step::Rest(reason);
    }
    if now_ms >= sleeper.seen_ms.saturating_add(settings.stale_s.saturating_mul(1000)) {
        return Step::Rest(Reason::Stale);
    }
    let grace = |owed: &&Debt| if owed.first_ms == 0 { 0 } else { owed.first_ms.saturating_add(settings.grace_ms) };
    let grace_ms = debts.iter().map(grace).min().unwrap_or(0);
    // A date that a clock set far ahead has left holds nobody up.
    if now_ms < grace_ms && grace_ms <= now_ms.saturating_add(settings.grace_ms) {
        return Step::Wait(grace_ms, Reason::Grace);
    }
    let connected_ms = sleeper.seen_ms.saturating_add(settings.grace_ms);
    if now_ms < connected_ms && sleeper.seen_ms <= now_ms {
        return Step::Wait(connected_ms, Reason::Connected);
    }
    let PushBudget { silent, shown, not_before_ms, .. } = sleeper.budget;
    if now_ms < not_before_ms && not_before_ms <= now_ms.saturating_add(FURTHEST_MS) {
        return Step::Wait(not_before_ms, Reason::BackOff);
    }
    if let Some(held) = held.filter(|held| held.until_ms > now_ms) {
        return Step::Wait(held.until_ms, Reason::Stopped(held.why.clone()));
    }
    let pays = debts.iter().map(|owed| (owed.dataset.clone(), owed.version)).collect();
    let since_ms = debts.iter().map(|owed| if owed.first_ms == 0 { owed.changed_ms } else { owed.first_ms }).min().unwrap_or(now_ms);
    let send = |shown| Sending { shown, dataset: newest.dataset.clone(), version: newest.version, pays, since_ms };
    let silent_ms = settings.silent(sleeper.provider).next_ms(silent, now_ms);
    let shown_ms = if sleeper.shown { settings.shown().next_ms(shown, now_ms) } else { None };
    match (silent_ms, shown_ms) {
        (Some(at_ms), _) if at_ms <= now_ms => Step::Send(send(false)),
        (_, Some(at_ms)) if at_ms <= now_ms => Step::Send(send(true)),
        (None, None) => Step::Rest(Reason::Budget),
        (silent_ms, shown_ms) => Step::Wait(silent_ms.unwrap_or(u64::MAX).min(shown_ms.unwrap_or(u64::MAX)), Reason::Budget),
    }
}

/// When the courier comes back to each dataset of a round; `None`: nobody is owed anything of it.
pub fn dates(
    round: &WakeRound,
    settings: &WakeSettings,
    held: impl Fn(&WakeTarget) -> Option<Held>,
    now_ms: u64,
) -> Vec<(DatasetName, Option<u64>)> {
    let mut dates: Vec<Option<u64>> = vec![None; round.debts.len()];
    for sleeper in &round.targets {
        let date_ms = match decide(round, sleeper, settings, held(sleeper).as_ref(), now_ms) {
            Step::Rest(_) => continue,
            Step::Wait(until_ms, _) => until_ms,
            Step::Send(_) => now_ms,
        };
        for (at, date) in dates.iter_mut().enumerate() {
            if debt(&round.debts[at], sleeper, at, settings, now_ms).is_ok() {
                *date = Some(date.map_or(date_ms, |other: u64| other.min(date_ms)));
            }
        }
    }
    round.debts.iter().map(|owed| owed.dataset.clone()).zip(dates).collect()
}

/// What a gateway's answer means for the device. `chance` is a random number: back-off has jitter.
pub fn settle(sleeper: &WakeTarget, sending: &Sending, verdict: &Verdict, settings: &WakeSettings, now_ms: u64, chance: u32) -> WakeResult {
    let Sending { shown, dataset, version, pays, .. } = sending;
    let purse = sleeper.budget;
    let failed = |until_ms| PushBudget { failures: purse.failures.saturating_add(1), not_before_ms: until_ms, ..purse };
    let died = |since_ms, reason: &str| match &sleeper.target {
        Some(target) => TokenDisposition::MarkDead { failed: target.clone(), since_ms, reason: reason.to_owned() },
        None => TokenDisposition::Keep,
    };
    let (woken, purse, fate, told) = match verdict {
        Verdict::Accepted { id } => {
            let purse = PushBudget { failures: 0, not_before_ms: 0, ..purse };
            let purse = match shown {
                false => PushBudget { silent: settings.silent(sleeper.provider).take(purse.silent, now_ms), ..purse },
                true => PushBudget { shown: settings.shown().take(purse.shown, now_ms), ..purse },
            };
            (pays.clone(), purse, TokenDisposition::Keep, DeliveryStatus::Accepted { shown: *shown, id: id.clone() })
        }
        Verdict::Dead { reason, since_ms } => {
            // If it was registered again after that date it stands, and is tried again at once.
            let purse = PushBudget { not_before_ms: now_ms + RETRY_MS, ..purse };
            (Vec::new(), purse, died(*since_ms, reason), DeliveryStatus::TokenDead(reason.clone()))
        }
        // Of both environments: whose it is nobody knows.
        Verdict::OtherEnvironment { reason } => (Vec::new(), purse, died(None, reason), DeliveryStatus::TokenDead(reason.clone())),
        Verdict::Later { reason, after_ms, .. } => {
            let until_ms = now_ms + after_ms.map_or_else(|| back_off_ms(purse.failures, chance), |asked_ms| asked_ms.min(ASKED_MOST_MS));
            (Vec::new(), failed(until_ms), TokenDisposition::Keep, DeliveryStatus::Deferred(reason.clone(), until_ms))
        }
        Verdict::Refused { reason, fault: Fault::Sender } => {
            (Vec::new(), purse, died(None, reason), DeliveryStatus::TokenDead(reason.clone()))
        }
        Verdict::Refused { reason, fault: Fault::Payload } => {
            (Vec::new(), failed(now_ms + OUR_FAULT_MS), TokenDisposition::Keep, DeliveryStatus::Refused(reason.clone()))
        }
        Verdict::Refused { reason, fault: Fault::App } => {
            (Vec::new(), purse, TokenDisposition::Keep, DeliveryStatus::Refused(reason.clone()))
        }
    };
    let entry = DeliveryLogEntry::new(now_ms, Some((dataset.clone(), *version)), told);
    WakeResult { device: sleeper.device.clone(), woken, budget: purse, disposition: fate, log_entry: entry }
}

/// After so many failures in a row, in milliseconds: between half of the time and the whole.
pub fn back_off_ms(failures: u32, chance: u32) -> u64 {
    let most_ms = RETRY_MS.checked_shl(failures.min(16)).unwrap_or(RETRY_MOST_MS).min(RETRY_MOST_MS);
    most_ms / 2 + most_ms / 2 * u64::from(chance) / u64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
