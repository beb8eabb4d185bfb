//! The deadlines of a session: silence, renewal and expiry of its token, a peer that does not read. Pure: the time is an argument.

use driftless_protocol::CloseCode;

/// The default interval of a device's heartbeats, in seconds. A phone's radio can sleep in between, and a home router, which forgets a quiet
/// connection after minutes, keeps it.
pub const HEARTBEAT_S: u32 = 60;

/// The longest interval of heartbeats, in seconds: some mobile networks forget a connection after half an hour.
pub const LONGEST_HEARTBEAT_S: u32 = 1500;

/// A session is closed after two missed heartbeats and this grace for a slow network, in milliseconds.
const SILENCE_GRACE_MS: u64 = 15_000;

/// How long before a token expires the server requests a fresh one, in milliseconds. A token that lives less than twice as long is renewed at
/// half its lifetime.
pub const RENEWAL_MS: u64 = 60_000;

/// The pause before another request after a failed renewal, in milliseconds: the token's issuer may be down for a moment.
pub const RENEWAL_RETRY_MS: u64 = 10_000;

/// A session is closed when its peer has read nothing for this long, in milliseconds.
pub const STALL_MS: u64 = 30_000;

/// The current time of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ClockReading {
    /// Monotonic.
    pub elapsed_ms: u64,
    /// Since 1970 (UTC); may jump.
    pub unix_ms: u64,
}

/// What a session has to do at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerAction {
    Wait,
    /// Request a fresh token. The current one expires in this many seconds.
    RequestRenewal(u64),
    Close(CloseCode),
}

#[derive(Clone, Debug)]
pub struct SessionTimers {
    last_message_ms: u64,
    heartbeat_s: u32,
    stalled_since_ms: Option<u64>,
    expires_unix_ms: u64,
    renewal_unix_ms: u64,
    is_renewal_requested: bool,
}

impl SessionTimers {
    /// For a session that begins now.
    pub fn new(now: ClockReading, expires_unix_s: u64, heartbeat_s: u32) -> SessionTimers {
        let mut timers = SessionTimers {
            last_message_ms: now.elapsed_ms,
            heartbeat_s,
            stalled_since_ms: None,
            expires_unix_ms: 0,
            renewal_unix_ms: 0,
            is_renewal_requested: false,
        };
        timers.token_renewed(now, expires_unix_s);
        timers
    }

    /// The device sent a message.
    pub fn message_received(&mut self, now: ClockReading) {
        self.last_message_ms = now.elapsed_ms;
    }

    /// When the device last sent a message, in monotonic time.
    pub fn last_message_ms(&self) -> u64 {
        self.last_message_ms
    }

    /// The device sent a fresh token.
    pub fn token_renewed(&mut self, now: ClockReading, expires_unix_s: u64) {
        self.expires_unix_ms = expires_unix_s.saturating_mul(1000);
        let lifetime_ms = self.expires_unix_ms.saturating_sub(now.unix_ms);
        self.renewal_unix_ms = self.expires_unix_ms - RENEWAL_MS.min(lifetime_ms / 2);
        self.is_renewal_requested = false;
    }

    /// The device's fresh token was rejected: it is requested again after a pause.
    pub fn renewal_failed(&mut self, now: ClockReading) {
        self.renewal_unix_ms = now.unix_ms.saturating_add(RENEWAL_RETRY_MS);
        self.is_renewal_requested = false;
    }

    /// Seconds until the token expires.
    pub fn expires_in_s(&self, now: ClockReading) -> u64 {
        self.expires_unix_ms.saturating_sub(now.unix_ms) / 1000
    }

    /// The peer does not read.
    pub fn peer_stalled(&mut self, now: ClockReading) {
        self.stalled_since_ms.get_or_insert(now.elapsed_ms);
    }

    /// The peer reads again.
    pub fn peer_resumed(&mut self) {
        self.stalled_since_ms = None;
    }

    pub fn check(&mut self, now: ClockReading) -> TimerAction {
        if now.unix_ms >= self.expires_unix_ms {
            return TimerAction::Close(CloseCode::TokenExpired);
        }
        if self.stalled_since_ms.is_some_and(|since| now.elapsed_ms >= since + STALL_MS) {
            return TimerAction::Close(CloseCode::Stalled);
        }
        // The session reads nothing from a peer that does not read, so its silence proves nothing.
        if self.stalled_since_ms.is_none() && now.elapsed_ms >= self.silent_at_ms() {
            return TimerAction::Close(CloseCode::Silent);
        }
        if !self.is_renewal_requested && now.unix_ms >= self.renewal_unix_ms && self.stalled_since_ms.is_none() {
            self.is_renewal_requested = true;
            return TimerAction::RequestRenewal(self.expires_in_s(now));
        }
        TimerAction::Wait
    }

