//! What a pool has taken, and whether it may take more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::address::ClientAddress;
use super::config::PoolRates;
use super::identity_work::IdentityWork;
use super::rate::{Allowance, TakenRate};
use super::{LimitExceeded, LimitedUse};

/// How many seconds' worth of an identity's work may be done at once: meanwhile it takes whole cores.
const WORK_BURST_S: u64 = 1;

/// Clones share what was taken.
#[derive(Clone, Debug, Default)]
pub struct PoolUse {
    rates: PoolRates,
    taken: Arc<TakenByPool>,
}

#[derive(Debug, Default)]
struct TakenByPool {
    sessions: AtomicU32,
    handshakes: TakenRate,
    refused_tokens: TakenRate,
    bytes: TakenRate,
    identities: IdentityWork,
}

/// A session of a pool, until it is dropped.
#[derive(Debug)]
pub struct CountedSession(Arc<TakenByPool>);

impl Drop for CountedSession {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PoolUse {
    pub fn new(rates: PoolRates) -> PoolUse {
        PoolUse { rates, taken: Arc::default() }
    }

    /// What the pool has taken, with the rates of another one: its settings were changed.
    pub fn with_rates(&self, other: &PoolUse) -> PoolUse {
        PoolUse { rates: other.rates, taken: Arc::clone(&self.taken) }
    }

    /// Counts one more session.
    pub fn open_session(&self) -> Result<CountedSession, LimitExceeded> {
        let open = self.taken.sessions.fetch_add(1, Ordering::Relaxed);
        // From here on it is taken back when it is dropped.
        let counted = CountedSession(Arc::clone(&self.taken));
        match self.rates.sessions > 0 && open >= self.rates.sessions {
            true => Err(LimitExceeded::while_open(LimitedUse::PoolSessions)),
            false => Ok(counted),
        }
    }

    /// Takes one handshake, or one request.
    pub fn take_handshake(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        let taken = self.taken.handshakes.take(Allowance::per_s(u64::from(self.rates.handshakes_per_s)), now_ms);
        taken.map_err(|postponed| LimitExceeded::after(LimitedUse::PoolHandshakes, postponed))
    }

    /// Whether another token of this client is looked at. While too many of the pool were refused, a client that had one refused in the last minute
    /// waits; any other does not, so that nobody can keep the pool's users out.
    pub fn check_tokens(&self, client: &ClientAddress, now_ms: u64) -> Result<(), LimitExceeded> {
        if self.taken.refused_tokens.check(self.refused_tokens_allowance(), now_ms).is_ok() {
            return Ok(());
        }
        client.failed_lately(now_ms).map_or(Ok(()), |postponed| Err(LimitExceeded::after(LimitedUse::PoolRefusedTokens, postponed)))
    }

    /// Counts a token that was refused.
    pub fn token_refused(&self, now_ms: u64) {
        self.taken.refused_tokens.charge(self.refused_tokens_allowance(), now_ms, 1);
    }

    /// Whether tokens that are refused are counted.
    pub fn limits_refused_tokens(&self) -> bool {
        self.rates.refused_tokens_per_min > 0
    }

    fn refused_tokens_allowance(&self) -> Allowance {
        Allowance::per_min(u64::from(self.rates.refused_tokens_per_min))
    }

    /// Whether more bytes are read now.
    pub fn check_bytes(&self, now_ms: u64) -> Result<(), LimitExceeded> {
        let checked = self.taken.bytes.check(Allowance::per_s(self.rates.bytes_per_s), now_ms);
        checked.map_err(|postponed| LimitExceeded::after(LimitedUse::PoolBytes, postponed))
    }

    /// Counts work that was done for an identity, and says whether it is over its rate.
    pub fn charge_work(&self, identity: &Arc<str>, now_ms: u64, bytes: u64) -> Result<(), LimitExceeded> {
        let charged = self.taken.identities.charge(identity, self.work_allowance(), now_ms, bytes);
        charged.map_err(|postponed| LimitExceeded::after(LimitedUse::IdentityWork, postponed))
    }

    /// Whether more work is done for an identity now.
    pub fn check_work(&self, identity: &str, now_ms: u64) -> Result<(), LimitExceeded> {
        let checked = self.taken.identities.check(identity, self.work_allowance(), now_ms);
        checked.map_err(|postponed| LimitExceeded::after(LimitedUse::IdentityWork, postponed))
    }

    fn work_allowance(&self) -> Allowance {
        Allowance::per_s(self.rates.identity_work_bytes_per_s).at_once(WORK_BURST_S)
    }

    /// Counts bytes that were received.
    pub fn charge_bytes(&self, now_ms: u64, bytes: u64) {
        self.taken.bytes.charge(Allowance::per_s(self.rates.bytes_per_s), now_ms, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AddressLimits, ClientAddresses};
    use super::*;

    #[test]
    fn a_pool_has_no_limit_unless_one_is_set() {
        let pool = PoolUse::default();
        let open: Vec<_> = (0..1000).map(|_| pool.open_session()).collect();
        pool.charge_bytes(0, u64::MAX);
        assert!(open.iter().all(Result::is_ok) && (0..1000).all(|_| pool.take_handshake(0).is_ok()) && pool.check_bytes(0).is_ok());
    }

    #[test]
    fn sessions_handshakes_and_bytes_have_limits() {
        let pool = PoolUse::new(PoolRates { sessions: 1, handshakes_per_s: 1, bytes_per_s: 1000, ..PoolRates::default() });
        let open = pool.open_session().expect("the first");
        assert_eq!(pool.open_session().map(drop), Err(LimitExceeded { what: LimitedUse::PoolSessions, retry_after_ms: 10_000 }));
        drop(open);
        assert!(pool.open_session().is_ok());
        assert!((0..10).all(|_| pool.take_handshake(0).is_ok()));
        assert_eq!(pool.take_handshake(0), Err(LimitExceeded { what: LimitedUse::PoolHandshakes, retry_after_ms: 1_000 }));
        pool.charge_bytes(0, 15_000);
        assert_eq!(pool.check_bytes(0).expect_err("over").retry_after_ms, 5_001);
    }

    #[test]
    fn refused_tokens_of_a_pool_keep_out_only_clients_that_had_one() {
        let addresses = ClientAddresses::new(AddressLimits::default());
        let client = |address: &str| addresses.client(address.parse().expect("an address"), 0);
        let (guesser, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let pool = PoolUse::new(PoolRates { refused_tokens_per_min: 60, ..PoolRates::default() });
        let refuse = |client: &ClientAddress, now_ms| {
            client.token_refused(now_ms);
            pool.token_refused(now_ms);
        };
        (0..9).for_each(|_| refuse(&guesser, 0));
        assert!(pool.check_tokens(&guesser, 0).is_ok(), "the pool has not had too many");
        (0..100).for_each(|_| refuse(&guesser, 0));
        let refused = pool.check_tokens(&guesser, 0).expect_err("too many");
        assert_eq!((refused.what, refused.retry_after_ms), (LimitedUse::PoolRefusedTokens, 60_000));
        assert!(pool.check_tokens(&other, 0).is_ok(), "nobody else is kept out");
        refuse(&other, 0);
        assert_eq!(pool.check_tokens(&other, 0).expect_err("one failure").retry_after_ms, 60_000);
        assert!(pool.check_tokens(&other, 60_000).is_ok() && pool.check_tokens(&guesser, 60_000).is_ok());
        let unlimited = PoolUse::default();
        (0..1000).for_each(|_| unlimited.token_refused(0));
        assert!(unlimited.check_tokens(&other, 0).is_ok());
    }
}
