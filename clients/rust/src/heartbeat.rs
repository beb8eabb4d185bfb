//! When a quiet session asks for a sign of life, and when it is given up for lost.
//!
//! A server must hear something every `heartbeat_s`; a device must notice a server that is gone. So a ping is due when
//! either side has been quiet for one heartbeat. Time is an argument: milliseconds on any clock that only goes forward.

/// A ping that is not answered in this many milliseconds means a lost connection (`PROTOCOL.md` §2, `ping`).
const ANSWER_MS: u64 = 15_000;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing before this moment, in milliseconds.
    At(u64),
    /// Send a ping, then tell [`Heartbeat::pinged`].
    Ping,
    /// The connection is lost.
    Lost,
}

/// The signs of life of one session.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    every_ms: u64,
    said_ms: u64,
    heard_ms: u64,
    pinged_ms: Option<u64>,
}

impl Heartbeat {
    /// A session that was welcomed just now, with the `heartbeat_s` of its `welcome`; 0 counts as 1.
    pub fn new(heartbeat_s: u64, now_ms: u64) -> Heartbeat {
        Heartbeat { every_ms: heartbeat_s.max(1).saturating_mul(1_000), said_ms: now_ms, heard_ms: now_ms, pinged_ms: None }
    }

    /// Something has left for the server.
    pub fn said(&mut self, now_ms: u64) {
        self.said_ms = now_ms;
    }

    /// A message came from the server; any message answers a ping.
    pub fn heard(&mut self, now_ms: u64) {
        self.heard_ms = now_ms;
        self.pinged_ms = None;
    }

    /// The ping that was due is on its way.
    pub fn pinged(&mut self, now_ms: u64) {
        self.said_ms = now_ms;
        self.pinged_ms = Some(now_ms);
    }

    /// What is due now.
    pub fn due(&self, now_ms: u64) -> Beat {
        let (at_ms, then) = match self.pinged_ms {
            Some(pinged_ms) => (pinged_ms.saturating_add(ANSWER_MS), Beat::Lost),
            None => (self.said_ms.min(self.heard_ms).saturating_add(self.every_ms), Beat::Ping),
        };
        if now_ms < at_ms { Beat::At(at_ms) } else { then }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_session_pings_and_the_answer_starts_it_over() {
        let mut heart = Heartbeat::new(60, 0);
        assert_eq!(heart.due(59_999), Beat::At(60_000));
        assert_eq!(heart.due(60_000), Beat::Ping);
        heart.pinged(60_000);
        assert_eq!(heart.due(74_999), Beat::At(75_000));
        heart.heard(70_000);
        assert_eq!(heart.due(75_000), Beat::At(120_000));
    }

    #[test]
    fn no_answer_in_15_seconds_is_a_lost_connection() {
        let mut heart = Heartbeat::new(60, 0);
        heart.pinged(60_000);
        heart.said(70_000);
        assert_eq!(heart.due(75_000), Beat::Lost, "saying more does not help");
    }

    #[test]
    fn whoever_only_talks_or_only_listens_pings_too() {
        let mut talks = Heartbeat::new(10, 0);
        talks.said(9_000);
        assert_eq!(talks.due(10_000), Beat::Ping);
        let mut listens = Heartbeat::new(10, 0);
        listens.heard(9_000);
        assert_eq!(listens.due(10_000), Beat::Ping);
    }
}
