//! Waits that end on time: those of a poll are rounded up to a millisecond, which is as long as what is measured here.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Poll, Token};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime};

/// Longer waits may be late by a millisecond.
const PRECISE: Duration = Duration::from_millis(40);

/// A timer that wakes a poll.
pub struct Alarm {
    timer: OwnedFd,
}

impl Alarm {
    /// One that rings in this poll, with this token.
    pub fn new(poll: &Poll, token: Token) -> io::Result<Alarm> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer })
    }

    /// Sees to it that the poll ends after so long; returns what the poll itself is to wait at most.
    pub fn ring_after(&self, wait: Duration) -> io::Result<Option<Duration>> {
        if wait.is_zero() || wait > PRECISE {
            return Ok(Some(wait));
        }
        let at = |nanoseconds: i64| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
        // Setting it takes back what it has rung before.
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: at(0), it_value: at(wait.as_nanos() as i64) })?;
        Ok(None)
    }
}
