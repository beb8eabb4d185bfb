//! The bounds and times of connections to a gateway. Arguments, so that tests need not wait.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// The most connections to one gateway.
    pub(super) connections: usize,
    /// The most requests in flight on one connection, if the gateway allows them.
    pub(super) streams: usize,
    /// The most requests that wait or are in flight; further ones are rejected at once.
    pub(super) requests: usize,
    /// How long opening a connection may take, until its first pong.
    pub(super) connect_timeout: Duration,
    /// The silence after which the connection is pinged.
    pub(super) ping_after: Duration,
    pub(super) pong_timeout: Duration,
    /// The idle time after which a connection is closed.
    pub(super) idle_timeout: Duration,
    /// The pause after the first failure to connect; it doubles with each further one.
    pub(super) first_pause: Duration,
    pub(super) max_pause: Duration,
}

impl ConnectionLimits {
    /// Apple asks for few connections that stay open. Four carry 4,000 requests at once: at 100 ms each, 40,000 a second.
    pub(super) const DEFAULT: ConnectionLimits = ConnectionLimits {
        connections: 4,
        // APNs' limit.
        streams: 1000,
        // As many as the connections carry, and half as many waiting: a request that waits longer than `SEND_TIMEOUT` waits in vain.
        requests: 6000,
        connect_timeout: Duration::from_secs(6),
        ping_after: Duration::from_secs(60),
        pong_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10 * 60),
        first_pause: Duration::from_millis(250),
        max_pause: Duration::from_secs(30),
    };

    /// The pause after this many failures in a row: between half of the doubled pause and all of it. `chance` is a random number.
    pub(super) fn pause(&self, failures: u32, chance: u32) -> Duration {
        let doubled = self.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.max_pause);
        doubled / 2 + (doubled / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_with_jitter() {
        let limits = ConnectionLimits::DEFAULT;
        assert_eq!(limits.pause(1, 0), Duration::from_millis(125));
        assert_eq!(limits.pause(1, u32::MAX), Duration::from_millis(250));
        assert_eq!(limits.pause(3, u32::MAX), Duration::from_secs(1));
        assert_eq!(limits.pause(u32::MAX, u32::MAX), limits.max_pause);
        assert_eq!(limits.pause(u32::MAX, 0), limits.max_pause / 2);
    }
}
