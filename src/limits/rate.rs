//! A rate as one number: the time at which everything that was taken so far is paid for (the generic cell rate algorithm of ITU-T I.371).
//! Threads share it without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many seconds' worth may be taken at once, of most rates: devices that reconnect after a restart come within as many.
const BURST_S: u64 = 10;

/// The longest time that a charge may lie ahead, in seconds: what was received cannot be refused any more, and must not punish for longer.
const LONGEST_DEBT_S: u64 = 60;

const NS_PER_S: u64 = 1_000_000_000;

const NS_PER_MS: u64 = 1_000_000;

/// So much is permitted in a time. No amount: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    amount: u64,
    per_s: u64,
    /// How many seconds' worth may be taken at once.
    burst_s: u64,
}

impl Allowance {
    pub(super) fn per_s(amount: u64) -> Allowance {
        Allowance { amount, per_s: 1, burst_s: BURST_S }
    }

    pub(super) fn per_min(amount: u64) -> Allowance {
        Allowance { amount, per_s: 60, burst_s: BURST_S }
    }

    /// The same with what may be taken at once, in seconds' worth.
    pub(super) fn at_once(self, burst_s: u64) -> Allowance {
        Allowance { burst_s, ..self }
    }

    /// The same for a network that has the share of so many addresses.
    pub(super) fn times(self, share: u8) -> Allowance {
        Allowance { amount: self.amount.saturating_mul(u64::from(share)), ..self }
    }

    /// How long it takes until so much is permitted again, in nanoseconds; `None`: there is no limit.
    fn time_of(self, taken: u64) -> Option<u64> {
        let ns = u128::from(taken) * u128::from(self.per_s) * u128::from(NS_PER_S);
        Some(u64::try_from(ns.checked_div(u128::from(self.amount))?).unwrap_or(u64::MAX))
    }

    /// Now, and the time up to which may be taken, in nanoseconds. At least one may always be taken.
    fn window(self, now_ms: u64, cost_ns: u64) -> (u64, u64) {
        let now_ns = now_ms.saturating_mul(NS_PER_MS);
        (now_ns, now_ns.saturating_add((self.burst_s * NS_PER_S).max(cost_ns)))
    }
}

/// More than the rate permits now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postponed {
    /// When it is permitted, in milliseconds from now.
    pub wait_ms: u64,
}

/// When all that was taken is paid for, in nanoseconds of the caller's clock.
#[derive(Debug, Default)]
pub(super) struct TakenRate(AtomicU64);

