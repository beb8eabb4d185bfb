//! Precise timeouts for a poll. A poll rounds its own timeout up to a millisecond, which is as long as the latencies measured here.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

/// For a longer wait the poll's own timeout is precise enough.
const MAX_PRECISE_WAIT: Duration = Duration::from_millis(40);

/// A timer that ends a poll.
pub struct PollTimer {
    timer: OwnedFd,
}

impl PollTimer {
    /// A timer that is registered in this poll, with this token.
    pub fn new(poll: &Poll, token: Token) -> io::Result<PollTimer> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(PollTimer { timer })
    }

    /// Makes the next poll end after `wait`. Returns the timeout to give to the poll itself.
    pub fn arm(&self, wait: Duration) -> io::Result<Option<Duration>> {
        if wait.is_zero() || wait > MAX_PRECISE_WAIT {
            return Ok(Some(wait));
        }
        let at = |nanoseconds: i64| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
        // Setting the timer also clears an earlier expiration.
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: at(0), it_value: at(wait.as_nanos() as i64) })?;
        Ok(None)
    }
}
