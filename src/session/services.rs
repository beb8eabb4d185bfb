//! The parts of the server that every session uses, and the settings of sessions.

use std::sync::atomic::{AtomicU64, Ordering};

use driftless_protocol::CloseCode;

use super::authenticator::Authenticator;
use super::progress::SlowTransfers;
use super::timer_wheel::TimerWheel;
use super::timers::ClockReading;
use crate::clock::RunningClock;
use crate::hub::Hub;
use crate::limits::{MemoryBudgets, MemoryLimits};
use crate::metrics::Metrics;
use crate::sync::SyncService;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The interval of a device's heartbeats, in seconds; at most [`LONGEST_HEARTBEAT_S`](super::LONGEST_HEARTBEAT_S).
    pub heartbeat_s: u32,
    /// The window over which the reconnects of all devices are spread after a restart, in milliseconds.
    pub reconnect_spread_ms: u64,
    /// The memory that messages and answers may take.
    pub memory: MemoryLimits,
}

pub(super) struct SessionServices {
    pub(super) authenticator: Authenticator,
    pub(super) sync: SyncService,
    pub(super) hub: Hub,
    pub(super) wheel: TimerWheel,
    pub(super) clock: RunningClock,
    pub(super) slow_transfers: SlowTransfers,
    pub(super) memory: MemoryBudgets,
    pub(super) metrics: Metrics,
    pub(super) config: SessionConfig,
    pub(super) next_session: AtomicU64,
}

/// Not the number of a session: it stands for requests without one.
pub(super) const NO_SESSION: u64 = 0;

/// The number of a server's first session. A random start keeps the sessions of several runs apart in the log. It is never [`NO_SESSION`].
pub(super) fn first_session() -> AtomicU64 {
    AtomicU64::new((random_u64() >> 12) + 1)
}

impl SessionServices {
    /// A new session's number, unique in this process.
    pub(super) fn next_session(&self) -> u64 {
        self.next_session.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> ClockReading {
        ClockReading { elapsed_ms: self.clock.running_ms(), unix_ms: self.sync.clock().unix_ms() }
    }

    /// How long a device whose socket is closed with this code waits before it reconnects, in milliseconds: if the server restarts a random
    /// time within the configured window, so that devices come back one after the other.
    pub(super) fn reconnect_after(&self, code: CloseCode) -> Option<u64> {
        (code == CloseCode::Restarting).then(|| random_u64() % self.config.reconnect_spread_ms.max(1))
    }

    /// A random time from `after_ms` to twice as long, in milliseconds.
    pub(super) fn spread_ms(&self, after_ms: u64) -> u64 {
        after_ms.saturating_add(random_u64() % after_ms.max(1))
    }
}

/// A session's number as the log and the welcome show it.
pub(super) fn session_name(session: u64) -> String {
    format!("{session:x}")
}

fn random_u64() -> u64 {
    // Nothing here needs secrecy: without the system's random source the values are only less well spread.
    getrandom::u64().unwrap_or(1)
}
