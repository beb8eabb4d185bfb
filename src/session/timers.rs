//! The deadlines of a session: silence, renewal and expiry of its token, a peer that does not read, a ping of the server's own. Pure: the time
//! is an argument, and so are the bytes that the socket has carried.
//!
//! Time in which the session did not read is not silence of its device: neither that of a blocked send nor that of a full patch window.

use driftless_protocol::CloseCode;

use super::progress::TransferDeadline;
use super::token_timer::{TokenAction, TokenTimer};

/// The default interval of a device's heartbeats, in seconds. Proxies and balancers close a connection that is quiet for 50 seconds (HAProxy
/// on Debian) or 60 (nginx, AWS): a heartbeat that comes late, and the server's own ping after `KEEPALIVE_PERCENT`, lie below both.
pub const HEARTBEAT_S: u32 = 30;

/// When a server that has sent nothing sends a WebSocket ping, in percent of the heartbeat. A device that pings as it must is answered before,
/// so this is for one that sends only what is not answered: a proxy would close it, because nothing comes from the server.
const KEEPALIVE_PERCENT: u64 = 150;

/// The longest interval of heartbeats, in seconds: some mobile networks forget a connection after half an hour.
pub const LONGEST_HEARTBEAT_S: u32 = 1500;

/// A session is closed after two missed heartbeats and this grace for a slow network, in milliseconds.
const SILENCE_GRACE_MS: u64 = 15_000;

/// A session is closed when its peer has read nothing for this long, in milliseconds, or has read below the floor for longer.
pub const STALL_MS: u64 = 30_000;

/// A session is found silent twice, this long apart, in milliseconds, before it is closed: what arrived meanwhile is read in between.
const LAST_CALL_MS: u64 = 1_000;

/// The current time of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct ClockReading {
    /// Monotonic; stands still while the process is paused.
    pub elapsed_ms: u64,
    /// Since 1970 (UTC); may jump.
    pub unix_ms: u64,
}

/// What a socket has carried so far, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketBytes {
    /// Payload of the device's messages, incomplete ones included. Control frames are not counted.
    pub received: u64,
    /// Everything that the system took for sending.
    pub written: u64,
}

/// What a session has to do at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerAction {
    Wait,
    /// Request a fresh token. The current one expires in this many seconds.
    RequestRenewal(u64),
    /// Send a WebSocket ping.
    SendPing,
    Close(CloseCode),
}

#[derive(Clone, Debug)]
pub struct SessionTimers {
    last_message_ms: u64,
    heartbeat_s: u32,
    silence: TransferDeadline,
    /// When the session was first found silent.
    last_call_ms: Option<u64>,
    /// Since when the session reads nothing.
    deaf_since_ms: Option<u64>,
    /// Boxed: few sends are blocked, and every session has its timers.
    stall: Option<Box<TransferDeadline>>,
    sent_ms: u64,
    written: u64,
    token: TokenTimer,
}

impl SessionTimers {
    /// For a session that begins now.
    pub fn new(now: ClockReading, expires_unix_s: u64, heartbeat_s: u32) -> SessionTimers {
        SessionTimers {
            last_message_ms: now.elapsed_ms,
            heartbeat_s,
            silence: TransferDeadline::new(now.elapsed_ms, silence_ms(heartbeat_s), 0),
            last_call_ms: None,
            deaf_since_ms: None,
            stall: None,
            sent_ms: now.elapsed_ms,
            written: 0,
            token: TokenTimer::new(now.unix_ms, expires_unix_s),
        }
    }

    /// The device sent a whole message.
    pub fn message_received(&mut self, now: ClockReading, bytes: SocketBytes) {
        self.last_message_ms = now.elapsed_ms;
        self.silence = TransferDeadline::new(now.elapsed_ms, silence_ms(self.heartbeat_s), bytes.received);
        self.last_call_ms = None;
    }

    /// When the device last sent a whole message, in monotonic time.
    pub fn last_message_ms(&self) -> u64 {
        self.last_message_ms
    }

    /// The dates of the session's token.
    pub fn token(&self) -> &TokenTimer {
        &self.token
    }

    pub fn token_mut(&mut self) -> &mut TokenTimer {
        &mut self.token
    }

