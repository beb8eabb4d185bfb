//! The two clocks: one that people read, one that never jumps.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    ahead_ms: u64,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock::ahead(0)
    }

    /// The same, by a calendar that is so many milliseconds ahead of the system's: for tests in which months pass.
    pub fn ahead(ahead_ms: u64) -> Clock {
        Clock { start: Instant::now(), ahead_ms }
    }

    /// Milliseconds since this clock started; never goes back. For deadlines.
    pub fn elapsed_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Milliseconds since 1970 (UTC); may jump. For stamps and for tokens.
    pub fn unix_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64).saturating_add(self.ahead_ms)
    }
}
