//! The key pairs that sign the tokens of user pools: read from their rows, kept for a while, made when it is time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::fault::UserFault;
use super::workers::Workers;
use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader};
use crate::keyring::{SharedKeyring, SigningKeyPair, SigningTimes, jwks, signing_plan};
use crate::store::UserPoolId;

/// Pools whose pairs are kept: a pair has some 5 KiB, and a pool three at most.
const KEPT_POOLS: usize = 1_000;

/// How long pairs are kept before their rows are read again: another server of the store may have made one.
const KEPT_MS: u64 = 60 * 1000;

/// How soon the rows are read again for a key id that is not known, in milliseconds: anybody can write one.
const AGAIN_MS: u64 = 1_000;

/// The pairs of user pools. Clones share them.
#[derive(Clone)]
pub struct PoolKeys {
    reader: Reader,
    committer: Committer,
    keyring: SharedKeyring,
    workers: Workers,
    clock: Clock,
    kept: Arc<Mutex<HashMap<UserPoolId, Arc<PoolPairs>>>>,
}

/// The pairs of one pool, in the order of the times from which they sign.
pub struct PoolPairs {
    read_ms: u64,
    pairs: Vec<(u64, SigningKeyPair)>,
}

impl PoolPairs {
    /// The JWKS document of the public halves.
    pub fn jwks(&self) -> String {
        jwks(self.pairs.iter().map(|(_, pair)| pair))
    }

    /// The claims of a token that one of the pairs has signed.
    pub fn verified_claims(&self, token: &str) -> Option<Vec<u8>> {
        self.pairs.iter().find_map(|(_, pair)| pair.verified_claims(token))
    }

    /// The pair that signs at a time.
    pub fn signing(&self, now_ms: u64) -> Option<&SigningKeyPair> {
        let signs = signing_plan(&self.times(), now_ms).signs?;
        self.pairs.iter().map(|(_, pair)| pair).find(|pair| pair.key_id() == signs)
    }

    fn times(&self) -> Vec<SigningTimes> {
        let of = |(signs_from_ms, pair): &(u64, SigningKeyPair)| SigningTimes {
            signs_from_ms: *signs_from_ms,
            key_id: pair.key_id().to_owned(),
        };
        self.pairs.iter().map(of).collect()
    }
}

impl PoolKeys {
    pub fn new(reader: Reader, committer: Committer, keyring: SharedKeyring, workers: Workers, clock: Clock) -> PoolKeys {
        PoolKeys { reader, committer, keyring, workers, clock, kept: Arc::default() }
    }

    /// The pairs of a pool, which may have been read up to a minute ago.
    pub async fn of(&self, pool: &UserPoolId) -> Result<Arc<PoolPairs>, UserFault> {
        let now_ms = self.clock.unix_ms();
        match self.kept(pool).filter(|pairs| now_ms.wrapping_sub(pairs.read_ms) < KEPT_MS) {
            Some(pairs) if !pairs.pairs.is_empty() => Ok(pairs),
            _ => self.turn(pool).await,
        }
    }

    /// The pairs of a pool for a key id that is not among those of [`of`](Self::of): read again, but not more often than once a second.
    pub async fn of_unknown(&self, pool: &UserPoolId) -> Result<Arc<PoolPairs>, UserFault> {
        let pairs = self.of(pool).await?;
        if self.clock.unix_ms().wrapping_sub(pairs.read_ms) < AGAIN_MS {
            return Ok(pairs);
        }
        self.read(pool).await
    }

    /// Makes a pair that is due and drops those whose tokens have all ended. Doing it twice changes nothing.
    pub async fn turn(&self, pool: &UserPoolId) -> Result<Arc<PoolPairs>, UserFault> {
        let pairs = self.read(pool).await?;
        let plan = signing_plan(&pairs.times(), self.clock.unix_ms());
        if plan.make_from_ms.is_none() && plan.drop.is_empty() {
            return Ok(pairs);
        }
        let made = match plan.make_from_ms {
            Some(from_ms) => Some((from_ms, self.new_row(pool, from_ms).await?)),
            None => None,
        };
        let is_dropped = |pair: &&(u64, SigningKeyPair)| plan.drop.iter().any(|id| id == pair.1.key_id());
        let dropped: Vec<u64> = pairs.pairs.iter().filter(is_dropped).map(|(from_ms, _)| *from_ms).collect();
        let id = pool.clone();
        let write = self.committer.transact(JobOwner::Store, move |group, _| {
            if let Some((from_ms, row)) = &made {
                group.add_pool_signing_key(&id, *from_ms, row)?;
            }
            dropped.iter().for_each(|from_ms| group.delete_pool_signing_key(&id, *from_ms));
            Ok(((), Vec::new()))
        });
        write.await?;
        self.read(pool).await
    }

    /// Forgets the pairs of a pool that was deleted.
    pub fn forget(&self, pool: &UserPoolId) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(pool);
    }

    async fn new_row(&self, pool: &UserPoolId, from_ms: u64) -> Result<Vec<u8>, UserFault> {
        let (keyring, issuer) = (self.keyring.clone(), pool.as_str().to_owned());
        let make = move || -> Result<Vec<u8>, UserFault> { Ok(keyring.wrap_pair(&issuer, &SigningKeyPair::generate()?, from_ms)?) };
        self.workers.run(make).await?
    }

    async fn read(&self, pool: &UserPoolId) -> Result<Arc<PoolPairs>, UserFault> {
        let (id, read_ms) = (pool.clone(), self.clock.unix_ms());
        let rows = self.reader.read(ReadOwner::Server, move |store| store.pool_signing_keys(&id)).await?;
        let mut pairs = Vec::new();
        for row in rows {
            pairs.push(self.keyring.unwrap_pair(pool.as_str(), &row)?);
        }
        let pairs = Arc::new(PoolPairs { read_ms, pairs });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_POOLS && !kept.contains_key(pool) {
            kept.clear();
        }
        kept.insert(pool.clone(), Arc::clone(&pairs));
        Ok(pairs)
    }

    fn kept(&self, pool: &UserPoolId) -> Option<Arc<PoolPairs>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(pool).cloned()
    }
}
