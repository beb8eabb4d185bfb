//! How much work each identity of a pool has asked for: bytes of what its devices sent and were sent.
//!
//! The table is bounded: beyond [`TABLE_IDENTITIES`] the identities whose work is paid for are forgotten, and while none is, further ones are not
//! limited.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::rate::{Allowance, Postponed, TakenRate};

/// Identities that owe something at the same time. One that is below its rate owes for some milliseconds.
const TABLE_IDENTITIES: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct IdentityWork(Mutex<HashMap<Arc<str>, TakenRate>>);

impl IdentityWork {
    /// Charges what was done, and says whether the identity is over its rate now.
    pub(super) fn charge(&self, identity: &Arc<str>, allowance: Allowance, now_ms: u64, bytes: u64) -> Result<(), Postponed> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.contains_key(identity) {
            if table.len() >= TABLE_IDENTITIES {
                table.retain(|_, rate| rate.owed_ns(now_ms) > 0);
            }
            if table.len() >= TABLE_IDENTITIES {
                return Ok(());
            }
            table.insert(Arc::clone(identity), TakenRate::default());
        }
        let Some(rate) = table.get(identity) else { return Ok(()) };
        rate.charge(allowance, now_ms, bytes);
        rate.check(allowance, now_ms)
    }

    /// Whether the identity is within its rate.
    pub(super) fn check(&self, identity: &str, allowance: Allowance, now_ms: u64) -> Result<(), Postponed> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(identity).map_or(Ok(()), |rate| rate.check(allowance, now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_identity_over_its_rate_waits_and_no_other_does() {
        let (work, rate) = (IdentityWork::default(), Allowance::per_s(1000));
        let (alice, bob) = (Arc::from("alice"), Arc::from("bob"));
        assert_eq!(work.charge(&alice, rate, 0, 9_000), Ok(()), "those of ten seconds may come at once");
        assert_eq!(work.charge(&alice, rate, 0, 3_000), Err(Postponed { wait_ms: 2_001 }));
        assert_eq!(work.charge(&bob, rate, 0, 9_000), Ok(()));
        assert!(work.check("alice", rate, 2_000).is_err() && work.check("alice", rate, 2_001).is_ok());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_whose_work_is_paid_for() {
        let (work, rate) = (IdentityWork::default(), Allowance::per_s(1000));
        let name = |number: usize| Arc::from(format!("{number}"));
        for number in 0..TABLE_IDENTITIES + 10 {
            assert_eq!(work.charge(&name(number), rate, 0, 1_000), Ok(()));
        }
        assert_eq!(work.0.lock().expect("is not poisoned").len(), TABLE_IDENTITIES);
        assert_eq!(work.charge(&name(TABLE_IDENTITIES), rate, 2_000, 1), Ok(()));
        assert_eq!(work.0.lock().expect("is not poisoned").len(), 1);
    }
}
