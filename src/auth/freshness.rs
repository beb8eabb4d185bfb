//! When an issuer's keys are fetched: pure decisions over ages in seconds.

use super::config::{CACHE_LIFETIME_S, REFETCH_AFTER_S, RETRY_AFTER_S};

/// What must happen before a token can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyNeed {
    /// The cached keys suffice.
    Nothing,
    /// The token's key is cached, but the cache has expired: fetch, and use the cached keys if the fetch fails or one is in progress.
    Refresh,
    /// No cached key verifies the token: fetch, or wait for the fetch in progress. Providers that are made anew keep the `kid` of their key.
    Fetch,
}

/// What a token needs, given the age of the cached keys (`None`: there are none) and whether one of them verifies it.
pub(super) fn key_need(age_s: Option<u64>, is_verified: bool) -> KeyNeed {
    match age_s {
        None => KeyNeed::Fetch,
        Some(_) if !is_verified => KeyNeed::Fetch,
        Some(age_s) if age_s >= CACHE_LIFETIME_S => KeyNeed::Refresh,
        Some(_) => KeyNeed::Nothing,
    }
}

/// Whether a fetch may start, given how long ago the last one started (`None`: never).
pub(super) fn may_fetch(has_keys: bool, last_start_s: Option<u64>) -> bool {
    let interval_s = if has_keys { REFETCH_AFTER_S } else { RETRY_AFTER_S };
    last_start_s.is_none_or(|ago_s| ago_s >= interval_s)
}

/// The time between two readings of the clock. A clock that was set back counts like one that was set forward, so that such a jump causes one
/// extra fetch and does not suppress fetches for its whole length.
pub(super) fn elapsed_s(now_s: u64, then_s: u64) -> u64 {
    now_s.abs_diff(then_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_keys_are_used_until_they_expire() {
        assert_eq!(key_need(None, false), KeyNeed::Fetch);
        assert_eq!(key_need(Some(0), true), KeyNeed::Nothing);
        assert_eq!(key_need(Some(CACHE_LIFETIME_S - 1), true), KeyNeed::Nothing);
        assert_eq!(key_need(Some(CACHE_LIFETIME_S), true), KeyNeed::Refresh);
        assert_eq!(key_need(Some(0), false), KeyNeed::Fetch);
    }

    #[test]
    fn two_fetches_have_a_minimum_interval() {
        assert!(may_fetch(true, None) && may_fetch(false, None));
        assert!(!may_fetch(true, Some(REFETCH_AFTER_S - 1)) && may_fetch(true, Some(REFETCH_AFTER_S)));
        assert!(!may_fetch(false, Some(RETRY_AFTER_S - 1)) && may_fetch(false, Some(RETRY_AFTER_S)));
    }

    #[test]
    fn a_clock_that_jumped_back_a_day_does_not_stop_fetches_for_a_day() {
        assert!(may_fetch(true, Some(elapsed_s(1_000_000, 1_086_400))));
        assert_eq!(key_need(Some(elapsed_s(1_000_000, 1_086_400)), true), KeyNeed::Refresh);
    }
}
