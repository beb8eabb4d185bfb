//! What a visit leaves: each wake with what came of it, and a date for what is still owed. On what is true when it is kept, not when it was decided.

use driftless_protocol::{DeviceId, PushTarget};

use super::Verdict;
use super::wakes::{self, Held, Reason, Sending, WakeSettings};
use crate::store::{Debt, DeliveryLogEntry, DeliveryStatus, Group, StoreError, TokenDisposition, WakeResult, WakeRound, WakeTarget};

/// What a visit did for a device.
#[derive(Clone)]
pub(super) enum Did {
    /// It was sent a wake.
    Sent(Box<Sent>),
    /// It was not, and why.
    Not(DeviceId, Reason),
}

/// A wake that was sent.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) sleeper: WakeTarget,
    pub(super) sending: Sending,
    pub(super) verdict: Verdict,
    /// Where it was taken, if that is not where the device is registered.
    pub(super) turned: Option<PushTarget>,
    /// A random number, for back-off.
    pub(super) chance: u32,
}

/// Keeps what a visit did. `held`: whose wakes are held back; `shift_ms`: by how much dates in the store are before their moment.
pub(super) fn conclude(
    group: &mut Group<'_>,
    round: &WakeRound,
    done: Vec<Did>,
    settings: &WakeSettings,
    held: impl Fn(&WakeTarget) -> Option<Held>,
    shift_ms: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    let identity = &round.identity;
    if !group.has_identity(identity)? {
        // It was erased or merged meanwhile: nothing is written where nothing may be any more.
        return Ok(());
    }
    for did in done {
        match did {
            Did::Sent(sent) => {
                let Sent { sleeper, sending, verdict, turned, chance } = *sent;
                let settled = wakes::settle(&sleeper, &sending, &verdict, settings, now_ms, chance);
                let fate = turned.map_or(settled.disposition, TokenDisposition::SwitchEnvironment);
                group.record_wake_result(identity, WakeResult { disposition: fate, ..settled }, now_ms)?;
            }
            // Every visit to somebody who is awake begins with it.
            Did::Not(_, Reason::Grace) => {}
            Did::Not(device, reason) => group.append_delivery_log(identity, &device, not_sent(round, &reason, now_ms))?,
        }
    }
    // What was written meanwhile, or a moment before the visit, has its grace still before it.
    let seen: Vec<Debt> = round.debts.iter().filter(|owed| settings.is_past_grace(owed, now_ms)).cloned().collect();
    group.mark_debts_examined(identity, &seen)?;
    let Some(now) = group.wake_round(identity)? else { return Ok(()) };
    let dates = wakes::dates(&now, settings, held, now_ms);
    let dates: Vec<_> = dates.into_iter().map(|(name, at_ms)| (name, at_ms.map(|at_ms| at_ms.saturating_sub(shift_ms)))).collect();
    group.reschedule_debts(identity, &dates)
}

fn not_sent(round: &WakeRound, reason: &Reason, now_ms: u64) -> DeliveryLogEntry {
    let newest = round.debts.iter().max_by_key(|owed| owed.changed_ms);
    DeliveryLogEntry::new(now_ms, newest.map(|owed| (owed.dataset.clone(), owed.version)), DeliveryStatus::NotSent(reason.to_string()))
}

#[cfg(test)]
mod tests;
