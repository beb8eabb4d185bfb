//! Decides when a connection is pinged, given up or closed. Pure: the time is an argument.

use std::time::Instant;

use super::connection_limits::ConnectionLimits;

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    /// When the last response or pong arrived.
    pub(super) received: Instant,
    /// When the last request was sent.
    pub(super) used: Instant,
    /// When the ping was sent whose pong is missing.
    pub(super) pinged: Option<Instant>,
    /// Whether the caller of a request gave up before its response arrived.
    pub(super) in_doubt: bool,
    /// Whether requests are in flight.
    pub(super) busy: bool,
}

/// What the connection's driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepAliveAction {
    /// Drop the connection, because the gateway does not answer.
    GiveUp,
    /// Close the connection, because it is not needed.
    Close,
    Ping,
    /// Do nothing until then.
    Wait(Instant),
}

impl Liveness {
    /// Of a connection that has just been opened.
    pub(super) fn new(now: Instant) -> Liveness {
        Liveness { received: now, used: now, pinged: None, in_doubt: false, busy: false }
    }

    pub(super) fn next_action(&self, limits: &ConnectionLimits, now: Instant) -> KeepAliveAction {
        let (ping_at, close_at) = (self.received + limits.ping_after, self.used + limits.idle_timeout);
        match self.pinged.map(|pinged| pinged + limits.pong_timeout) {
            Some(until) if now >= until => KeepAliveAction::GiveUp,
            Some(until) => KeepAliveAction::Wait(until),
            None if !self.busy && now >= close_at => KeepAliveAction::Close,
            None if self.in_doubt || now >= ping_at => KeepAliveAction::Ping,
            None if self.busy => KeepAliveAction::Wait(ping_at),
            None => KeepAliveAction::Wait(ping_at.min(close_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_silent_connection_is_pinged_and_then_given_up_and_an_idle_one_is_closed() {
        let (limits, start) = (ConnectionLimits::DEFAULT, Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let new = Liveness::new(start);
        assert_eq!(new.next_action(&limits, at(59)), KeepAliveAction::Wait(at(60)));
        assert_eq!(new.next_action(&limits, at(60)), KeepAliveAction::Ping);
        assert_eq!(Liveness { in_doubt: true, ..new }.next_action(&limits, at(1)), KeepAliveAction::Ping);
        let pinged = Liveness { pinged: Some(at(60)), in_doubt: true, ..new };
        assert_eq!(pinged.next_action(&limits, at(69)), KeepAliveAction::Wait(at(70)));
        assert_eq!(pinged.next_action(&limits, at(70)), KeepAliveAction::GiveUp);
        let alive = Liveness { received: at(590), ..new };
        assert_eq!(alive.next_action(&limits, at(591)), KeepAliveAction::Wait(at(600)));
        assert_eq!(alive.next_action(&limits, at(600)), KeepAliveAction::Close);
        assert_eq!(Liveness { busy: true, ..alive }.next_action(&limits, at(600)), KeepAliveAction::Wait(at(650)));
    }
}
