//! When an issuer's keys are fetched: pure decisions on ages in seconds.

use super::config::{CACHE_LIFETIME_S, REFETCH_AFTER_S, RETRY_AFTER_S};

/// What a token needs before its key can be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The keys at hand will do.
    Nothing,
    /// The key is at hand, but the keys are old: fetch them, and use the old ones if that fails or is under way.
    Fresher,
    /// The key is not at hand: fetch, or wait for the fetch that is under way.
    Keys,
}

/// What a token needs, given the age of the keys at hand (`None`: there are none) and whether its key is among them.
pub(super) fn need(age_s: Option<u64>, key_at_hand: bool) -> Need {
    match age_s {
        None => Need::Keys,
        Some(_) if !key_at_hand => Need::Keys,
        Some(age_s) if age_s >= CACHE_LIFETIME_S => Need::Fresher,
        Some(_) => Need::Nothing,
    }
}

/// Whether a fetch may start, given how long ago the last one started (`None`: never).
pub(super) fn may_fetch(keys_at_hand: bool, last_start_s: Option<u64>) -> bool {
    let bound_s = if keys_at_hand { REFETCH_AFTER_S } else { RETRY_AFTER_S };
    last_start_s.is_none_or(|ago_s| ago_s >= bound_s)
}

/// The time between two readings of the clock. A clock that was set back counts like one that ran on, so that such a
/// jump causes one fetch instead of none for its whole length.
pub(super) fn elapsed_s(now_s: u64, then_s: u64) -> u64 {
    now_s.abs_diff(then_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_used_until_they_are_old() {
        assert_eq!(need(None, false), Need::Keys);
        assert_eq!(need(Some(0), true), Need::Nothing);
        assert_eq!(need(Some(CACHE_LIFETIME_S - 1), true), Need::Nothing);
        assert_eq!(need(Some(CACHE_LIFETIME_S), true), Need::Fresher);
        assert_eq!(need(Some(0), false), Need::Keys);
    }

    #[test]
    fn fetches_keep_their_distance() {
        assert!(may_fetch(true, None) && may_fetch(false, None));
        assert!(!may_fetch(true, Some(REFETCH_AFTER_S - 1)) && may_fetch(true, Some(REFETCH_AFTER_S)));
        assert!(!may_fetch(false, Some(RETRY_AFTER_S - 1)) && may_fetch(false, Some(RETRY_AFTER_S)));
    }

    #[test]
    fn a_clock_that_jumped_back_a_day_does_not_stop_fetches_for_a_day() {
        assert!(may_fetch(true, Some(elapsed_s(1_000_000, 1_086_400))));
        assert_eq!(need(Some(elapsed_s(1_000_000, 1_086_400)), true), Need::Fresher);
    }
}
