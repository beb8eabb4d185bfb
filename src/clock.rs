//! The server's clocks: a wall clock for timestamps, a monotonic one for deadlines, and one for the silence of peers, which stands still while the
//! process does not run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The longest time between two ticks of a [`RunningClock`] that counts, in milliseconds. Ticks come every second; a busy machine delays them,
/// and only a stopped process or a suspended machine this long.
const LONGEST_TICK_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    ahead_ms: u64,
    by_hand: Option<&'static AtomicU64>,
}

impl Clock {
    /// A clock whose monotonic time starts at 0 now.
    pub fn start() -> Clock {
        Clock::ahead(0)
    }

    /// A clock whose wall time is `ahead_ms` ahead of the system's, for tests in which months pass.
    pub fn ahead(ahead_ms: u64) -> Clock {
        Clock { start: Instant::now(), ahead_ms, by_hand: None }
    }

    /// A clock whose monotonic time is the number of milliseconds in `elapsed_ms`, for tests in which minutes pass.
    pub fn by_hand(elapsed_ms: &'static AtomicU64) -> Clock {
        Clock { by_hand: Some(elapsed_ms), ..Clock::start() }
    }

    /// Milliseconds since this clock was started. Never goes back; for deadlines.
    pub fn elapsed_ms(&self) -> u64 {
        self.by_hand.map_or_else(|| self.start.elapsed().as_millis() as u64, |elapsed_ms| elapsed_ms.load(Ordering::Relaxed))
    }

    /// Milliseconds since 1970 (UTC). May jump; for timestamps and token expiry.
    pub fn unix_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64).saturating_add(self.ahead_ms)
    }
}

/// Monotonic time in which the process ran: the silence of a peer counts only while the server could have heard it. Clones share the time.
#[derive(Clone, Debug)]
pub struct RunningClock {
    clock: Clock,
    time: Arc<RunningTime>,
}

impl RunningClock {
    pub fn new(clock: Clock) -> RunningClock {
        // What passed before, such as the time in which the store was opened, was no pause.
        let time = RunningTime { ticked_ms: AtomicU64::new(clock.elapsed_ms()), ..RunningTime::default() };
        RunningClock { clock, time: Arc::new(time) }
    }

    /// Milliseconds in which the process ran. Never goes back.
    pub fn running_ms(&self) -> u64 {
        self.time.at(self.clock.elapsed_ms())
    }

    /// Milliseconds since 1970, see [`Clock::unix_ms`].
    pub fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// Says that the process runs; to be called every second. Returns how long it was paused before, in milliseconds: usually 0.
    pub fn tick(&self) -> u64 {
        self.time.tick(self.clock.elapsed_ms())
    }
}

/// The rule of [`RunningClock`], with the monotonic time as an argument.
#[derive(Debug, Default)]
struct RunningTime {
    ticked_ms: AtomicU64,
    paused_ms: AtomicU64,
    /// The newest time that was returned.
    newest_ms: AtomicU64,
}

impl RunningTime {
    fn at(&self, elapsed_ms: u64) -> u64 {
        // In this order: with a new tick and the old pauses the time would jump ahead.
        let latest_ms = self.ticked_ms.load(Ordering::Acquire) + LONGEST_TICK_MS;
        let now_ms = elapsed_ms.min(latest_ms).saturating_sub(self.paused_ms.load(Ordering::Acquire));
        // A reader in the middle of a tick sees the old tick and the new pause, whose difference lies far back.
        match self.newest_ms.load(Ordering::Acquire) {
            newest_ms if newest_ms >= now_ms => newest_ms,
            _ => self.newest_ms.fetch_max(now_ms, Ordering::AcqRel).max(now_ms),
        }
    }

    fn tick(&self, elapsed_ms: u64) -> u64 {
        let latest_ms = self.ticked_ms.load(Ordering::Acquire) + LONGEST_TICK_MS;
        let paused_ms = elapsed_ms.saturating_sub(latest_ms);
        self.paused_ms.fetch_add(paused_ms, Ordering::AcqRel);
        self.ticked_ms.store(elapsed_ms, Ordering::Release);
        paused_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_in_the_middle_of_a_tick_does_not_go_back() {
        let time = RunningTime::default();
        time.tick(10_000);
        let before_ms = time.at(10_500);
        // The first half of a tick after an hour.
        time.paused_ms.fetch_add(3_600_000, Ordering::AcqRel);
        assert!(time.at(3_610_500) >= before_ms);
    }

    #[test]
    fn what_passed_before_the_first_tick_is_no_pause() {
        static ELAPSED_MS: AtomicU64 = AtomicU64::new(60_000);
        let clock = RunningClock::new(Clock::by_hand(&ELAPSED_MS));
        assert_eq!((clock.tick(), clock.running_ms()), (0, 60_000));
    }

    #[test]
    fn a_pause_does_not_count_and_the_time_never_goes_back() {
        let time = RunningTime::default();
        let mut last_ms = 0;
        let mut now = |elapsed_ms| {
            let now_ms = time.at(elapsed_ms);
            assert!(now_ms >= std::mem::replace(&mut last_ms, now_ms));
            now_ms
        };
        for second in 1..=10 {
            assert_eq!(time.tick(second * 1000), 0);
            assert_eq!(now(second * 1000 + 500), second * 1000 + 500);
        }
        // The process stops for an hour after its tenth second. What runs before the next tick sees no more than the longest tick.
        assert_eq!(now(3_610_000), 10_000 + LONGEST_TICK_MS);
        assert_eq!(time.tick(3_610_000), 3_600_000 - LONGEST_TICK_MS);
        assert_eq!(now(3_610_000), 10_000 + LONGEST_TICK_MS);
        assert_eq!(now(3_611_000), 11_000 + LONGEST_TICK_MS);
        assert_eq!(time.tick(3_611_000), 0);
    }
}
