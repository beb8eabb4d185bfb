//! Several logins of one identity: linking another one, and merging the identity that it led to.
//!
//! A merge that has begun is always completed: the reaper continues it in the background after a crash, or when it takes long.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::committer::{Committer, JobOwner, ReadOwner, Reader, SessionNotice, Unavailable};
use crate::hub::Signal;
use crate::logging::AUDIT;
use crate::pools::Pools;
use crate::store::{Group, Identity, JobProgress, LinkResult, LoginKey, MergePolicies, MergeStart, RetentionPolicy, Store, StoreError};

/// How long a caller waits for a job. The reaper does the rest.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);

/// A user of an issuer, by the issuer's name for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginName {
    pub issuer: String,
    pub subject: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutcome {
    /// The login leads to the identity from now on.
    Linked,
    /// The login leads to the identity already; nothing was changed.
    Known,
    /// The login already leads to another identity; nothing was changed.
    LeadsElsewhere(Identity),
    /// The identity has as many logins as it may have; nothing was changed.
    TooManyLogins,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityMergeOutcome {
    /// The logins of the merged identity lead to the other one.
    Merged {
        /// How many datasets the merged identity had.
        datasets: usize,
        /// Whether all of them are merged.
        finished: bool,
    },
    NoIdentity(Identity),
    SameIdentity,
    OtherPool,
    /// Together they have more logins than an identity may have.
    TooManyLogins,
}

/// Links logins and merges identities. Clones share it.
#[derive(Clone)]
pub struct IdentityLinks {
    reader: Reader,
    committer: Committer,
    pools: Pools,
}

impl IdentityLinks {
    pub fn new(reader: Reader, committer: Committer, pools: Pools) -> IdentityLinks {
        IdentityLinks { reader, committer, pools }
    }

    /// Links a login of the identity's own pool to it, unless the transaction finds an obstacle. `None`: there is no such identity.
    pub async fn link<O: Send + 'static>(
        &self,
        identity: Identity,
        login: LoginName,
        obstacle: impl Fn(&mut Group<'_>) -> Result<Option<O>, StoreError> + Send + 'static,
    ) -> Result<Option<Result<LinkOutcome, O>>, Unavailable> {
        let Some(pool) = self.live_pool(&identity).await? else { return Ok(None) };
        let linked = self.committer.transact(JobOwner::Identity(identity.clone()), move |group, now_ms| {
            if let Some(obstacle) = obstacle(group)? {
                return Ok((Err(obstacle), Vec::new()));
            }
            let login = LoginKey { pool: &pool, issuer: &login.issuer, subject: &login.subject };
            let linked = group.link(login, &identity, now_ms)?;
            let notices = if linked == LinkResult::Linked { vec![SessionNotice::LoginsChanged(identity.clone())] } else { Vec::new() };
            Ok((Ok(linked), notices))
        });
        let linked = match linked.await? {
            Ok(linked) => linked,
            Err(obstacle) => return Ok(Some(Err(obstacle))),
        };
        Ok(match linked {
            LinkResult::Linked => Some(Ok(LinkOutcome::Linked)),
            LinkResult::Known => Some(Ok(LinkOutcome::Known)),
            LinkResult::LinkedElsewhere(other) => Some(Ok(LinkOutcome::LeadsElsewhere(other))),
            LinkResult::TooManyLogins => Some(Ok(LinkOutcome::TooManyLogins)),
            LinkResult::NoIdentity => None,
        })
    }

    /// Merges the identity `from` into another one of its pool, unless the transaction finds an obstacle. Sessions of `from` end at once; sessions of
    /// `into` receive the merged records.
    pub async fn merge_unless<O: Send + 'static>(
        &self,
        from: Identity,
        into: Identity,
        obstacle: impl Fn(&mut Group<'_>) -> Result<Option<O>, StoreError> + Send + 'static,
    ) -> Result<Result<IdentityMergeOutcome, O>, Unavailable> {
        let Some((retention, policies)) = self.pool_policies(&from).await? else { return Ok(Ok(IdentityMergeOutcome::NoIdentity(from))) };
        let of = from.clone();
        let datasets = self.reader.read(ReadOwner::Server, move |store| store.datasets(&of)).await?.len();
        let (of, to) = (from.clone(), into.clone());
        let begun = self.committer.transact(JobOwner::Identity(from.clone()), move |group, now_ms| {
            if let Some(obstacle) = obstacle(group)? {
                return Ok((Err(obstacle), Vec::new()));
            }
            let merging = group.merge(&of, &to, &policies, now_ms)?;
            let notices = match merging {
                MergeStart::Begun => vec![SessionNotice::Ended(of.clone(), Signal::Moved), SessionNotice::LoginsChanged(to.clone())],
                _ => Vec::new(),
            };
            Ok((Ok(merging), notices))
        });
        let begun = match begun.await? {
            Ok(begun) => begun,
            Err(obstacle) => return Ok(Err(obstacle)),
        };
        Ok(Ok(match begun {
            MergeStart::Begun => {
                info!(target: AUDIT, %from, %into, datasets, "identity merged");
                let finished = self.run_job(&from, retention).await;
                IdentityMergeOutcome::Merged { datasets, finished }
            }
            MergeStart::TooManyUnderWay => return Err(Unavailable::Now),
            MergeStart::NoIdentity(which) => IdentityMergeOutcome::NoIdentity(which),
            MergeStart::Same => IdentityMergeOutcome::SameIdentity,
            MergeStart::OtherPool => IdentityMergeOutcome::OtherPool,
            MergeStart::TooManyLogins => IdentityMergeOutcome::TooManyLogins,
        }))
    }

    /// Runs the steps of the identity's job until the timeout; returns whether the job is complete.
    pub async fn run_job(&self, identity: &Identity, retention: RetentionPolicy) -> bool {
        let end = Instant::now() + JOB_TIMEOUT;
        while Instant::now() < end {
            match self.committer.advance_job(identity.clone(), retention).await {
                Ok(JobProgress::Unfinished | JobProgress::Moved(..)) => {}
                Ok(JobProgress::Done) => return true,
                Err(why) => {
                    warn!(?why, %identity, "identity job deferred");
                    return false;
                }
            }
        }
        false
    }

    /// The policies of an identity's pool; the defaults if there is no such pool any more. `None`: there is no such identity.
    pub async fn pool_policies(&self, identity: &Identity) -> Result<Option<(RetentionPolicy, MergePolicies)>, Unavailable> {
        let policies = |pool: String| self.pools.get(&pool).map(|pool| (pool.retention, pool.merge_policies())).unwrap_or_default();
        Ok(self.live_pool(identity).await?.map(policies))
    }

    /// The pool of an identity that was neither erased nor merged.
    async fn live_pool(&self, identity: &Identity) -> Result<Option<String>, Unavailable> {
        let of = identity.clone();
        let read = move |store: &Store| if store.merged(&of)?.is_some() { store.pool(&of) } else { Ok(None) };
        self.reader.read(ReadOwner::Server, read).await
    }
}