    /// A send waits for the peer to read. Meanwhile the session reads nothing.
    pub fn send_blocked(&mut self, now: ClockReading, bytes: SocketBytes) {
        self.stall.get_or_insert_with(|| Box::new(TransferDeadline::new(now.elapsed_ms, STALL_MS, bytes.written)));
        self.reading_stopped(now);
    }

    /// The send is done.
    pub fn send_done(&mut self, now: ClockReading) {
        self.stall = None;
        self.reading_resumed(now);
    }

    pub fn is_reading(&self) -> bool {
        self.deaf_since_ms.is_none()
    }

    /// The session reads nothing from here on.
    pub fn reading_stopped(&mut self, now: ClockReading) {
        self.deaf_since_ms.get_or_insert(now.elapsed_ms);
    }

    /// The session reads again.
    pub fn reading_resumed(&mut self, now: ClockReading) {
        if let Some(since_ms) = self.deaf_since_ms.take() {
            self.silence.postpone(now.elapsed_ms.saturating_sub(since_ms));
            self.last_call_ms = None;
        }
    }

    /// Whether the message that arrives, or the send that waits, has used up its time and goes on only because its bytes keep coming.
    pub fn is_slow(&self, now: ClockReading) -> bool {
        match &self.stall {
            Some(stall) => stall.is_slow(now.elapsed_ms),
            None => self.deaf_since_ms.is_none() && self.silence.is_slow(now.elapsed_ms),
        }
    }

    pub fn check(&mut self, now: ClockReading, bytes: SocketBytes) -> TimerAction {
        if self.token.is_expired(now.unix_ms) {
            return TimerAction::Close(CloseCode::TokenExpired);
        }
        if let Some(stall) = &mut self.stall {
            stall.count(now.elapsed_ms, bytes.written);
            return if stall.is_over(now.elapsed_ms) { TimerAction::Close(CloseCode::Stalled) } else { TimerAction::Wait };
        }
        if self.deaf_since_ms.is_none() && self.is_silent(now, bytes) {
            return TimerAction::Close(CloseCode::Silent);
        }
        match self.token.check(now.unix_ms) {
            TokenAction::Wait => {}
            TokenAction::Request(expires_in_s) => return TimerAction::RequestRenewal(expires_in_s),
            TokenAction::Close => return TimerAction::Close(CloseCode::TokenExpired),
        }
        if now.elapsed_ms >= self.ping_at_ms() {
            // Also if the ping itself is not written at once.
            self.sent_ms = now.elapsed_ms;
            return TimerAction::SendPing;
        }
        TimerAction::Wait
    }

    /// When to check next, in monotonic time. Notices whether anything was sent since the last call.
    pub fn next_check_ms(&mut self, now: ClockReading, bytes: SocketBytes) -> u64 {
        if std::mem::replace(&mut self.written, bytes.written) != bytes.written {
            self.sent_ms = now.elapsed_ms;
        }
        let from_now = |unix_ms: u64| now.elapsed_ms.saturating_add(unix_ms.saturating_sub(now.unix_ms));
        if let Some(stall) = &self.stall {
            return stall.at_ms().min(from_now(self.token.expires_ms()));
        }
        let token_ms = from_now(self.token.next_ms());
        let silent_ms = if self.deaf_since_ms.is_some() { u64::MAX } else { self.silent_at_ms() };
        silent_ms.min(token_ms).min(self.ping_at_ms())
    }

    fn is_silent(&mut self, now: ClockReading, bytes: SocketBytes) -> bool {
        self.silence.count(now.elapsed_ms, bytes.received);
        if !self.silence.is_over(now.elapsed_ms) {
            self.last_call_ms = None;
        }
        self.silence.is_over(now.elapsed_ms) && now.elapsed_ms >= *self.last_call_ms.get_or_insert(now.elapsed_ms) + LAST_CALL_MS
    }

    fn silent_at_ms(&self) -> u64 {
        self.last_call_ms.map_or(self.silence.at_ms(), |first_ms| first_ms + LAST_CALL_MS)
    }

    fn ping_at_ms(&self) -> u64 {
        self.sent_ms + u64::from(self.heartbeat_s) * 1000 * KEEPALIVE_PERCENT / 100
    }
}

