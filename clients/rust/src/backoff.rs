//! How long a device waits before it connects again (`PROTOCOL.md` §6).

/// The first wait is below this many milliseconds.
const FIRST_MS: u64 = 1_000;

/// Waits do not grow beyond this many milliseconds: a person who is back online should not wait longer than a minute.
const LONGEST_MS: u64 = 60_000;

/// A session that lasted this long counts as a success. One that ends sooner does not: else a server that
/// welcomes and drops its devices at once would be asked several times a second.
const STEADY_MS: u64 = 5_000;

/// Counts failures and turns them into waits. Chance is an argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    pub fn new() -> Backoff {
        Backoff::default()
    }

    /// Counts one more failure and gives the wait after it, in milliseconds: evenly spread below a ceiling of 1 s that
    /// doubles with each failure up to 60 s. `chance` is any number, evenly spread over all of its range.
    pub fn failed(&mut self, chance: u32) -> u64 {
        let ceiling_ms = FIRST_MS.saturating_mul(1 << self.failures.min(16)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        (ceiling_ms * u64::from(chance)) >> 32
    }

    /// A welcomed session ended after this many milliseconds: if it was a steady one, the failures before it are forgotten.
    pub fn lasted(&mut self, session_ms: u64) {
        if session_ms >= STEADY_MS {
            self.reset();
        }
    }

    /// Forgets all failures: somebody asked for a connection now.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_below_a_second_to_a_minute() {
        let mut backoff = Backoff::new();
        let longest: Vec<u64> = (0..9).map(|_| backoff.failed(u32::MAX)).collect();
        assert_eq!(longest, [999, 1_999, 3_999, 7_999, 15_999, 31_999, 59_999, 59_999, 59_999]);
        assert_eq!(backoff.failed(0), 0);
        assert_eq!(backoff.failed(1 << 31), 30_000, "half the chance is half the wait");
    }

    #[test]
    fn only_a_session_that_lasted_ends_the_doubling() {
        let mut backoff = Backoff::new();
        backoff.failed(0);
        backoff.lasted(4_999);
        assert_eq!(backoff.failed(u32::MAX), 1_999);
        backoff.lasted(5_000);
        assert_eq!(backoff.failed(u32::MAX), 999);
    }
}
