//! Decides which device of an identity is woken, and when, and what a gateway's verdict means for it. Pure: the time and chance are arguments.
//!
//! - A device owes itself nothing: a version that it wrote, acknowledged or was woken for is no debt.
//! - After the grace, a device with debts gets one wake for all of them; the wake names the dataset that changed last.
//! - A device that has just connected gets a grace of its own, because it will ask for changes by itself.
//! - Silent wakes are paid from one token bucket, shown wakes from another; when both are empty the debt waits for a refill.
//! - A device that cannot be woken (dead token, not seen for too long) reschedules nothing: it asks for changes when it connects.

mod settings;

use std::collections::HashMap;
use std::fmt;

use driftless_protocol::DatasetName;

use self::settings::HOUR_MS;
pub use self::settings::WakeSettings;
use super::{RefusalCause, Verdict};
use crate::store::{Debt, DeliveryLogEntry, DeliveryStatus, PushBudget, TargetDebt, TokenDisposition, WakeResult, WakeRound, WakeTarget};

/// The wait after the first failure, in milliseconds; it doubles with each further failure in a row.
const FIRST_RETRY_MS: u64 = 5_000;

/// The longest wait after a failure, in milliseconds: wakes resume within an hour after a gateway that was down for a day is back.
const MAX_RETRY_MS: u64 = HOUR_MS;

/// The longest wait that a gateway may ask for, in milliseconds: a mistake in its answer must not silence an app for long.
pub(super) const MAX_GATEWAY_WAIT_MS: u64 = 6 * HOUR_MS;

/// No date is further ahead than this, in milliseconds: a date that is was stored by a clock that was set ahead.
pub(super) const MAX_DATE_AHEAD_MS: u64 = MAX_GATEWAY_WAIT_MS + HOUR_MS;

/// How long a wake waits after a gateway refused its payload, in milliseconds: an earlier retry would be refused as well.
const PAYLOAD_REFUSED_MS: u64 = HOUR_MS;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoWakeReason {
    /// The device has acknowledged everything.
    Paid,
    /// The device wrote everything that it has not acknowledged.
    Writer,
    /// The device was woken for everything that it has not acknowledged.
    Woken,
    /// The device registered for other datasets.
    NotWanted,
    /// The device's token is dead; the provider's reason.
    NoToken(String),
    /// The device was not seen for too long.
    Stale,
    /// The debt is older than its expiry.
    Expired,
    /// The debt's grace is not over.
    Grace,
    /// The device was seen less than a grace ago.
    Connected,
    /// Both token buckets are empty.
    Budget,
    /// The last wake failed.
    BackOff,
    /// Wakes for the device's app are held back.
    Stopped(String),
}

impl fmt::Display for NoWakeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoWakeReason::NoToken(why) => write!(f, "no token: {why}"),
            NoWakeReason::Stopped(why) => write!(f, "app stopped: {why}"),
            other => f.write_str(other.label()),
        }
    }
}

impl NoWakeReason {
    /// [`NoWakeReason::NoToken`] if the target's token is dead.
    pub fn no_token(target: &WakeTarget) -> Option<NoWakeReason> {
        let why = || target.dead.as_ref().map_or_else(String::new, |dead| dead.reason.clone());
        target.target.is_none().then(|| NoWakeReason::NoToken(why()))
    }

    /// The label in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            NoWakeReason::Paid => "paid",
            NoWakeReason::Writer => "writer",
            NoWakeReason::Woken => "woken already",
            NoWakeReason::NotWanted => "not wanted",
            NoWakeReason::NoToken(_) => "no token",
            NoWakeReason::Stale => "stale",
            NoWakeReason::Expired => "expired",
            NoWakeReason::Grace => "grace",
            NoWakeReason::Connected => "connected",
            NoWakeReason::Budget => "budget",
            NoWakeReason::BackOff => "back-off",
            NoWakeReason::Stopped(_) => "app stopped",
        }
    }
}

/// What to do for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WakeDecision {
    /// Send nothing, now or later.
    Skip(NoWakeReason),
    /// Send nothing before this moment, in milliseconds since 1970 (UTC).
    Wait(u64, NoWakeReason),
    Send(DueWake),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueWake {
    /// Whether the user sees it.
    pub shown: bool,
    /// The dataset that the wake names: of all that it covers, the one that changed last.
    pub dataset: DatasetName,
    pub version: u64,
    /// The datasets and versions that the device need not be woken for again once the gateway accepts the wake.
    pub covers: Vec<(DatasetName, u64)>,
    /// When the oldest of these debts began, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
}

/// A time before which no wake is sent to an app's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// In milliseconds since 1970 (UTC).
    pub until_ms: u64,
    pub why: String,
}

