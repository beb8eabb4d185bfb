//! When an HTTP connection is closed because its client says nothing, or sends or reads too slowly. Pure: time and figures are arguments.
//!
//! - A connection that has never said anything, and the head of a request, have 10 seconds.
//! - A connection that is kept open between two requests has 75: longer than the 60 seconds for which balancers keep a connection unused, so
//!   that the balancer closes it. If the server closed it first, a request on its way would be answered 502.
//! - A response that the client does not read has 60.
//! - While a handler works, there is no deadline: it has bounds of its own. The body of a request has one in `body`.
//!
//! Heads and responses go on as long as their bytes keep coming ([`TransferDeadline`]).

use super::meter::ConnectionActivity;
use crate::session::TransferDeadline;

/// How long a connection that says nothing stays open, in milliseconds: a phone on a bad network needs seconds.
pub(super) const SILENT_MS: u64 = 10_000;

/// The same while connections are short, in milliseconds.
pub(super) const SILENT_WHEN_SHORT_MS: u64 = 2_000;

/// How long a client may take to send the head of a request, in milliseconds.
const HEAD_MS: u64 = SILENT_MS;

/// How long a connection may wait for its next request, in milliseconds. AWS's and nginx's balancers close after 60 seconds.
const KEPT_MS: u64 = 75_000;

/// The same while hardly any connection is free, in milliseconds: a kept connection counts as much as a device's session.
const CROWDED_MS: u64 = 10_000;

/// How long a client may read nothing of a response, in milliseconds.
const RESPONSE_MS: u64 = 60_000;

/// How long a connection may be kept for further requests, in milliseconds. Then a response says that it is the last one.
const CONNECTION_LIFETIME_MS: u64 = 120_000;

/// How many connections are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ConnectionScarcity {
    None,
    /// Three quarters are open: a connection that has never said anything has less time.
    Short,
    /// Less than a tenth is free: a connection that is only kept for later has less time, too.
    Crowded,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first byte of a request.
    Quiet,
    /// The rest of a request's head.
    Head,
    /// A handler, which may be reading the request's body or producing the response's.
    Handler,
    /// The client, which does not read.
    Client,
}

#[derive(Debug)]
pub(super) struct ConnectionDeadlines {
    began_ms: u64,
    phase: Phase,
    phase_ms: u64,
    deadline: TransferDeadline,
    /// The bytes that were received when the last request had ended.
    received_before: u64,
}

impl ConnectionDeadlines {
    /// For a connection that was accepted now.
    pub(super) fn new(now_ms: u64) -> ConnectionDeadlines {
        let deadline = TransferDeadline::new(now_ms, HEAD_MS, 0);
        ConnectionDeadlines { began_ms: now_ms, phase: Phase::Quiet, phase_ms: now_ms, deadline, received_before: 0 }
    }

    /// Whether a response must be the last of a connection that was accepted at `began_ms`.
    pub(super) fn is_last_response(began_ms: u64, now_ms: u64) -> bool {
        now_ms >= began_ms + CONNECTION_LIFETIME_MS
    }

    pub(super) fn began_ms(&self) -> u64 {
        self.began_ms
    }

    /// When to check next, in milliseconds; `None`: the connection is to be closed.
    pub(super) fn check(&mut self, now_ms: u64, seen: ConnectionActivity, scarcity: ConnectionScarcity) -> Option<u64> {
        let phase = self.phase_of(seen);
        if phase != self.phase {
            (self.phase, self.phase_ms, self.deadline) = (phase, now_ms, deadline_of(phase, now_ms, seen));
        }
        match phase {
            Phase::Handler => return Some(u64::MAX),
            Phase::Quiet if seen.begun > 0 && now_ms < self.phase_ms + CROWDED_MS => return Some(self.phase_ms + CROWDED_MS),
            Phase::Quiet if seen.begun > 0 && scarcity == ConnectionScarcity::Crowded => return None,
            // Whether it is crowded is looked at now and then.
            Phase::Quiet if seen.begun > 0 && !self.deadline.is_over(now_ms) => {
                return Some(self.deadline.at_ms().min(now_ms + CROWDED_MS));
            }
            Phase::Quiet if now_ms < self.phase_ms + SILENT_WHEN_SHORT_MS => return Some(self.phase_ms + SILENT_WHEN_SHORT_MS),
            Phase::Quiet if seen.begun == 0 && scarcity >= ConnectionScarcity::Short => return None,
            Phase::Quiet if seen.begun == 0 && !self.deadline.is_over(now_ms) => {
                return Some(self.deadline.at_ms().min(now_ms + SILENT_WHEN_SHORT_MS));
            }
            Phase::Quiet => {}
            Phase::Head => self.deadline.count(now_ms, seen.received),
            Phase::Client => self.deadline.count(now_ms, seen.written),
        }
        (!self.deadline.is_over(now_ms)).then(|| self.deadline.at_ms())
    }

