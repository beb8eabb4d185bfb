//! How many lines of one kind may be written. Pure: the time is an argument.

use tracing::Level;

/// The target of lines that say who did what to an account: links, merges, erasures, revocations, exports, backups.
pub const AUDIT: &str = concat!(env!("CARGO_CRATE_NAME"), "::audit");

/// How many seconds' worth of lines may come at once.
const BURST_S: u64 = 10;

/// An error says something about the server itself, so it may come more often than a line about a client. It is bounded too: some errors
/// are met by every request while the store is damaged.
const ERROR_FACTOR: u64 = 10;

/// An audit line says what was done to an account, and stands for a change that is on disk or for data that an operator took out, so clients cannot write many for nothing. None must
/// be lost in a flood; the bound only keeps a fault of the server itself from filling the disk.
const AUDIT_FACTOR: u64 = 100;

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinePurpose {
    Operation,
    /// Who did what to an account.
    Audit,
}

/// The allowance of one kind of line, in thousandths of a line.
#[derive(Debug)]
pub(super) struct LineRate {
    per_s: u64,
    allowance: u64,
    at_ms: u64,
    suppressed: u64,
}

impl LineRate {
    /// A full allowance. `lines_per_s` is for lines below the level of an error that are not for audits.
    pub(super) fn new(lines_per_s: u32, level: Level, purpose: LinePurpose, now_ms: u64) -> LineRate {
        let factor = match purpose {
            LinePurpose::Audit => AUDIT_FACTOR,
            LinePurpose::Operation if level == Level::ERROR => ERROR_FACTOR,
            LinePurpose::Operation => 1,
        };
        let per_s = u64::from(lines_per_s) * factor;
        LineRate { per_s, allowance: per_s * BURST_S * 1000, at_ms: now_ms, suppressed: 0 }
    }

    /// Whether a line may be written now; if not it is counted. A rate of 0 has no bound.
    pub(super) fn admit(&mut self, now_ms: u64) -> bool {
        let earned = now_ms.saturating_sub(self.at_ms).saturating_mul(self.per_s);
        self.allowance = self.allowance.saturating_add(earned).min(self.per_s * BURST_S * 1000);
        self.at_ms = self.at_ms.max(now_ms);
        if self.per_s == 0 {
            return true;
        }
        match self.allowance.checked_sub(1000) {
            Some(rest) => self.allowance = rest,
            None => {
                self.suppressed += 1;
                return false;
            }
        }
        true
    }

    /// The lines that were not admitted since the last call.
    pub(super) fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_rate_and_what_is_cut_is_counted() {
        let mut rate = LineRate::new(5, Level::INFO, LinePurpose::Operation, 0);
        let written = (0..60_000).filter(|ms| rate.admit(*ms)).count();
        assert_eq!(written, 50 + 5 * 60 - 1, "the burst, then five a second");
        assert_eq!(rate.take_suppressed(), 60_000 - written as u64);
        assert_eq!(rate.take_suppressed(), 0);
    }

    #[test]
    fn what_stays_below_the_rate_is_never_cut() {
        let mut rate = LineRate::new(5, Level::WARN, LinePurpose::Operation, 7);
        assert!((0..10_000).all(|line| rate.admit(7 + line * 200)));
        assert!((0..50).all(|_| rate.admit(10_000_000)), "after a pause the burst is whole again");
        assert!(!rate.admit(10_000_000) && !rate.admit(10_000_199) && rate.admit(10_000_200));
    }

    #[test]
    fn errors_may_come_more_often_and_a_rate_of_0_has_no_bound() {
        let mut rate = LineRate::new(5, Level::ERROR, LinePurpose::Operation, 0);
        assert_eq!((0..1000).filter(|_| rate.admit(0)).count(), 500);
        let mut rate = LineRate::new(0, Level::TRACE, LinePurpose::Operation, 0);
        assert!((0..1000).all(|_| rate.admit(0)) && rate.take_suppressed() == 0);
    }

    #[test]
    fn audit_lines_have_a_bound_far_above_a_flood_of_any_other_kind() {
        let mut rate = LineRate::new(5, Level::INFO, LinePurpose::Audit, 0);
        assert_eq!((0..100_000).filter(|_| rate.admit(0)).count(), 5_000);
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_earns_nothing() {
        let mut rate = LineRate::new(1, Level::INFO, LinePurpose::Operation, 5_000);
        assert!((0..10).all(|_| rate.admit(5_000)));
        assert!(!rate.admit(4_000) && !rate.admit(5_000) && !rate.admit(5_999) && rate.admit(6_000));
    }
}
