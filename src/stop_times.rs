//! How a stopping server divides its time: every part ends in its share, so that the process ends within `drain_s` of the signal. Pure.

use std::time::Duration;

/// The longest time for closing the store. With the engine's journal nothing needs more; without the rest the next start reads the journal.
const MAX_CLOSE: Duration = Duration::from_secs(8);

/// The longest time for ending the process once the store is closed: threads that still wait, and the log's last lines.
const MAX_END: Duration = Duration::from_secs(2);

/// The shares of one stop, in their order. Together they take `drain_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopTimes {
    /// The server serves, and says that it is not ready.
    pub wait: Duration,
    /// The server accepts nothing, and sessions and requests end.
    pub sessions: Duration,
    /// The store closes.
    pub close: Duration,
    /// The process ends.
    pub end: Duration,
}

impl StopTimes {
    /// The wait takes at most half of the time; of the rest the store has two fifths, and the process a tenth, up to their maxima.
    pub fn new(drain_wait_s: u64, drain_s: u64) -> StopTimes {
        let whole = Duration::from_secs(drain_s);
        let wait = Duration::from_secs(drain_wait_s).min(whole / 2);
        let rest = whole - wait;
        let (close, end) = ((rest * 2 / 5).min(MAX_CLOSE), (rest / 10).min(MAX_END));
        StopTimes { wait, sessions: rest - close - end, close, end }
    }

    /// Those of a process that has not read its configuration yet: it has nothing to drain or to close.
    pub const BEFORE_START: StopTimes = StopTimes { wait: Duration::ZERO, sessions: Duration::ZERO, close: Duration::ZERO, end: MAX_END };

    /// Of [`StopTimes::end`], the time of the threads that still wait.
    pub fn threads(&self) -> Duration {
        self.end / 2
    }

    /// Of [`StopTimes::end`], the time that the log's last lines wait for their reader.
    pub fn last_lines(&self) -> Duration {
        self.end - self.threads()
    }

    /// All shares together.
    pub fn whole(&self) -> Duration {
        self.wait + self.sessions + self.close + self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_the_whole_time_and_each_part_has_some() {
        for drain_s in (1..200).chain([3600]) {
            for drain_wait_s in [0, 1, 5, 30, 3600] {
                let times = StopTimes::new(drain_wait_s, drain_s);
                assert_eq!(times.whole(), Duration::from_secs(drain_s));
                assert_eq!(times.threads() + times.last_lines(), times.end);
                assert!(times.wait <= times.whole() / 2 && times.wait <= Duration::from_secs(drain_wait_s));
                assert!([times.sessions, times.close, times.end].iter().all(|share| *share >= Duration::from_millis(50)), "{times:?}");
            }
        }
    }

    #[test]
    fn the_defaults_leave_sessions_ten_seconds() {
        let seconds = |s| Duration::from_secs(s);
        let expected = StopTimes { wait: seconds(5), sessions: seconds(10), close: seconds(8), end: seconds(2) };
        assert_eq!(StopTimes::new(5, 25), expected);
    }
}
