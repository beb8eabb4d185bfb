//! Erasing an identity, and merging it into another one.
//!
//! A job that has begun is always completed: the reaper continues it in the background after a crash, or when it takes long.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Admin, AdminResult, NotFound};
use crate::committer::{JobOwner, SessionNotice, Unavailable};
use crate::hub::Signal;
use crate::logging::AUDIT;
use crate::store::{EraseStart, Group, Identity, JobProgress, MergeStart, RetentionPolicy, StoreError};

/// How long a caller waits for the job. The reaper does the rest.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);

/// The identity is erased: no device can sign in to it, and none of its data can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EraseResult {
    /// Whether all of its rows are deleted.
    pub finished: bool,
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

impl Admin {
    /// Erases an identity and everything that it owns. Its sessions end at once.
    pub async fn erase(&self, identity: Identity) -> AdminResult<EraseResult> {
        let retention = match self.pool_policies(&identity).await? {
            Ok((retention, _)) => retention,
            Err(missing) => return Ok(Err(missing)),
        };
        let of = identity.clone();
        let begun = self.committer.transact(JobOwner::Identity(identity.clone()), move |group, _| {
            let erasing = group.erase(&of)?;
            let notices = if erasing == EraseStart::Begun { vec![SessionNotice::Ended(of.clone(), Signal::Erased)] } else { Vec::new() };
            Ok((erasing, notices))
        });
        match begun.await? {
            EraseStart::NoIdentity => Ok(Err(NotFound::Identity)),
            EraseStart::Begun => {
                self.push.cancel_wakes(&identity);
                // Before the job, which may take longer than this process runs.
                info!(target: AUDIT, %identity, "identity erased");
                let finished = self.run_job(&identity, retention).await;
                Ok(Ok(EraseResult { finished }))
            }
        }
    }

    /// Merges the identity `from` into another one of its pool. Sessions of `from` end at once; sessions of `into` receive the merged records.
    pub async fn merge(&self, from: Identity, into: Identity) -> Result<IdentityMergeOutcome, Unavailable> {
        let Ok(outcome) = self.merge_unless(from, into, |_| Ok(None::<Infallible>)).await?;
        Ok(outcome)
    }

    /// The same, unless the transaction finds an obstacle.
    pub(super) async fn merge_unless<O: Send + 'static>(
        &self,
        from: Identity,
        into: Identity,
        obstacle: impl Fn(&mut Group<'_>) -> Result<Option<O>, StoreError> + Send + 'static,
    ) -> Result<Result<IdentityMergeOutcome, O>, Unavailable> {
        let Ok((retention, policies)) = self.pool_policies(&from).await? else { return Ok(Ok(IdentityMergeOutcome::NoIdentity(from))) };
        let Ok(summary) = self.summary(from.clone()).await? else { return Ok(Ok(IdentityMergeOutcome::NoIdentity(from))) };
        let datasets = summary.datasets.len();
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
    async fn run_job(&self, identity: &Identity, retention: RetentionPolicy) -> bool {
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
}
