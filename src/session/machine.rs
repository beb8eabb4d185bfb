//! What a session does when, apart from its sockets: silence, renewal, expiry, a peer that does not read. Pure: the time is an argument.

use driftless_protocol::CloseCode;

/// How often a device says something, in seconds, unless the configuration says otherwise. A phone's radio sleeps between; a home router
/// forgets a quiet connection after minutes.
pub const HEARTBEAT_S: u32 = 60;

/// The longest heartbeat, in seconds: some mobile networks forget a connection after half an hour.
pub const LONGEST_HEARTBEAT_S: u32 = 1500;

/// A session ends after two heartbeats that failed and so much more, for a slow network.
const LATE_MS: u64 = 15_000;

/// A fresh token is asked for this long before the old one expires, or at half its life if that is later.
pub const RENEWAL_MS: u64 = 60_000;

/// After a renewal that failed the device is asked again so much later: the issuer may be down for a moment.
pub const RENEWAL_AGAIN_MS: u64 = 10_000;

/// A peer that reads nothing for so long is given up.
pub const STALL_MS: u64 = 30_000;

/// The moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Of the clock that never jumps, in milliseconds.
    pub elapsed_ms: u64,
    /// Since 1970 (UTC), in milliseconds.
    pub unix_ms: u64,
}

/// What a session finds when it looks at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing is due.
    Fine,
    /// It is time to ask for a fresh token, which is needed in so many seconds.
    AskRenewal(u64),
    /// It is over.
    End(CloseCode),
}

/// A session's state in time.
#[derive(Clone, Debug)]
pub struct Machine {
    heard_ms: u64,
    heartbeat_s: u32,
    stalled_since_ms: Option<u64>,
    expires_unix_ms: u64,
    ask_unix_ms: u64,
    asked: bool,
}

impl Machine {
    /// A session that begins now, with a token that expires then, and a device that says something so often.
    pub fn new(now: Now, expires_unix_s: u64, heartbeat_s: u32) -> Machine {
        let mut machine =
            Machine { heard_ms: now.elapsed_ms, heartbeat_s, stalled_since_ms: None, expires_unix_ms: 0, ask_unix_ms: 0, asked: false };
        machine.renewed(now, expires_unix_s);
        machine
    }

    /// The device said something.
    pub fn heard(&mut self, now: Now) {
        self.heard_ms = now.elapsed_ms;
    }

