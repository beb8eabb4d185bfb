//! How long a device waits before it connects again (`PROTOCOL.md` §6).

/// The ceiling of the first wait, in milliseconds.
const FIRST_CEILING_MS: u64 = 1_000;

/// The highest ceiling, in milliseconds: a person who is back online should not wait longer than a minute.
const MAX_CEILING_MS: u64 = 60_000;

/// A session that lasted at least this many milliseconds counts as a success. A shorter one does not: otherwise devices would
/// connect several times a second to a server that welcomes and disconnects them at once.
const STABLE_SESSION_MS: u64 = 5_000;

/// Counts failed connections and computes how long to wait after each. Randomness is an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A back-off without failures.
    pub fn new() -> Backoff {
        Backoff::default()
    }

    /// Counts one more failure and returns the wait after it, in milliseconds: uniformly distributed below a ceiling of 1 s that
    /// doubles with each failure up to 60 s (full jitter). `random` must be uniform over the whole range of `u32`.
    pub fn next_wait_ms(&mut self, random: u32) -> u64 {
        let ceiling_ms = FIRST_CEILING_MS.saturating_mul(1 << self.failures.min(16)).min(MAX_CEILING_MS);
        self.failures = self.failures.saturating_add(1);
        (ceiling_ms * u64::from(random)) >> 32
    }

    /// A welcomed session ended after this many milliseconds. If it lasted at least 5 s, the failures before it no longer count.
    pub fn session_ended(&mut self, session_ms: u64) {
        if session_ms >= STABLE_SESSION_MS {
            self.reset();
        }
    }

    /// Forgets all failures, for instance because the app asked for a connection now.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_from_a_second_to_a_minute() {
        let mut backoff = Backoff::new();
        let longest: Vec<u64> = (0..9).map(|_| backoff.next_wait_ms(u32::MAX)).collect();
        assert_eq!(longest, [999, 1_999, 3_999, 7_999, 15_999, 31_999, 59_999, 59_999, 59_999]);
        assert_eq!(backoff.next_wait_ms(0), 0);
        assert_eq!(backoff.next_wait_ms(1 << 31), 30_000, "half the range is half the wait");
    }

    #[test]
    fn only_a_stable_session_ends_the_doubling() {
        let mut backoff = Backoff::new();
        backoff.next_wait_ms(0);
        backoff.session_ended(4_999);
        assert_eq!(backoff.next_wait_ms(u32::MAX), 1_999);
        backoff.session_ended(5_000);
        assert_eq!(backoff.next_wait_ms(u32::MAX), 999);
    }
}