/// Why a device need not be woken for one of its debts; `None`: it is owed a wake.
fn settled(target: &WakeTarget, target_debt: &TargetDebt, settings: &WakeSettings, now_ms: u64) -> Option<NoWakeReason> {
    let TargetDebt { debt, acknowledged, woken } = target_debt;
    if target.datasets.as_ref().is_some_and(|wanted| !wanted.contains(&debt.dataset)) {
        return Some(NoWakeReason::NotWanted);
    }
    let foreign = debt.version_from_others(&target.device);
    if *acknowledged >= debt.version {
        return Some(NoWakeReason::Paid);
    }
    if *acknowledged >= foreign {
        return Some(NoWakeReason::Writer);
    }
    if *woken >= foreign {
        return Some(NoWakeReason::Woken);
    }
    if now_ms >= debt.changed_ms.saturating_add(settings.debt_s.saturating_mul(1000)) {
        return Some(NoWakeReason::Expired);
    }
    None
}

/// Decides what to do for one target of a round. `hold`: wakes for its app are held back.
pub fn decide(target: &WakeTarget, settings: &WakeSettings, hold: Option<&Hold>, now_ms: u64) -> WakeDecision {
    let (mut debts, mut reason) = (Vec::new(), NoWakeReason::Paid);
    for target_debt in &target.debts {
        match settled(target, target_debt, settings, now_ms) {
            None => debts.push(&target_debt.debt),
            Some(NoWakeReason::Paid) => {}
            Some(why) => reason = why,
        }
    }
    let Some(newest) = debts.iter().max_by_key(|debt| debt.changed_ms) else { return WakeDecision::Skip(reason) };
    if let Some(reason) = NoWakeReason::no_token(target) {
        return WakeDecision::Skip(reason);
    }
    if now_ms >= target.seen_ms.saturating_add(settings.stale_s.saturating_mul(1000)) {
        return WakeDecision::Skip(NoWakeReason::Stale);
    }
    let grace_end_ms = |debt: &&Debt| if debt.first_ms == 0 { 0 } else { debt.first_ms.saturating_add(settings.grace_ms) };
    let grace_ms = debts.iter().map(grace_end_ms).min().unwrap_or(0);
    // A grace that ends later than a whole grace from now was begun by a clock that was set ahead: it is ignored.
    if now_ms < grace_ms && grace_ms <= now_ms.saturating_add(settings.grace_ms) {
        return WakeDecision::Wait(grace_ms, NoWakeReason::Grace);
    }
    let connected_ms = target.seen_ms.saturating_add(settings.grace_ms);
    if now_ms < connected_ms && target.seen_ms <= now_ms {
        return WakeDecision::Wait(connected_ms, NoWakeReason::Connected);
    }
    let PushBudget { silent, shown, not_before_ms, .. } = target.budget;
    if now_ms < not_before_ms && not_before_ms <= now_ms.saturating_add(MAX_DATE_AHEAD_MS) {
        return WakeDecision::Wait(not_before_ms, NoWakeReason::BackOff);
    }
    if let Some(hold) = hold.filter(|hold| hold.until_ms > now_ms) {
        return WakeDecision::Wait(hold.until_ms, NoWakeReason::Stopped(hold.why.clone()));
    }
    let covers = debts.iter().map(|debt| (debt.dataset.clone(), debt.version)).collect();
    let since_ms = debts.iter().map(|debt| if debt.first_ms == 0 { debt.changed_ms } else { debt.first_ms }).min().unwrap_or(now_ms);
    let due = |shown| DueWake { shown, dataset: newest.dataset.clone(), version: newest.version, covers, since_ms };
    let silent_ms = settings.silent_limits(target.provider).next_wake_ms(silent, now_ms);
    let shown_ms = if target.shown { settings.shown_limits().next_wake_ms(shown, now_ms) } else { None };
    match (silent_ms, shown_ms) {
        (Some(at_ms), _) if at_ms <= now_ms => WakeDecision::Send(due(false)),
        (_, Some(at_ms)) if at_ms <= now_ms => WakeDecision::Send(due(true)),
        (None, None) => WakeDecision::Skip(NoWakeReason::Budget),
        (silent_ms, shown_ms) => WakeDecision::Wait(silent_ms.unwrap_or(u64::MAX).min(shown_ms.unwrap_or(u64::MAX)), NoWakeReason::Budget),
    }
}

/// When each dataset of a round has its next round; `None`: no device is owed a wake for it.
pub fn next_dates(
    round: &WakeRound,
    settings: &WakeSettings,
    hold: impl Fn(&WakeTarget) -> Option<Hold>,
    now_ms: u64,
) -> Vec<(DatasetName, Option<u64>)> {
    let mut earliest_ms: HashMap<&DatasetName, u64> = HashMap::new();
    for target in &round.targets {
        let target_ms = match decide(target, settings, hold(target).as_ref(), now_ms) {
            WakeDecision::Skip(_) => continue,
            WakeDecision::Wait(until_ms, _) => until_ms,
            WakeDecision::Send(_) => now_ms,
        };
        for target_debt in target.debts.iter().filter(|target_debt| settled(target, target_debt, settings, now_ms).is_none()) {
            let date_ms = earliest_ms.entry(&target_debt.debt.dataset).or_insert(target_ms);
            *date_ms = target_ms.min(*date_ms);
        }
    }
    round.debts.iter().map(|debt| (debt.dataset.clone(), earliest_ms.get(&debt.dataset).copied())).collect()
}

