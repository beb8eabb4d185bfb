//! The server's two clocks: a wall clock for timestamps, and a monotonic one for deadlines.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    ahead_ms: u64,
}

impl Clock {
    /// A clock whose monotonic time starts at 0 now.
    pub fn start() -> Clock {
        Clock::ahead(0)
    }

    /// A clock whose wall time is `ahead_ms` ahead of the system's, for tests in which months pass.
    pub fn ahead(ahead_ms: u64) -> Clock {
        Clock { start: Instant::now(), ahead_ms }
    }

    /// Milliseconds since this clock was started. Never goes back; for deadlines.
    pub fn elapsed_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Milliseconds since 1970 (UTC). May jump; for timestamps and token expiry.
    pub fn unix_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64).saturating_add(self.ahead_ms)
    }
}
