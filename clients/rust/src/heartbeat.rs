//! When an idle session sends a ping, and when an unanswered ping ends it.
//!
//! The server must receive something every `heartbeat_s`, and the device must notice a server that is gone. So a ping is due when
//! either side has sent nothing for one heartbeat. Time is an argument: milliseconds on any monotonic clock.

/// How long a ping may be unanswered, in milliseconds, before the connection counts as lost (`PROTOCOL.md` §2, `ping`).
const PONG_TIMEOUT_MS: u64 = 15_000;

/// What the caller of [`Heartbeat::check`] must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatAction {
    /// Nothing before this time, in milliseconds on the heartbeat's clock.
    WaitUntil(u64),
    /// Send a ping, then call [`Heartbeat::ping_sent`].
    SendPing,
    /// Close the connection: the ping was not answered in 15 s.
    TimedOut,
}

/// The heartbeat of one session.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    interval_ms: u64,
    sent_ms: u64,
    received_ms: u64,
    ping_sent_ms: Option<u64>,
}

impl Heartbeat {
    /// The heartbeat of a session that was welcomed at `now_ms`, with the `heartbeat_s` of its `welcome`; 0 counts as 1.
    pub fn new(heartbeat_s: u64, now_ms: u64) -> Heartbeat {
        Heartbeat { interval_ms: heartbeat_s.max(1).saturating_mul(1_000), sent_ms: now_ms, received_ms: now_ms, ping_sent_ms: None }
    }

    /// The device has sent something.
    pub fn sent(&mut self, now_ms: u64) {
        self.sent_ms = now_ms;
    }

    /// The device has received a message; any message answers a ping.
    pub fn received(&mut self, now_ms: u64) {
        self.received_ms = now_ms;
        self.ping_sent_ms = None;
    }

    /// The device has sent the ping that was due.
    pub fn ping_sent(&mut self, now_ms: u64) {
        self.sent_ms = now_ms;
        self.ping_sent_ms = Some(now_ms);
    }

    /// What is due at `now_ms`.
    pub fn check(&self, now_ms: u64) -> HeartbeatAction {
        let (at_ms, then) = match self.ping_sent_ms {
            Some(ping_sent_ms) => (ping_sent_ms.saturating_add(PONG_TIMEOUT_MS), HeartbeatAction::TimedOut),
            None => (self.sent_ms.min(self.received_ms).saturating_add(self.interval_ms), HeartbeatAction::SendPing),
        };
        if now_ms < at_ms { HeartbeatAction::WaitUntil(at_ms) } else { then }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_pings_and_the_answer_restarts_the_interval() {
        let mut heartbeat = Heartbeat::new(60, 0);
        assert_eq!(heartbeat.check(59_999), HeartbeatAction::WaitUntil(60_000));
        assert_eq!(heartbeat.check(60_000), HeartbeatAction::SendPing);
        heartbeat.ping_sent(60_000);
        assert_eq!(heartbeat.check(74_999), HeartbeatAction::WaitUntil(75_000));
        heartbeat.received(70_000);
        assert_eq!(heartbeat.check(75_000), HeartbeatAction::WaitUntil(120_000));
    }

    #[test]
    fn no_answer_in_15_seconds_is_a_lost_connection() {
        let mut heartbeat = Heartbeat::new(60, 0);
        heartbeat.ping_sent(60_000);
        heartbeat.sent(70_000);
        assert_eq!(heartbeat.check(75_000), HeartbeatAction::TimedOut, "sending more does not help");
    }

    #[test]
    fn a_session_that_only_sends_or_only_receives_pings_too() {
        let mut sends = Heartbeat::new(10, 0);
        sends.sent(9_000);
        assert_eq!(sends.check(10_000), HeartbeatAction::SendPing);
        let mut receives = Heartbeat::new(10, 0);
        receives.received(9_000);
        assert_eq!(receives.check(10_000), HeartbeatAction::SendPing);
    }
}
