//! One timer wheel for the deadlines of all sessions, advanced by one timer. Pure: the time is an argument, that of a [`RunningClock`].
//!
//! An entry is a session's signals in the slot of a second. When the second comes, the session gets a tick; it then checks its own deadlines
//! and adds a new entry. So a message that moves a deadline costs nothing here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(doc)]
use crate::clock::RunningClock;
use crate::hub::{SessionSignals, Signal};

/// Seconds that the wheel spans. A session with a later deadline gets its tick early, and adds a new entry.
const SLOTS: u64 = 256;

/// The deadlines of all sessions. Clones share the wheel.
#[derive(Clone, Debug)]
pub struct TimerWheel {
    slots: Arc<Mutex<WheelSlots>>,
}

#[derive(Debug)]
struct WheelSlots {
    /// The last second whose entries got their tick.
    now_s: u64,
    entries: Vec<Vec<Arc<SessionSignals>>>,
}

impl Default for TimerWheel {
    fn default() -> TimerWheel {
        let entries = (0..SLOTS).map(|_| Vec::new()).collect();
        TimerWheel { slots: Arc::new(Mutex::new(WheelSlots { now_s: 0, entries })) }
    }
}

impl TimerWheel {
    /// Schedules a tick for when `at_ms` has passed, in milliseconds of the clock that [`TimerWheel::advance`] is given, or for when the wheel
    /// has gone round, whichever is earlier. Returns the time in milliseconds at which the tick will be raised.
    pub fn schedule_tick(&self, at_ms: u64, signals: &Arc<SessionSignals>) -> u64 {
        let mut wheel = self.lock();
        // Rounded up: a tick comes late rather than early, and no entry goes into a slot that is being processed.
        let at_s = (at_ms / 1000 + 1).clamp(wheel.now_s + 1, wheel.now_s + SLOTS - 1);
        wheel.entries[(at_s % SLOTS) as usize].push(Arc::clone(signals));
        at_s * 1000
    }

    /// Raises the ticks of all seconds up to now.
    pub fn advance(&self, now_ms: u64) {
        let now_s = now_ms / 1000;
        loop {
            let due = {
                let mut wheel = self.lock();
                if wheel.now_s >= now_s {
                    return;
                }
                wheel.now_s += 1;
                let slot = (wheel.now_s % SLOTS) as usize;
                std::mem::take(&mut wheel.entries[slot])
            };
            for signals in due {
                signals.raise(Signal::Tick);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, WheelSlots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn has_tick(signals: &SessionSignals) -> bool {
        signals.wait().now_or_never().is_some()
    }

    #[test]
    fn a_tick_is_raised_once_and_not_before_its_time() {
        let (wheel, signals) = (TimerWheel::default(), Arc::new(SessionSignals::new(1)));
        wheel.schedule_tick(5_500, &signals);
        wheel.advance(5_999);
        assert!(!has_tick(&signals));
        wheel.advance(6_000);
        assert!(has_tick(&signals));
        wheel.advance(1_000_000);
        assert!(!has_tick(&signals));
    }

    #[test]
    fn a_wheel_that_is_advanced_late_skips_no_tick() {
        let wheel = TimerWheel::default();
        let sessions: Vec<_> = (1..200).map(|n| Arc::new(SessionSignals::new(n))).collect();
        for (second, signals) in sessions.iter().enumerate() {
            wheel.schedule_tick(second as u64 * 1000, signals);
        }
        wheel.advance(500_000);
        assert!(sessions.iter().all(|signals| has_tick(signals)));
    }

    #[test]
    fn a_deadline_beyond_the_wheel_gets_its_tick_early() {
        let (wheel, signals) = (TimerWheel::default(), Arc::new(SessionSignals::new(1)));
        assert_eq!(wheel.schedule_tick(86_400_000, &signals), (SLOTS - 1) * 1000);
        wheel.advance(SLOTS * 1000);
        assert!(has_tick(&signals));
    }

    #[test]
    fn a_past_deadline_gets_its_tick_at_the_next_advance() {
        let (wheel, signals) = (TimerWheel::default(), Arc::new(SessionSignals::new(1)));
        wheel.advance(10_000);
        wheel.schedule_tick(3_000, &signals);
        wheel.advance(11_000);
        assert!(has_tick(&signals));
    }
}