    /// When to check next, in monotonic time.
    pub fn deadline_ms(&self, now: ClockReading) -> u64 {
        let from_now = |unix_ms: u64| now.elapsed_ms.saturating_add(unix_ms.saturating_sub(now.unix_ms));
        let token = from_now(if self.is_renewal_requested { self.expires_unix_ms } else { self.renewal_unix_ms });
        let stall = self.stalled_since_ms.map_or(u64::MAX, |since| since + STALL_MS);
        self.silent_at_ms().min(token).min(stall)
    }

    fn silent_at_ms(&self) -> u64 {
        self.last_message_ms + 2000 * u64::from(self.heartbeat_s) + SILENCE_GRACE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE_MS: u64 = 2000 * HEARTBEAT_S as u64 + SILENCE_GRACE_MS;

    /// `later_ms` after a start at ten hours of monotonic time, in 2026.
    fn at(later_ms: u64) -> ClockReading {
        ClockReading { elapsed_ms: 36_000_000 + later_ms, unix_ms: 1_790_000_000_000 + later_ms }
    }

    fn timers(token_s: u64) -> SessionTimers {
        SessionTimers::new(at(0), 1_790_000_000 + token_s, HEARTBEAT_S)
    }

    #[test]
    fn a_session_is_closed_if_its_device_is_silent() {
        let mut timers = timers(86_400);
        assert_eq!(timers.check(at(SILENCE_MS - 1)), TimerAction::Wait);
        assert_eq!(timers.check(at(SILENCE_MS)), TimerAction::Close(CloseCode::Silent));
        timers.message_received(at(u64::from(HEARTBEAT_S) * 1000));
        assert_eq!(timers.check(at(SILENCE_MS)), TimerAction::Wait);
    }

    #[test]
    fn renewal_is_requested_once_and_an_expired_token_closes_the_session() {
        let mut timers = timers(120);
        timers.message_received(at(60_000));
        assert_eq!(timers.check(at(59_999)), TimerAction::Wait);
        assert_eq!(timers.check(at(60_000)), TimerAction::RequestRenewal(60));
        assert_eq!(timers.check(at(60_001)), TimerAction::Wait);
        assert_eq!(timers.check(at(119_999)), TimerAction::Wait);
        assert_eq!(timers.check(at(120_000)), TimerAction::Close(CloseCode::TokenExpired));
        timers.token_renewed(at(119_000), 1_790_000_000 + 3_600);
        timers.message_received(at(119_000));
        assert_eq!(timers.check(at(120_000)), TimerAction::Wait);
        assert_eq!(timers.expires_in_s(at(120_000)), 3_480);
    }

    #[test]
    fn after_a_failed_renewal_the_server_requests_another() {
        let mut timers = timers(120);
        assert_eq!(timers.check(at(60_000)), TimerAction::RequestRenewal(60));
        timers.renewal_failed(at(61_000));
        assert_eq!(timers.check(at(70_999)), TimerAction::Wait);
        assert_eq!(timers.check(at(71_000)), TimerAction::RequestRenewal(49));
    }

    #[test]
    fn a_short_lived_token_is_renewed_at_half_its_lifetime() {
        let mut timers = timers(10);
        assert_eq!(timers.check(at(4_999)), TimerAction::Wait);
        assert_eq!(timers.check(at(5_000)), TimerAction::RequestRenewal(5));
    }

    #[test]
    fn a_stalled_peer_has_a_deadline_until_it_reads_again() {
        let mut timers = timers(86_400);
        timers.peer_stalled(at(1_000));
        timers.peer_stalled(at(20_000));
        assert_eq!(timers.check(at(30_999)), TimerAction::Wait);
        assert_eq!(timers.deadline_ms(at(20_000)), at(31_000).elapsed_ms);
        assert_eq!(timers.check(at(31_000)), TimerAction::Close(CloseCode::Stalled));
        timers.peer_resumed();
        assert_eq!(timers.check(at(31_000)), TimerAction::Wait);
    }

    #[test]
    fn the_deadline_is_never_later_than_the_next_action() {
        for token_s in [1, 10, 100, 119, 121, 1_000, 86_400] {
            let mut timers = timers(token_s);
            let mut now = 0;
            for _ in 0..20 {
                let deadline = timers.deadline_ms(at(now)) - at(0).elapsed_ms;
                assert!(deadline >= now, "no deadline in the past");
                if deadline > now {
                    assert_eq!(timers.clone().check(at(deadline - 1)), TimerAction::Wait, "token of {token_s} s");
                }
                match timers.check(at(deadline)) {
                    TimerAction::Close(_) => break,
                    TimerAction::RequestRenewal(_) => {}
                    TimerAction::Wait => panic!("nothing was due at {deadline}"),
                }
                now = deadline;
            }
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_back_does_not_close_a_session() {
        let mut timers = timers(3_600);
        let yesterday = ClockReading { elapsed_ms: at(1_000).elapsed_ms, unix_ms: at(0).unix_ms - 86_400_000 };
        assert_eq!(timers.check(yesterday), TimerAction::Wait);
        assert!(timers.deadline_ms(yesterday) <= at(SILENCE_MS).elapsed_ms);
    }
}
