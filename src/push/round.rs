//! Concludes a wake round: records the result of every wake that was sent and reschedules what is still owed. It runs in the committer, on
//! the store's state at that time, not on the state from which the wakes were decided.

use driftless_protocol::{DeviceId, PushTarget};

use super::Verdict;
use super::wakes::{self, DueWake, Hold, NoWakeReason, WakeSettings};
use crate::store::{Debt, DeliveryLogEntry, DeliveryStatus, Group, StoreError, TokenDisposition, WakeResult, WakeRound, WakeTarget};

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
    // Versions that were written during the round, or just before it, keep the grace that they still have.
    let past_grace: Vec<Debt> = round.debts.iter().filter(|debt| settings.is_past_grace(debt, now_ms)).cloned().collect();
    group.mark_debts_examined(identity, &past_grace)?;
    let Some(current) = group.wake_round(identity)? else { return Ok(()) };
    let dates = wakes::next_dates(&current, settings, hold, now_ms);
    let dates: Vec<_> = dates.into_iter().map(|(dataset, at_ms)| (dataset, at_ms.map(|at_ms| at_ms.saturating_sub(shift_ms)))).collect();
    group.reschedule_debts(identity, &dates)
}

fn not_sent_entry(round: &WakeRound, reason: &NoWakeReason, now_ms: u64) -> DeliveryLogEntry {
    let newest = round.debts.iter().max_by_key(|debt| debt.changed_ms);
    DeliveryLogEntry::new(now_ms, newest.map(|debt| (debt.dataset.clone(), debt.version)), DeliveryStatus::NotSent(reason.to_string()))
}

#[cfg(test)]
mod tests;
