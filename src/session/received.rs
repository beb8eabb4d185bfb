//! The bytes that a session has received, as its client's address and its pool are charged with them. A session that is over a limit reads nothing for
//! a while; the system then slows its peer down.

use crate::limits::{CHARGE_BYTES, ClientAddress, CountedSession, LimitExceeded};
use crate::pools::Pool;

/// The longest pause at a time, in milliseconds: shorter than a device waits for an answer to its ping.
const LONGEST_PAUSE_MS: u64 = 5_000;

#[derive(Debug)]
pub(super) struct ReceivedBytes {
    client: ClientAddress,
    /// The counter of the socket when the last bytes were charged. It wraps.
    charged: u64,
    paused_until_ms: Option<u64>,
    /// Counts the session for its pool until it is dropped.
    _counted: CountedSession,
}

impl ReceivedBytes {
    pub(super) fn new(client: ClientAddress, counted: CountedSession) -> ReceivedBytes {
        ReceivedBytes { client, charged: 0, paused_until_ms: None, _counted: counted }
    }

    pub(super) fn client(&self) -> &ClientAddress {
        &self.client
    }

    /// Whether there are enough bytes to charge. The counter is that of everything that has arrived.
    pub(super) fn is_chargeable(&self, arrived: u64) -> bool {
        arrived.wrapping_sub(self.charged) >= CHARGE_BYTES
    }

    /// Charges what has arrived. Returns when to read again, in milliseconds of the given clock, if a limit was exceeded.
    pub(super) fn charge(&mut self, arrived: u64, pool: &Pool, now_ms: u64) -> Option<u64> {
        let bytes = arrived.wrapping_sub(self.charged);
        self.charged = arrived;
        self.client.charge_bytes(now_ms, bytes);
        pool.used.charge_bytes(now_ms, bytes);
        let exceeded = self.client.check_bytes(now_ms).and_then(|()| pool.used.check_bytes(now_ms)).err()?;
        Some(self.pause(now_ms, exceeded))
    }

    /// Reads nothing for as long as another limit says. Returns when to read again, in milliseconds of the given clock.
    pub(super) fn pause(&mut self, now_ms: u64, exceeded: LimitExceeded) -> u64 {
        let until_ms = (now_ms + exceeded.retry_after_ms.min(LONGEST_PAUSE_MS)).max(self.paused_until_ms.unwrap_or(0));
        self.paused_until_ms = Some(until_ms);
        until_ms
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused_until_ms.is_some()
    }

    /// Ends the pause when its time is over.
    pub(super) fn resume(&mut self, now_ms: u64) {
        self.paused_until_ms = self.paused_until_ms.filter(|until_ms| *until_ms > now_ms);
    }
}
