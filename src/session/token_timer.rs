//! The dates of a session's token: when the server requests a fresh one, and when the session ends without. Pure: the time is an argument, in
//! milliseconds since 1970.
//!
//! A device that answers every request is not asked in a loop: the next request comes only after a pause.

/// How long before a token expires the server requests a fresh one, in milliseconds. A token that lives less than twice as long is renewed at
/// half its lifetime.
pub const RENEWAL_MS: u64 = 60_000;

/// The pause before another request after a renewal that failed or gave no more time, in milliseconds: the token's issuer may be down for a
/// moment, and a device may have sent the token that it had.
pub const RENEWAL_RETRY_MS: u64 = 10_000;

/// The least time between a renewal and the next request, in milliseconds: an issuer of tokens that have nearly expired must not keep the
/// device and the server busy.
pub const RENEWAL_PAUSE_MS: u64 = 1_000;

/// What a session has to do for its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAction {
    Wait,
    /// Request a fresh token. The current one expires in this many seconds.
    Request(u64),
    /// The token has expired.
    Close,
}

#[derive(Clone, Debug, Default)]
pub struct TokenTimer {
    expires_ms: u64,
    request_ms: u64,
    is_requested: bool,
}

impl TokenTimer {
    /// For a token that expires at this date, in seconds since 1970.
    pub fn new(now_ms: u64, expires_s: u64) -> TokenTimer {
        let mut timer = TokenTimer::default();
        timer.renewed(now_ms, expires_s);
        timer
    }

    /// The device sent a valid token, which expires at this date, in seconds since 1970.
    pub fn renewed(&mut self, now_ms: u64, expires_s: u64) {
        let expires_ms = expires_s.saturating_mul(1000);
        let lifetime_ms = expires_ms.saturating_sub(now_ms);
        let pause_ms = if expires_ms > self.expires_ms { RENEWAL_PAUSE_MS } else { RENEWAL_RETRY_MS };
        self.request_ms = (expires_ms - RENEWAL_MS.min(lifetime_ms / 2)).max(now_ms.saturating_add(pause_ms));
        self.expires_ms = expires_ms;
        self.is_requested = false;
    }

    /// The device's fresh token was rejected: it is requested again when it is time, after a pause.
    pub fn renewal_failed(&mut self, now_ms: u64) {
        self.request_ms = self.request_ms.max(now_ms.saturating_add(RENEWAL_RETRY_MS));
        self.is_requested = false;
    }

    /// Seconds until the token expires.
    pub fn expires_in_s(&self, now_ms: u64) -> u64 {
        self.expires_ms.saturating_sub(now_ms) / 1000
    }

    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }

    pub fn expires_ms(&self) -> u64 {
        self.expires_ms
    }

    /// What is due now. A request counts as made.
    pub fn check(&mut self, now_ms: u64) -> TokenAction {
        if self.is_expired(now_ms) {
            return TokenAction::Close;
        }
        if self.is_requested || now_ms < self.request_ms {
            return TokenAction::Wait;
        }
        self.is_requested = true;
        TokenAction::Request(self.expires_in_s(now_ms))
    }

    /// When the next action is due.
    pub fn next_ms(&self) -> u64 {
        if self.is_requested { self.expires_ms } else { self.request_ms.min(self.expires_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_790_000_000;

    fn at(later_ms: u64) -> u64 {
        NOW_S * 1000 + later_ms
    }

    /// For a token that lives this many seconds from now on.
    fn timer(token_s: u64) -> TokenTimer {
        TokenTimer::new(at(0), NOW_S + token_s)
    }

    #[test]
    fn a_token_is_requested_once_and_then_expires() {
        let mut timer = timer(120);
        assert_eq!(timer.check(at(59_999)), TokenAction::Wait);
        assert_eq!(timer.check(at(60_000)), TokenAction::Request(60));
        assert_eq!(timer.check(at(119_999)), TokenAction::Wait);
        assert_eq!(timer.check(at(120_000)), TokenAction::Close);
        timer.renewed(at(119_000), NOW_S + 3_600);
        assert_eq!(timer.check(at(120_000)), TokenAction::Wait);
        assert_eq!(timer.expires_in_s(at(120_000)), 3_480);
    }

    #[test]
    fn after_a_failed_renewal_another_is_requested() {
        let mut timer = timer(120);
        assert_eq!(timer.check(at(60_000)), TokenAction::Request(60));
        timer.renewal_failed(at(61_000));
        assert_eq!(timer.check(at(70_999)), TokenAction::Wait);
        assert_eq!(timer.check(at(71_000)), TokenAction::Request(49));
        timer.renewal_failed(at(115_000));
        assert_eq!(timer.next_ms(), at(120_000), "the token expires before the next request");
    }

    #[test]
    fn a_rejected_token_that_nobody_asked_for_changes_no_date() {
        let mut timer = timer(3_600);
        timer.renewal_failed(at(1_000));
        assert_eq!(timer.check(at(3_539_999)), TokenAction::Wait);
        assert_eq!(timer.check(at(3_540_000)), TokenAction::Request(60));
    }

    #[test]
    fn a_device_that_sends_the_same_token_again_is_asked_four_times() {
        let mut timer = timer(120);
        let mut requests = Vec::new();
        for now_ms in 0..120_000 {
            if let TokenAction::Request(expires_in_s) = timer.check(at(now_ms)) {
                requests.push(expires_in_s);
                timer.renewed(at(now_ms), NOW_S + 120);
            }
        }
        assert_eq!(requests, [60, 30, 15, 5]);
        assert_eq!(timer.check(at(120_000)), TokenAction::Close);
    }

    #[test]
    fn a_short_lived_token_is_requested_at_half_its_lifetime_and_never_without_a_pause() {
        let mut timer = timer(10);
        assert_eq!(timer.check(at(4_999)), TokenAction::Wait);
        assert_eq!(timer.check(at(5_000)), TokenAction::Request(5));
        timer.renewed(at(9_500), NOW_S + 11);
        assert_eq!(timer.check(at(10_499)), TokenAction::Wait);
        assert_eq!(timer.check(at(10_500)), TokenAction::Request(0));
        assert_eq!(timer.check(at(11_000)), TokenAction::Close);
    }

    #[test]
    fn nothing_is_due_before_the_date_that_is_named() {
        for token_s in [1, 2, 10, 119, 121, 86_400] {
            let mut timer = timer(token_s);
            loop {
                let due_ms = timer.next_ms();
                assert_eq!(timer.clone().check(due_ms - 1), TokenAction::Wait, "a token of {token_s} s");
                match timer.check(due_ms) {
                    TokenAction::Close => break,
                    TokenAction::Request(_) => {}
                    TokenAction::Wait => panic!("nothing was due at {due_ms}"),
                }
            }
        }
    }
}