    /// Whether what is transferred now lasts longer than its time, and goes on because its bytes keep coming.
    pub(super) fn is_slow(&self, now_ms: u64) -> bool {
        match self.phase {
            Phase::Client => self.deadline.is_slow(now_ms),
            // A head holds 32 KiB at most, and ends after 33 seconds of the slowest transfer.
            Phase::Head | Phase::Quiet | Phase::Handler => false,
        }
    }

    fn phase_of(&mut self, seen: ConnectionActivity) -> Phase {
        if seen.is_blocked || seen.begun > seen.finished {
            self.received_before = seen.received;
        }
        if seen.is_blocked {
            Phase::Client
        } else if seen.begun > seen.finished {
            Phase::Handler
        } else if seen.received > self.received_before {
            Phase::Head
        } else {
            Phase::Quiet
        }
    }
}

fn deadline_of(phase: Phase, now_ms: u64, seen: ConnectionActivity) -> TransferDeadline {
    match phase {
        Phase::Quiet if seen.begun > 0 => TransferDeadline::new(now_ms, KEPT_MS, 0),
        Phase::Quiet | Phase::Handler => TransferDeadline::new(now_ms, HEAD_MS, 0),
        Phase::Head => TransferDeadline::new(now_ms, HEAD_MS, seen.received),
        Phase::Client => TransferDeadline::new(now_ms, RESPONSE_MS, seen.written),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 7_000;

    /// After how many milliseconds a connection is closed whose figures are those of `figures`, looked at every 100 ms; within ten minutes.
    fn closes_after(scarcity: ConnectionScarcity, figures: impl Fn(u64) -> ConnectionActivity) -> Option<u64> {
        let mut deadlines = ConnectionDeadlines::new(START_MS);
        (0..600_000).step_by(100).find(|ms| deadlines.check(START_MS + ms, figures(*ms), scarcity).is_none())
    }

    fn received(bytes: u64) -> ConnectionActivity {
        ConnectionActivity { received: bytes, ..ConnectionActivity::default() }
    }

    #[test]
    fn a_client_that_says_nothing_or_trickles_its_head_is_cut() {
        assert_eq!(closes_after(ConnectionScarcity::None, |_| received(0)), Some(10_000));
        assert_eq!(closes_after(ConnectionScarcity::None, |ms| received(if ms < 5_000 { 0 } else { 20 })), Some(15_000));
        assert!(closes_after(ConnectionScarcity::None, |ms| received(ms / 5)).is_some_and(|ms| ms < 15_000), "200 bytes a second");
    }

    #[test]
    fn a_client_that_says_nothing_has_less_time_while_connections_are_short() {
        assert_eq!(closes_after(ConnectionScarcity::Short, |_| received(0)), Some(2_000));
        assert_eq!(closes_after(ConnectionScarcity::Crowded, |_| received(0)), Some(2_000));
        let speaks = closes_after(ConnectionScarcity::Short, |ms| received(if ms < 1_000 { 0 } else { 20 }));
        assert_eq!(speaks, Some(11_000), "one that has said something has its time for the head");
    }

    #[test]
    fn a_head_goes_on_as_long_as_its_bytes_keep_coming() {
        let closed = closes_after(ConnectionScarcity::None, |ms| received((ms * 3 / 2).min(30_000)));
        assert!(closed.is_some_and(|ms| (29_000..31_000).contains(&ms)), "{closed:?}");
    }

    #[test]
    fn a_kept_connection_outlives_a_balancers_minute() {
        let after_one_request = |ms| match ms {
            0..1_000 => received(100),
            1_000..40_000 => ConnectionActivity { received: 100, begun: 1, ..ConnectionActivity::default() },
            _ => ConnectionActivity { received: 100, written: 900, begun: 1, finished: 1, is_blocked: false },
        };
        assert_eq!(closes_after(ConnectionScarcity::None, after_one_request), Some(40_000 + KEPT_MS));
        const { assert!(KEPT_MS > 60_000) };
        assert_eq!(closes_after(ConnectionScarcity::Crowded, after_one_request), Some(40_000 + CROWDED_MS), "when connections are short");
    }

    #[test]
    fn a_response_goes_on_as_long_as_the_client_reads_it() {
        let reads = |bytes_per_s: u64| {
            closes_after(ConnectionScarcity::None, move |ms| ConnectionActivity {
                received: 100,
                written: ms * bytes_per_s / 1000,
                is_blocked: true,
                begun: 1,
                finished: 1,
            })
        };
        assert_eq!(reads(0), Some(RESPONSE_MS));
        assert!(reads(200).is_some_and(|ms| ms < 2 * RESPONSE_MS));
        assert_eq!(reads(2_000), None);
    }

    #[test]
    fn a_handler_has_no_deadline() {
        assert_eq!(
            closes_after(ConnectionScarcity::Crowded, |_| ConnectionActivity { received: 100, begun: 1, ..ConnectionActivity::default() }),
            None
        );
    }

    #[test]
    fn the_first_response_after_the_lifetime_of_a_connection_is_its_last() {
        assert!(!ConnectionDeadlines::is_last_response(START_MS, START_MS + 119_999));
        assert!(ConnectionDeadlines::is_last_response(START_MS, START_MS + 120_000));
    }
}
