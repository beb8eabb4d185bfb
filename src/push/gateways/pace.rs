//! The times and bounds of connections to a gateway, and what a connection's keeper does when. Pure: the time is an argument.

use std::time::{Duration, Instant};

/// The bounds; arguments, so that tests need not wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Connections at most.
    pub(super) lanes: usize,
    /// Requests in flight on one connection at most, if the gateway allows them.
    pub(super) streams: usize,
    /// Requests that wait or are in flight at most; more are turned away.
    pub(super) places: usize,
    /// How long opening a connection may take, until its first pong.
    pub(super) connect_within: Duration,
    /// Silence after which it is asked whether it lives.
    pub(super) ping_after: Duration,
    /// How long the answer to that may take.
    pub(super) pong_within: Duration,
    /// Idleness after which it is closed.
    pub(super) close_after: Duration,
    /// The pause after the first failure to connect, doubled with each further one.
    pub(super) pause_first: Duration,
    /// The longest pause.
    pub(super) pause_most: Duration,
}

impl Pace {
    /// As gateways are spoken to. Apple wants few connections that stay; four carry 4,000 requests at once, at 100 ms each 40,000 a second.
    pub(super) const USUAL: Pace = Pace {
        lanes: 4,
        // What APNs allows.
        streams: 1000,
        // As many in flight as connections carry, and half as many waiting: those who wait longer than `SEND_TIMEOUT` do so in vain.
        places: 6000,
        connect_within: Duration::from_secs(6),
        ping_after: Duration::from_secs(60),
        pong_within: Duration::from_secs(10),
        close_after: Duration::from_secs(10 * 60),
        pause_first: Duration::from_millis(250),
        pause_most: Duration::from_secs(30),
    };

    /// The pause after so many failures in a row: between half and all of what the doubling says. `chance` is any number, from all alike.
    pub(super) fn pause(&self, failures: u32, chance: u32) -> Duration {
        let doubled = self.pause_first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.pause_most);
        doubled / 2 + (doubled / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// When something came from the gateway.
    pub(super) heard: Instant,
    /// When a request last went out.
    pub(super) used: Instant,
    /// Since when a pong is missing.
    pub(super) pinged: Option<Instant>,
    /// Whether a request was given up unanswered.
    pub(super) doubted: bool,
    /// Whether requests are in flight.
    pub(super) busy: bool,
}

/// What its keeper does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Gives it up: it does not answer.
    GiveUp,
    /// Closes it: nobody needs it.
    Close,
    /// Asks whether it lives.
    Ping,
    /// Nothing until then.
    Wait(Instant),
}

impl Pulse {
    /// Of a connection that has just been opened.
    pub(super) fn new(now: Instant) -> Pulse {
        Pulse { heard: now, used: now, pinged: None, doubted: false, busy: false }
    }

    /// What to do now.
    pub(super) fn act(&self, pace: &Pace, now: Instant) -> Act {
        let (ping_at, close_at) = (self.heard + pace.ping_after, self.used + pace.close_after);
        match self.pinged.map(|pinged| pinged + pace.pong_within) {
            Some(until) if now >= until => Act::GiveUp,
            Some(until) => Act::Wait(until),
            None if !self.busy && now >= close_at => Act::Close,
            None if self.doubted || now >= ping_at => Act::Ping,
            None if self.busy => Act::Wait(ping_at),
            None => Act::Wait(ping_at.min(close_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keeper_pings_what_is_silent_gives_up_what_stays_so_and_closes_what_is_idle() {
        let (pace, start) = (Pace::USUAL, Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let new = Pulse::new(start);
        assert_eq!(new.act(&pace, at(59)), Act::Wait(at(60)));
        assert_eq!(new.act(&pace, at(60)), Act::Ping);
        assert_eq!(Pulse { doubted: true, ..new }.act(&pace, at(1)), Act::Ping);
        let asked = Pulse { pinged: Some(at(60)), doubted: true, ..new };
        assert_eq!(asked.act(&pace, at(69)), Act::Wait(at(70)));
        assert_eq!(asked.act(&pace, at(70)), Act::GiveUp);
        let alive = Pulse { heard: at(590), ..new };
        assert_eq!(alive.act(&pace, at(591)), Act::Wait(at(600)));
        assert_eq!(alive.act(&pace, at(600)), Act::Close);
        assert_eq!(Pulse { busy: true, ..alive }.act(&pace, at(600)), Act::Wait(at(650)));
    }

    #[test]
    fn pauses_double_to_a_bound_with_chance_in_them() {
        let pace = Pace::USUAL;
        assert_eq!(pace.pause(1, 0), Duration::from_millis(125));
        assert_eq!(pace.pause(1, u32::MAX), Duration::from_millis(250));
        assert_eq!(pace.pause(3, u32::MAX), Duration::from_secs(1));
        assert_eq!(pace.pause(u32::MAX, u32::MAX), pace.pause_most);
        assert_eq!(pace.pause(u32::MAX, 0), pace.pause_most / 2);
    }
}
