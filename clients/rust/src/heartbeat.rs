//! When an idle session sends a ping, and when an unanswered ping ends it.
//!
//! The server must receive something every `heartbeat_s`, and the device must notice a server that is gone. So a ping is due when
//! either side has sent nothing for one heartbeat. While a ping waits for its answer, every byte that shows that the server is there starts the wait
//! again: on a slow line the answer may come behind a large message. Time is an argument: milliseconds on any monotonic clock.

/// How long a ping may be unanswered, in milliseconds, before the connection counts as lost (`PROTOCOL.md` §2, `ping`).
const PONG_TIMEOUT_MS: u64 = 15_000;

/// A check that comes this much later than [`Heartbeat::check`] asked for means that the process or the machine slept, in milliseconds. Then what
/// the server sent meanwhile may still wait to be read.
const LONGEST_DELAY_MS: u64 = 5_000;

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
    /// When the next check was asked for.
    next_check_ms: u64,
}

impl Heartbeat {
    /// The heartbeat of a session that was welcomed at `now_ms`, with the `heartbeat_s` of its `welcome`; 0 counts as 1.
    pub fn new(heartbeat_s: u64, now_ms: u64) -> Heartbeat {
        Heartbeat {
            interval_ms: heartbeat_s.max(1).saturating_mul(1_000),
            sent_ms: now_ms,
            received_ms: now_ms,
            ping_sent_ms: None,
            next_check_ms: u64::MAX,
        }
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

    /// Bytes have shown that the server is there, though no message may be complete.
    pub fn progressed(&mut self, now_ms: u64) {
        self.ping_sent_ms = self.ping_sent_ms.map(|_| now_ms);
    }

    /// The device has sent the ping that was due.
    pub fn ping_sent(&mut self, now_ms: u64) {
        self.sent_ms = now_ms;
        self.ping_sent_ms = Some(now_ms);
        self.next_check_ms = u64::MAX;
    }

    /// What is due at `now_ms`.
    pub fn check(&mut self, now_ms: u64) -> HeartbeatAction {
        if now_ms > self.next_check_ms.saturating_add(LONGEST_DELAY_MS) {
            self.progressed(now_ms);
        }
        let (at_ms, then) = match self.ping_sent_ms {
            Some(ping_sent_ms) => (ping_sent_ms.saturating_add(PONG_TIMEOUT_MS), HeartbeatAction::TimedOut),
            None => (self.sent_ms.min(self.received_ms).saturating_add(self.interval_ms), HeartbeatAction::SendPing),
        };
        self.next_check_ms = at_ms;
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
    fn a_ping_whose_answer_comes_behind_a_large_message_is_waited_for() {
        let mut heartbeat = Heartbeat::new(30, 0);
        heartbeat.ping_sent(30_000);
        // A megabyte at 8 KB/s takes two minutes.
        for now_ms in (30_000..150_000).step_by(1_000) {
            heartbeat.progressed(now_ms);
            assert_eq!(heartbeat.check(now_ms), HeartbeatAction::WaitUntil(now_ms + 15_000));
        }
        assert_eq!(heartbeat.check(164_000), HeartbeatAction::TimedOut, "nothing more came");
    }

    #[test]
    fn what_arrived_while_the_device_slept_is_read_before_the_connection_counts_as_lost() {
        let mut heartbeat = Heartbeat::new(30, 0);
        heartbeat.ping_sent(30_000);
        assert_eq!(heartbeat.check(30_000), HeartbeatAction::WaitUntil(45_000));
        let woke_ms = 8 * 3_600_000;
        assert_eq!(heartbeat.check(woke_ms), HeartbeatAction::WaitUntil(woke_ms + 15_000));
        assert_eq!(heartbeat.check(woke_ms + 15_000), HeartbeatAction::TimedOut, "nothing was there");
        let mut idle = Heartbeat::new(30, 0);
        assert_eq!(idle.check(0), HeartbeatAction::WaitUntil(30_000));
        assert_eq!(idle.check(woke_ms), HeartbeatAction::SendPing, "at once");
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