/// What a verdict means for the device's debts, token and budget. `chance` is a random number, for the back-off's jitter.
pub fn wake_result(target: &WakeTarget, due: &DueWake, verdict: &Verdict, settings: &WakeSettings, now_ms: u64, chance: u32) -> WakeResult {
    let DueWake { shown, dataset, version, covers, .. } = due;
    let budget = target.budget;
    let failed = |until_ms| PushBudget { failures: budget.failures.saturating_add(1), not_before_ms: until_ms, ..budget };
    let mark_dead = |since_ms, reason: &str| match &target.target {
        Some(target) => TokenDisposition::MarkDead { failed: target.clone(), since_ms, reason: reason.to_owned() },
        None => TokenDisposition::Keep,
    };
    let (woken, budget, token, status) = match verdict {
        Verdict::Accepted { id } => {
            let budget = PushBudget { failures: 0, not_before_ms: 0, ..budget };
            let budget = match shown {
                false => PushBudget { silent: settings.silent_limits(target.provider).spend(budget.silent, now_ms), ..budget },
                true => PushBudget { shown: settings.shown_limits().spend(budget.shown, now_ms), ..budget },
            };
            (covers.clone(), budget, TokenDisposition::Keep, DeliveryStatus::Accepted { shown: *shown, id: id.clone() })
        }
        Verdict::Dead { reason, since_ms, .. } => {
            // A token that was registered again after the gateway's date stays, and is tried again after the first back-off.
            let budget = PushBudget { not_before_ms: now_ms + FIRST_RETRY_MS, ..budget };
            (Vec::new(), budget, mark_dead(*since_ms, reason), DeliveryStatus::TokenDead(reason.clone()))
        }
        // `PoolPush::wake` has tried both environments, and neither accepted the token.
        Verdict::OtherEnvironment { reason } => (Vec::new(), budget, mark_dead(None, reason), DeliveryStatus::TokenDead(reason.clone())),
        Verdict::Later { reason, after_ms, .. } => {
            let until_ms = now_ms + retry_wait_ms(*after_ms, budget.failures, chance);
            (Vec::new(), failed(until_ms), TokenDisposition::Keep, DeliveryStatus::Deferred(reason.clone(), until_ms))
        }
        // Soon at first: the operator may correct the credential.
        Verdict::Refused { reason, cause: RefusalCause::Mismatch, .. } => {
            let until_ms = now_ms + back_off_ms(budget.failures, chance);
            (Vec::new(), failed(until_ms), TokenDisposition::Keep, DeliveryStatus::Refused(reason.clone()))
        }
        Verdict::Refused { reason, cause: RefusalCause::Payload, .. } => {
            (Vec::new(), failed(now_ms + PAYLOAD_REFUSED_MS), TokenDisposition::Keep, DeliveryStatus::Refused(reason.clone()))
        }
        Verdict::Refused { reason, cause: RefusalCause::App, .. } => {
            (Vec::new(), budget, TokenDisposition::Keep, DeliveryStatus::Refused(reason.clone()))
        }
    };
    let entry = DeliveryLogEntry::new(now_ms, Some((dataset.clone(), *version)), status);
    WakeResult { device: target.device.clone(), woken, budget, disposition: token, log_entry: entry }
}

/// The wait before the next attempt, in milliseconds: what the gateway asks for, within its bound, or else the back-off. A gateway that asks for
/// less than the first back-off, such as 0 or a date that is past on this clock, could make the server send without a pause.
pub(super) fn retry_wait_ms(asked_ms: Option<u64>, failures: u32, chance: u32) -> u64 {
    match asked_ms {
        Some(asked_ms) if asked_ms >= FIRST_RETRY_MS => asked_ms.min(MAX_GATEWAY_WAIT_MS),
        Some(asked_ms) => back_off_ms(failures, chance).max(asked_ms),
        None => back_off_ms(failures, chance),
    }
}

/// The wait after this many failures in a row, in milliseconds: a random time between half of the doubled wait and all of it.
pub(super) fn back_off_ms(failures: u32, chance: u32) -> u64 {
    let most_ms = FIRST_RETRY_MS.checked_shl(failures.min(16)).unwrap_or(MAX_RETRY_MS).min(MAX_RETRY_MS);
    most_ms / 2 + most_ms / 2 * u64::from(chance) / u64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
