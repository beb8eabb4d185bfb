//! Concludes a wake round: records the result of every wake that was sent and reschedules what is still owed. It runs in the committer, on
//! the store's state at that time, not on the state from which the wakes were decided.
//!
//! A small round is concluded in one transaction ([`conclude`]). A large one takes a transaction for each few devices ([`record_results`]) and for each
//! few debts ([`mark_examined`], [`reschedule`]); a reader finds the dates in between.

use driftless_protocol::{DeviceId, PushTarget};

use super::Verdict;
use super::wakes::{self, DueWake, Hold, NoWakeReason, WakeSettings};
use crate::store::{
    Debt, DeliveryLogEntry, DeliveryStatus, Group, Identity, StoreError, TokenDisposition, WakeResult, WakeRound, WakeTarget,
};

/// Acknowledgements up to which a round is concluded in one transaction, which reads that of each device for each debt.
const SMALL_ROUND: usize = 256;

/// Devices whose results one transaction records. Each has a row with a version for each of its datasets.
pub(super) const DEVICES_PER_STEP: usize = 16;

/// Debts that one transaction gives dates.
pub(super) const DEBTS_PER_STEP: usize = 64;

/// What a round did for one device.
#[derive(Clone)]
pub(super) enum DeviceOutcome {
    Sent(Box<SentWake>),
    NotSent(DeviceId, NoWakeReason),
}

#[derive(Clone)]
pub(super) struct SentWake {
    pub(super) target: WakeTarget,
    pub(super) due: DueWake,
    pub(super) verdict: Verdict,
    /// The target in APNs' other environment, if the token was accepted there instead.
    pub(super) other_environment: Option<PushTarget>,
    /// A random number, for the back-off's jitter.
    pub(super) chance: u32,
}

/// Concludes a round. `hold` says whether wakes for a target's app are held back; dates are stored `shift_ms` before their moment, because the
/// courier reads dates that are one shortest grace old.
pub(super) fn conclude(
    group: &mut Group<'_>,
    round: &WakeRound,
    outcomes: &[DeviceOutcome],
    settings: &WakeSettings,
    hold: impl Fn(&WakeTarget) -> Option<Hold>,
    shift_ms: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    record_results(group, round, outcomes, settings, now_ms)?;
    mark_examined(group, round, &round.debts, settings, now_ms)?;
    let Some(current) = group.wake_round(&round.identity)? else { return Ok(()) };
    reschedule(group, &round.identity, &dates(&current, settings, hold, shift_ms, now_ms))
}

/// Whether a round is concluded in one transaction.
pub(super) fn is_small(round: &WakeRound) -> bool {
    round.targets.len() * round.debts.len() <= SMALL_ROUND
}

/// Records what a round did for some devices.
pub(super) fn record_results(
    group: &mut Group<'_>,
    round: &WakeRound,
    outcomes: &[DeviceOutcome],
    settings: &WakeSettings,
    now_ms: u64,
) -> Result<(), StoreError> {
    let identity = &round.identity;
    if !group.has_identity(identity)? {
        // The identity was erased or merged meanwhile: nothing may be written under it any more.
        return Ok(());
    }
    for outcome in outcomes {
        match outcome {
            DeviceOutcome::Sent(sent) => {
                let SentWake { target, due, verdict, other_environment, chance } = &**sent;
                let result = wakes::wake_result(target, due, verdict, settings, now_ms, *chance);
                let disposition = other_environment.clone().map_or(result.disposition, TokenDisposition::SwitchEnvironment);
                group.record_wake_result(identity, WakeResult { disposition, ..result }, now_ms)?;
            }
            // Most rounds for a connected device end here: an entry for each would flood its delivery log.
            DeviceOutcome::NotSent(_, NoWakeReason::Grace) => {}
            DeviceOutcome::NotSent(device, reason) => group.append_delivery_log(identity, device, not_sent_entry(round, reason, now_ms))?,
        }
    }
    Ok(())
}

/// Records that some of a round's debts were examined. Versions that were written during the round, or just before it, keep the grace that they
/// still have.
pub(super) fn mark_examined(
    group: &mut Group<'_>,
    round: &WakeRound,
    debts: &[Debt],
    settings: &WakeSettings,
    now_ms: u64,
) -> Result<(), StoreError> {
    if !group.has_identity(&round.identity)? {
        return Ok(());
    }
    let past_grace: Vec<Debt> = debts.iter().filter(|debt| settings.is_past_grace(debt, now_ms)).cloned().collect();
    group.mark_debts_examined(&round.identity, &past_grace)
}

/// The date of each debt's next round; `None`: it ends.
pub(super) fn dates(
    current: &WakeRound,
    settings: &WakeSettings,
    hold: impl Fn(&WakeTarget) -> Option<Hold>,
    shift_ms: u64,
    now_ms: u64,
) -> Vec<(Debt, Option<u64>)> {
    let dates = wakes::next_dates(current, settings, hold, now_ms);
    let dated = |(debt, (_, at_ms)): (&Debt, (_, Option<u64>))| (debt.clone(), at_ms.map(|at_ms| at_ms.saturating_sub(shift_ms)));
    current.debts.iter().zip(dates).map(dated).collect()
}

/// Gives debts their dates. One that was written to since the dates were found keeps its own, and has another round at once.
pub(super) fn reschedule(group: &mut Group<'_>, identity: &Identity, dates: &[(Debt, Option<u64>)]) -> Result<(), StoreError> {
    if !group.has_identity(identity)? {
        return Ok(());
    }
    let mut unchanged = Vec::with_capacity(dates.len());
    for (debt, at_ms) in dates {
        if group.is_debt_unchanged(identity, debt)? {
            unchanged.push((debt.dataset.clone(), *at_ms));
        }
    }
    group.reschedule_debts(identity, &unchanged)
}

fn not_sent_entry(round: &WakeRound, reason: &NoWakeReason, now_ms: u64) -> DeliveryLogEntry {
    let newest = round.debts.iter().max_by_key(|debt| debt.changed_ms);
    DeliveryLogEntry::new(now_ms, newest.map(|debt| (debt.dataset.clone(), debt.version)), DeliveryStatus::NotSent(reason.to_string()))
}

#[cfg(test)]
mod tests;
