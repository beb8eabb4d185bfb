//! Does the store's background work when it is due: deletes expired tombstones and history, and advances erasures and merges of identities, and restores of versions.
//!
//! Each step is a bounded transaction of the committer, decided in a group like a write but never inside one. Due dates are stored, so a
//! restart forgets nothing, and a dataset with nothing to delete costs nothing. An erasure or merge whose operator went away is finished here.

use std::time::Duration;

use futures_util::future::join_all;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::committer::{Committer, JobOwner, ReadOwner, Reader, RewindOutcome, Unavailable};
use crate::metrics::Metrics;
use crate::pools::Pools;
use crate::store::{DueDataset, Identity, JobProgress, ReapResult, RetentionPolicy, UnfinishedRewind};

/// Due datasets that are reaped concurrently: their steps share a group, and hold it up for as long as a few large patches do.
const CONCURRENT_DATASETS: usize = 8;

/// Identities with an erasure or merge under way that are advanced in one round, and restores that are completed in it. The next round goes on
/// behind them, so those that fail again and again do not hide the others.
const CONCURRENT_JOBS: usize = 16;

/// How long after its beginning a restore is continued here, in milliseconds: until then the caller that began it most likely still does.
const REWIND_MS: u64 = 30_000;

/// The pause after a round that found nothing to do.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

pub struct Reaper {
    reader: Reader,
    committer: Committer,
    pools: Pools,
    clock: Clock,
    metrics: Metrics,
}

/// Behind which jobs and restores the next round goes on; `None`: it begins with the first.
#[derive(Default)]
struct RoundPosition {
    job: Option<Identity>,
    rewind: Option<UnfinishedRewind>,
}

/// Whether the next round follows at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReaperRound {
    /// There was work, and all of it succeeded: there may be more.
    Busy,
    /// Nothing was due, or a step failed and is retried after the pause.
    Idle,
}

impl Reaper {
    pub fn new(reader: Reader, committer: Committer, pools: Pools, clock: Clock, metrics: Metrics) -> Reaper {
        Reaper { reader, committer, pools, clock, metrics }
    }

    /// Runs until the future is dropped.
    pub async fn run(self) {
        let mut position = RoundPosition::default();
        loop {
            if self.run_round(&mut position).await.unwrap_or(ReaperRound::Idle) == ReaperRound::Idle {
                tokio::time::sleep(IDLE_PAUSE).await;
            }
        }
    }

    async fn run_round(&self, position: &mut RoundPosition) -> Result<ReaperRound, Unavailable> {
        let after = position.job.take();
        let jobs = self.reader.read(ReadOwner::Server, move |store| store.background_jobs(after.as_ref(), CONCURRENT_JOBS)).await?;
        let mut succeeded = true;
        for identity in &jobs {
            // A job that fails must not hold up the others.
            succeeded &= self.advance_job(identity.clone()).await.is_ok();
        }
        position.job = jobs.get(CONCURRENT_JOBS - 1).cloned();
        let now_ms = self.clock.unix_ms();
        // Before history is reaped, which they need.
        let after = position.rewind.take();
        let under_way = self.reader.read(ReadOwner::Server, move |store| store.unfinished_rewinds(after.as_ref(), CONCURRENT_JOBS)).await?;
        position.rewind = under_way.get(CONCURRENT_JOBS - 1).cloned();
        let is_left = |rewind: &UnfinishedRewind| rewind.begun_ms().abs_diff(now_ms) >= REWIND_MS;
        let rewinds: Vec<UnfinishedRewind> = under_way.into_iter().filter(is_left).collect();
        for unfinished in &rewinds {
            succeeded &= self.resume_rewind(unfinished.clone()).await.is_ok();
        }
        let due = self.reader.read(ReadOwner::Server, move |store| store.due_datasets(now_ms, CONCURRENT_DATASETS)).await?;
        self.metrics.reaper_lag(due.first().map_or(0, |first| now_ms.saturating_sub(first.at_ms) / 1000));
        let is_idle = jobs.is_empty() && rewinds.is_empty() && due.is_empty();
        for (due, reaped) in join_all(due.into_iter().map(|due| self.reap(due))).await {
            match reaped {
                Ok(ReapResult { tombstones, versions, has_moved_horizon: horizon, has_more: _ }) => {
                    self.metrics.reaped(tombstones, versions, horizon)
                }
                // Postponed, because a dataset that always fails would keep its place at the front of the queue.
                Err(_) => {
                    let postponed = self
                        .committer
                        .transact(JobOwner::Identity(due.identity.clone()), move |group, now_ms| {
                            Ok((group.postpone(&due, now_ms)?, Vec::new()))
                        })
                        .await;
                    succeeded &= postponed.is_ok();
                }
            }
        }
        Ok(if is_idle || !succeeded { ReaperRound::Idle } else { ReaperRound::Busy })
    }

    async fn reap(&self, due: DueDataset) -> (DueDataset, Result<ReapResult, Unavailable>) {
        let reaped = match self.retention_of(&due.identity).await {
            Ok(retention) => {
                let due = due.clone();
                self.committer
                    .transact(JobOwner::Identity(due.identity.clone()), move |group, now_ms| {
                        Ok((group.reap(&due, &retention, now_ms)?, Vec::new()))
                    })
                    .await
            }
            Err(why) => Err(why),
        };
        debug!(?reaped, "dataset reaped");
        (due, reaped)
    }

    async fn advance_job(&self, identity: Identity) -> Result<(), Unavailable> {
        let retention = self.retention_of(&identity).await?;
        if self.committer.advance_job(identity.clone(), retention).await? == JobProgress::Done {
            info!(%identity, "erasure or merge finished");
        }
        Ok(())
    }

    async fn resume_rewind(&self, unfinished: UnfinishedRewind) -> Result<(), Unavailable> {
        let retention = self.retention_of(&unfinished.identity).await?;
        let (identity, dataset) = (unfinished.identity.clone(), unfinished.dataset.clone());
        match self.committer.resume_rewind(&self.reader, unfinished, retention).await? {
            RewindOutcome::VersionNotKept(not_kept) => {
                warn!(%identity, %dataset, ?not_kept, "restore of a version cannot be completed: its history is gone");
            }
            outcome => info!(%identity, %dataset, ?outcome, "restore of a version ended"),
        }
        Ok(())
    }

    /// The policy of an identity's pool; the default policy if the pool is no longer configured.
    async fn retention_of(&self, identity: &Identity) -> Result<RetentionPolicy, Unavailable> {
        let identity = identity.clone();
        let pool = self.reader.read(ReadOwner::Server, move |store| store.pool(&identity)).await?;
        Ok(pool.map(|pool| self.pools.retention(&pool)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