/// How long a device may send no message, in milliseconds.
fn silence_ms(heartbeat_s: u32) -> u64 {
    2000 * u64::from(heartbeat_s) + SILENCE_GRACE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT_MS: u64 = HEARTBEAT_S as u64 * 1000;
    const SILENCE_MS: u64 = 2 * HEARTBEAT_MS + SILENCE_GRACE_MS;

    /// `later_ms` after a start at ten hours of monotonic time, in 2026.
    fn at(later_ms: u64) -> ClockReading {
        ClockReading { elapsed_ms: 36_000_000 + later_ms, unix_ms: 1_790_000_000_000 + later_ms }
    }

    fn received(bytes: u64) -> SocketBytes {
        SocketBytes { received: bytes, ..SocketBytes::default() }
    }

    fn written(bytes: u64) -> SocketBytes {
        SocketBytes { written: bytes, ..SocketBytes::default() }
    }

    fn timers(token_s: u64) -> SessionTimers {
        SessionTimers::new(at(0), 1_790_000_000 + token_s, HEARTBEAT_S)
    }

    /// Checks every second until the session is to be closed, and returns when and why; `socket` says what was carried by then.
    fn end_of(timers: &mut SessionTimers, until_ms: u64, socket: impl Fn(u64) -> SocketBytes) -> Option<(u64, CloseCode)> {
        (0..=until_ms).step_by(1000).find_map(|ms| match timers.check(at(ms), socket(ms)) {
            TimerAction::Close(code) => Some((ms, code)),
            _ => None,
        })
    }

    #[test]
    fn a_session_is_closed_if_its_device_is_silent() {
        let closed = end_of(&mut timers(86_400), 86_400_000, |_| received(0));
        assert_eq!(closed, Some((SILENCE_MS + LAST_CALL_MS, CloseCode::Silent)));
        let mut timers = timers(86_400);
        timers.message_received(at(HEARTBEAT_MS), received(0));
        assert_eq!(timers.silent_at_ms(), at(HEARTBEAT_MS + SILENCE_MS).elapsed_ms);
    }

    #[test]
    fn what_arrived_is_read_before_a_session_counts_as_silent() {
        let mut timers = timers(86_400);
        assert!(!timers.is_silent(at(SILENCE_MS + 50_000), received(0)), "the first look, however late");
        assert!(!timers.is_silent(at(SILENCE_MS + 50_999), received(0)));
        timers.message_received(at(SILENCE_MS + 50_999), received(8));
        assert!(!timers.is_silent(at(SILENCE_MS + 52_000), received(8)));
    }

    #[test]
    fn a_message_that_arrives_slowly_is_no_silence_and_one_that_trickles_is() {
        // 2 MiB at 8 KB/s, then nothing.
        let closed = end_of(&mut timers(86_400), 86_400_000, |ms| received((ms * 8).min(2_097_152)));
        let (ended_ms, code) = closed.expect("ends");
        assert_eq!(code, CloseCode::Silent);
        assert!((262_000 + SILENCE_MS..262_000 + SILENCE_MS + 3_000).contains(&ended_ms), "{ended_ms}");
        let closed = end_of(&mut timers(86_400), 86_400_000, |ms| received(ms / 10));
        assert!(closed.is_some_and(|(ms, _)| ms < SILENCE_MS * 2), "100 bytes a second: {closed:?}");
    }

    #[test]
    fn time_in_which_the_session_does_not_read_is_no_silence() {
        let mut timers = timers(86_400);
        timers.reading_stopped(at(10_000));
        timers.reading_stopped(at(20_000));
        assert_eq!(timers.check(at(10_000 + 2 * SILENCE_MS), received(0)), TimerAction::SendPing);
        timers.reading_resumed(at(10_000 + 2 * SILENCE_MS));
        assert!(!timers.is_silent(at(3 * SILENCE_MS - 1), received(0)), "{SILENCE_MS} ms in which it read");
        assert!(!timers.is_silent(at(3 * SILENCE_MS), received(0)));
        assert!(timers.is_silent(at(3 * SILENCE_MS + LAST_CALL_MS), received(0)));
    }

    #[test]
    fn a_token_is_requested_once_and_an_expired_one_closes_the_session() {
        let mut timers = timers(40);
        assert_eq!(timers.check(at(19_999), written(0)), TimerAction::Wait);
        assert_eq!(timers.check(at(20_000), written(0)), TimerAction::RequestRenewal(20));
        assert_eq!(timers.check(at(20_001), written(0)), TimerAction::Wait);
        timers.token_mut().renewal_failed(at(25_000).unix_ms);
        assert_eq!(timers.check(at(35_000), written(0)), TimerAction::RequestRenewal(5));
        assert_eq!(timers.check(at(39_999), written(0)), TimerAction::Wait);
        assert_eq!(timers.check(at(40_000), written(0)), TimerAction::Close(CloseCode::TokenExpired));
    }

    #[test]
    fn a_peer_that_reads_nothing_has_a_deadline_and_one_that_reads_slowly_goes_on() {
        for (bytes_per_s, ends) in [(0, true), (100, true), (1_000, false), (8_000, false)] {
            let mut timers = timers(86_400);
            timers.send_blocked(at(0), written(0));
            let closed = end_of(&mut timers, 600_000, |ms| written(ms * bytes_per_s / 1000));
            assert_eq!(closed.is_some(), ends, "{bytes_per_s} bytes a second: {closed:?}");
            assert!(closed.is_none_or(|(ms, code)| code == CloseCode::Stalled && ms < 2 * STALL_MS));
        }
    }

    #[test]
    fn a_blocked_send_has_its_deadline_from_its_begin() {
        let mut timers = timers(86_400);
        timers.send_blocked(at(1_000), written(7));
        timers.send_blocked(at(20_000), written(7));
        assert_eq!(timers.check(at(30_999), written(7)), TimerAction::Wait);
        assert_eq!(timers.next_check_ms(at(20_000), written(7)), at(31_000).elapsed_ms);
        assert_eq!(timers.check(at(31_000), written(7)), TimerAction::Close(CloseCode::Stalled));
        timers.send_done(at(31_000));
        assert_eq!(timers.check(at(31_000), written(7)), TimerAction::Wait);
    }

    #[test]
    fn a_server_that_sent_nothing_pings_before_a_proxy_closes() {
        let mut timers = timers(86_400);
        // The device sends acknowledgements, which are not answered.
        let mut pings = Vec::new();
        for ms in (0..=200_000).step_by(1000) {
            timers.message_received(at(ms), received(0));
            if timers.check(at(ms), written(0)) == TimerAction::SendPing {
                pings.push(ms);
            }
        }
        assert_eq!(pings, [45_000, 90_000, 135_000, 180_000]);
        // HAProxy on Debian closes after 50 s, and the wheel raises a tick up to 2 s late.
        assert!(pings[0] + 2_000 < 50_000);
        assert!(timers.next_check_ms(at(200_000), written(1)) >= at(245_000).elapsed_ms, "anything that is sent counts");
    }

    #[test]
    fn the_next_check_is_never_later_than_the_next_action() {
        for token_s in [1, 10, 100, 119, 121, 1_000, 86_400] {
            let mut timers = timers(token_s);
            let mut now = 0;
            for _ in 0..20 {
                let due = timers.next_check_ms(at(now), written(0)) - at(0).elapsed_ms;
                assert!(due >= now, "no check in the past");
                if due > now {
                    assert_eq!(timers.clone().check(at(due - 1), written(0)), TimerAction::Wait, "token of {token_s} s");
                }
                match timers.check(at(due), written(0)) {
                    TimerAction::Close(_) => break,
                    TimerAction::RequestRenewal(_) | TimerAction::SendPing => {}
                    TimerAction::Wait => assert_eq!(timers.last_call_ms, Some(at(due).elapsed_ms), "nothing was due at {due}"),
                }
                now = due;
            }
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_back_does_not_close_a_session() {
        let mut timers = timers(3_600);
        let yesterday = ClockReading { elapsed_ms: at(1_000).elapsed_ms, unix_ms: at(0).unix_ms - 86_400_000 };
        assert_eq!(timers.check(yesterday, written(0)), TimerAction::Wait);
        assert!(timers.next_check_ms(yesterday, written(0)) <= at(SILENCE_MS).elapsed_ms);
    }
}