impl TakenRate {
    /// Takes one, if the rate permits it. A refusal takes nothing, so that a client that is refused does not push its own date away.
    pub(super) fn take(&self, allowance: Allowance, now_ms: u64) -> Result<(), Postponed> {
        let Some(cost_ns) = allowance.time_of(1) else { return Ok(()) };
        let (now_ns, latest_ns) = allowance.window(now_ms, cost_ns);
        let mut paid_ns = self.0.load(Ordering::Relaxed);
        loop {
            let next_ns = paid_ns.max(now_ns).saturating_add(cost_ns);
            if next_ns > latest_ns {
                return Err(Postponed { wait_ms: (next_ns - latest_ns).div_ceil(NS_PER_MS) });
            }
            match self.0.compare_exchange_weak(paid_ns, next_ns, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other_ns) => paid_ns = other_ns,
            }
        }
    }

    /// Whether one could be taken now.
    pub(super) fn check(&self, allowance: Allowance, now_ms: u64) -> Result<(), Postponed> {
        let Some(cost_ns) = allowance.time_of(1) else { return Ok(()) };
        let (now_ns, latest_ns) = allowance.window(now_ms, cost_ns);
        let next_ns = self.0.load(Ordering::Relaxed).max(now_ns).saturating_add(cost_ns);
        if next_ns > latest_ns { Err(Postponed { wait_ms: (next_ns - latest_ns).div_ceil(NS_PER_MS) }) } else { Ok(()) }
    }

    /// Takes what cannot be refused any more, such as bytes that were received.
    pub(super) fn charge(&self, allowance: Allowance, now_ms: u64, taken: u64) {
        let Some(cost_ns) = allowance.time_of(taken) else { return };
        let now_ns = now_ms.saturating_mul(NS_PER_MS);
        let latest_ns = now_ns.saturating_add((allowance.burst_s + LONGEST_DEBT_S) * NS_PER_S);
        let charged = |paid_ns: u64| Some(paid_ns.max(now_ns).saturating_add(cost_ns).min(latest_ns.max(paid_ns)));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged);
    }

    /// How long it takes until everything is paid for, in nanoseconds; 0: this is as good as a new one.
    pub(super) fn owed_ns(&self, now_ms: u64) -> u64 {
        self.0.load(Ordering::Relaxed).saturating_sub(now_ms.saturating_mul(NS_PER_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_burst_and_the_rate() {
        let rate = TakenRate::default();
        let taken = (0..60_000).filter(|ms| rate.take(Allowance::per_s(5), *ms).is_ok()).count();
        assert!((349..=350).contains(&taken), "the burst of 50, then five a second: {taken}");
    }

    #[test]
    fn a_refusal_says_when_to_come_back_and_costs_nothing() {
        let (rate, allowance) = (TakenRate::default(), Allowance::per_min(60));
        assert!((0..10).all(|_| rate.take(allowance, 5_000).is_ok()));
        for _ in 0..1000 {
            assert_eq!(rate.take(allowance, 5_000), Err(Postponed { wait_ms: 1_000 }));
            assert_eq!(rate.check(allowance, 5_000), Err(Postponed { wait_ms: 1_000 }));
        }
        assert_eq!(rate.take(allowance, 5_999), Err(Postponed { wait_ms: 1 }));
        assert_eq!((rate.check(allowance, 6_000), rate.take(allowance, 6_000)), (Ok(()), Ok(())));
        assert!(rate.take(allowance, 6_000).is_err());
    }

    #[test]
    fn a_rate_slower_than_its_burst_permits_one_at_a_time() {
        let (rate, allowance) = (TakenRate::default(), Allowance::per_min(1));
        assert!(rate.take(allowance, 0).is_ok());
        assert_eq!(rate.take(allowance, 0), Err(Postponed { wait_ms: 60_000 }));
        assert!(rate.take(allowance, 60_000).is_ok());
    }

    #[test]
    fn without_an_amount_there_is_no_limit() {
        let rate = TakenRate::default();
        rate.charge(Allowance::per_s(0), 0, u64::MAX);
        assert!((0..10_000).all(|_| rate.take(Allowance::per_s(0), 0).is_ok()));
        assert_eq!(rate.owed_ns(0), 0);
    }

    #[test]
    fn what_was_received_is_owed_but_not_for_longer_than_a_minute() {
        let (rate, allowance) = (TakenRate::default(), Allowance::per_s(1000));
        rate.charge(allowance, 0, 10_000);
        assert!(rate.check(allowance, 0).is_err(), "the burst is used up");
        assert!(rate.check(allowance, 2).is_ok());
        rate.charge(allowance, 0, u64::MAX);
        assert!(rate.check(allowance, 59_000).is_err());
        assert!(rate.check(allowance, 61_000).is_ok());
        assert_eq!((rate.owed_ns(61_000), rate.owed_ns(71_000)), (9 * NS_PER_S, 0));
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_earns_nothing() {
        let (rate, allowance) = (TakenRate::default(), Allowance::per_s(1));
        assert!((0..10).all(|_| rate.take(allowance, 50_000).is_ok()));
        assert!(rate.take(allowance, 49_000).is_err() && rate.take(allowance, 50_000).is_err() && rate.take(allowance, 51_000).is_ok());
    }
}