    /// When the device last said something, by the clock that never jumps.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms
    }

    /// The device has a fresh token.
    pub fn renewed(&mut self, now: Now, expires_unix_s: u64) {
        self.expires_unix_ms = expires_unix_s.saturating_mul(1000);
        let life_ms = self.expires_unix_ms.saturating_sub(now.unix_ms);
        self.ask_unix_ms = self.expires_unix_ms - RENEWAL_MS.min(life_ms / 2);
        self.asked = false;
    }

    /// The device's fresh token was none: it is asked again, a little later.
    pub fn not_renewed(&mut self, now: Now) {
        self.ask_unix_ms = now.unix_ms.saturating_add(RENEWAL_AGAIN_MS);
        self.asked = false;
    }

    /// Seconds until the token expires.
    pub fn expires_in_s(&self, now: Now) -> u64 {
        self.expires_unix_ms.saturating_sub(now.unix_ms) / 1000
    }

    /// The peer takes no more.
    pub fn stalled(&mut self, now: Now) {
        self.stalled_since_ms.get_or_insert(now.elapsed_ms);
    }

    /// The peer reads again.
    pub fn flowing(&mut self) {
        self.stalled_since_ms = None;
    }

    /// What is due.
    pub fn check(&mut self, now: Now) -> Check {
        if now.unix_ms >= self.expires_unix_ms {
            return Check::End(CloseCode::TokenExpired);
        }
        if self.stalled_since_ms.is_some_and(|since| now.elapsed_ms >= since + STALL_MS) {
            return Check::End(CloseCode::Stalled);
        }
        // A peer that does not read is not listened to: its silence is ours.
        if self.stalled_since_ms.is_none() && now.elapsed_ms >= self.silent_at_ms() {
            return Check::End(CloseCode::Silent);
        }
        if !self.asked && now.unix_ms >= self.ask_unix_ms && self.stalled_since_ms.is_none() {
            self.asked = true;
            return Check::AskRenewal(self.expires_in_s(now));
        }
        Check::Fine
    }

    /// When to check next, by the clock that never jumps.
    pub fn deadline_ms(&self, now: Now) -> u64 {
        let from_now = |unix_ms: u64| now.elapsed_ms.saturating_add(unix_ms.saturating_sub(now.unix_ms));
        let token = from_now(if self.asked { self.expires_unix_ms } else { self.ask_unix_ms });
        let stall = self.stalled_since_ms.map_or(u64::MAX, |since| since + STALL_MS);
        self.silent_at_ms().min(token).min(stall)
    }

    fn silent_at_ms(&self) -> u64 {
        self.heard_ms + 2000 * u64::from(self.heartbeat_s) + LATE_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE_MS: u64 = 2000 * HEARTBEAT_S as u64 + LATE_MS;

    /// Ten hours after the server's start, at a moment of 2026.
    fn at(later_ms: u64) -> Now {
        Now { elapsed_ms: 36_000_000 + later_ms, unix_ms: 1_790_000_000_000 + later_ms }
    }

    fn machine(token_s: u64) -> Machine {
        Machine::new(at(0), 1_790_000_000 + token_s, HEARTBEAT_S)
    }

    #[test]
    fn a_silent_session_ends_and_a_talking_one_does_not() {
        let mut session = machine(86_400);
        assert_eq!(session.check(at(SILENCE_MS - 1)), Check::Fine);
        assert_eq!(session.check(at(SILENCE_MS)), Check::End(CloseCode::Silent));
        session.heard(at(u64::from(HEARTBEAT_S) * 1000));
        assert_eq!(session.check(at(SILENCE_MS)), Check::Fine);
    }

    #[test]
    fn renewal_is_asked_once_in_time_and_an_expired_token_ends_the_session() {
        let mut session = machine(120);
        session.heard(at(60_000));
        assert_eq!(session.check(at(59_999)), Check::Fine);
        assert_eq!(session.check(at(60_000)), Check::AskRenewal(60));
        assert_eq!(session.check(at(60_001)), Check::Fine);
        assert_eq!(session.check(at(119_999)), Check::Fine);
        assert_eq!(session.check(at(120_000)), Check::End(CloseCode::TokenExpired));
        session.renewed(at(119_000), 1_790_000_000 + 3_600);
        session.heard(at(119_000));
        assert_eq!(session.check(at(120_000)), Check::Fine);
        assert_eq!(session.expires_in_s(at(120_000)), 3_480);
    }

    #[test]
    fn after_a_failed_renewal_the_device_is_asked_again() {
        let mut session = machine(120);
        assert_eq!(session.check(at(60_000)), Check::AskRenewal(60));
        session.not_renewed(at(61_000));
        assert_eq!(session.check(at(70_999)), Check::Fine);
        assert_eq!(session.check(at(71_000)), Check::AskRenewal(49));
    }

    #[test]
    fn a_short_token_is_renewed_at_half_its_life() {
        let mut session = machine(10);
        assert_eq!(session.check(at(4_999)), Check::Fine);
        assert_eq!(session.check(at(5_000)), Check::AskRenewal(5));
    }

    #[test]
    fn a_stalled_peer_is_bounded_and_forgiven_when_it_reads() {
        let mut session = machine(86_400);
        session.stalled(at(1_000));
        session.stalled(at(20_000));
        assert_eq!(session.check(at(30_999)), Check::Fine);
        assert_eq!(session.deadline_ms(at(20_000)), at(31_000).elapsed_ms);
        assert_eq!(session.check(at(31_000)), Check::End(CloseCode::Stalled));
        session.flowing();
        assert_eq!(session.check(at(31_000)), Check::Fine);
    }

    #[test]
    fn the_deadline_is_never_after_what_is_due() {
        for token_s in [1, 10, 100, 119, 121, 1_000, 86_400] {
            let mut session = machine(token_s);
            let mut now = 0;
            for _ in 0..20 {
                let deadline = session.deadline_ms(at(now)) - at(0).elapsed_ms;
                assert!(deadline >= now, "no deadline in the past");
                if deadline > now {
                    assert_eq!(session.clone().check(at(deadline - 1)), Check::Fine, "token of {token_s} s");
                }
                match session.check(at(deadline)) {
                    Check::End(_) => break,
                    Check::AskRenewal(_) => {}
                    Check::Fine => panic!("nothing was due at {deadline}"),
                }
                now = deadline;
            }
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_back_does_not_end_a_session() {
        let mut session = machine(3_600);
        let yesterday = Now { elapsed_ms: at(1_000).elapsed_ms, unix_ms: at(0).unix_ms - 86_400_000 };
        assert_eq!(session.check(yesterday), Check::Fine);
        assert!(session.deadline_ms(yesterday) <= at(SILENCE_MS).elapsed_ms);
    }
}
