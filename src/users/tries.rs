//! When a password may be tried, after how many wrong ones: pure.
//!
//! Source: "Lockout behavior for failed sign-in attempts" in the Amazon Cognito developer guide.

use crate::store::Tries;

/// Wrong passwords that cost nothing.
const FREE_TRIES: u32 = 5;

/// The longest time for which a user is locked out, and the time without attempts after which all is forgotten, in milliseconds.
const LONGEST_LOCK_MS: u64 = 15 * 60 * 1000;

/// Until when no password is looked at, in milliseconds since 1970 (UTC).
fn locked_until_ms(tries: Tries) -> u64 {
    match tries.failed.checked_sub(FREE_TRIES) {
        None => 0,
        Some(over) => {
            let lock_ms = 1000_u64.checked_shl(over.min(20)).unwrap_or(u64::MAX).min(LONGEST_LOCK_MS);
            tries.last_ms.saturating_add(lock_ms)
        }
    }
}

/// Whether no password is looked at now. A clock that went back locks nobody out for longer than the longest lock.
pub fn is_locked(tries: Tries, now_ms: u64) -> bool {
    let until_ms = locked_until_ms(tries);
    now_ms < until_ms && until_ms - now_ms <= LONGEST_LOCK_MS
}

/// The tries after one more wrong password.
pub fn after_failure(tries: Tries, now_ms: u64) -> Tries {
    let is_forgotten = now_ms >= locked_until_ms(tries).max(tries.last_ms).saturating_add(LONGEST_LOCK_MS);
    let failed = if is_forgotten { 1 } else { tries.failed.saturating_add(1) };
    Tries { failed, last_ms: now_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_are_free_and_then_the_lock_doubles_up_to_a_quarter_of_an_hour() {
        let (mut tries, mut now_ms) = (Tries::default(), 1_000_000);
        let mut locks = Vec::new();
        for _ in 0..18 {
            assert!(!is_locked(tries, now_ms));
            tries = after_failure(tries, now_ms);
            let lock_ms = locked_until_ms(tries).saturating_sub(now_ms);
            assert_eq!(is_locked(tries, now_ms), lock_ms > 0);
            locks.push(lock_ms / 1000);
            now_ms += lock_ms;
        }
        assert_eq!(locks[..8], [0, 0, 0, 0, 1, 2, 4, 8]);
        assert_eq!(locks[13..], [512, 900, 900, 900, 900]);
        assert_eq!(after_failure(tries, now_ms + LONGEST_LOCK_MS).failed, 1, "all is forgotten");
    }

    #[test]
    fn clocks_that_jump_lock_nobody_out_for_ever() {
        let tries = Tries { failed: u32::MAX, last_ms: u64::MAX };
        assert!(!is_locked(tries, 5), "the date is beyond the longest lock");
        assert_eq!(after_failure(Tries { failed: u32::MAX, last_ms: 7 }, 8).failed, u32::MAX);
        assert!(is_locked(Tries { failed: 6, last_ms: 1000 }, 900));
    }
}
