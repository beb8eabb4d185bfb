//! Works through what is due, in the background: tombstones and history that go, identities that are being erased or merged.
//!
//! Each step is an act of the committer's, bounded, decided in a group like a write and never inside one. The dates stand in the store, so a restart
//! forgets nothing, and datasets with nothing to reap cost nothing. What an operator began and did not see to its end is finished here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tracing::{debug, info};

use crate::clock::Clock;
use crate::committer::{Committer, Reader, Unavailable};
use crate::metrics::Metrics;
use crate::store::{DueDataset, Identity, JobProgress, ReapResult, RetentionPolicy};

/// Datasets that are due and looked at together: their steps share a group, and hold it up for as long as a few large patches.
const TOGETHER: usize = 8;

/// Identities with work under way that are looked at together.
const WORKS: usize = 16;

/// How long it rests when nothing is due.
const REST: Duration = Duration::from_secs(1);

/// What the reaper needs.
pub struct Reaper {
    reader: Reader,
    committer: Committer,
    pools: HashMap<Arc<str>, RetentionPolicy>,
    clock: Clock,
    metrics: Metrics,
}

/// Whether there may be more to do at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Again,
    Rest,
}

impl Reaper {
    /// For pools with these settings.
    pub fn new(reader: Reader, committer: Committer, pools: HashMap<Arc<str>, RetentionPolicy>, clock: Clock, metrics: Metrics) -> Reaper {
        Reaper { reader, committer, pools, clock, metrics }
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        loop {
            // A store that cannot do it now is asked again.
            if self.turn().await.unwrap_or(Turn::Rest) == Turn::Rest {
                tokio::time::sleep(REST).await;
            }
        }
    }

    async fn turn(&self) -> Result<Turn, Unavailable> {
        let works = self.reader.read(|store| store.background_jobs(WORKS)).await?;
        let mut done = true;
        for identity in &works {
            // One that cannot be worked on holds up nobody else.
            done &= self.work(identity.clone()).await.is_ok();
        }
        let now_ms = self.clock.unix_ms();
        let due = self.reader.read(move |store| store.due_datasets(now_ms, TOGETHER)).await?;
        self.metrics.reaper_late(due.first().map_or(0, |first| now_ms.saturating_sub(first.at_ms) / 1000));
        let idle = works.is_empty() && due.is_empty();
        for (due, reaped) in join_all(due.into_iter().map(|due| self.reap(due))).await {
            match reaped {
                Ok(ReapResult { tombstones, versions, has_moved_horizon, has_more: _ }) => {
                    self.metrics.reaped(tombstones, versions, has_moved_horizon)
                }
                // Others wait behind it.
                Err(_) => done &= self.committer.act(move |group, now_ms| Ok((group.postpone(&due, now_ms)?, Vec::new()))).await.is_ok(),
            }
        }
        Ok(if idle || !done { Turn::Rest } else { Turn::Again })
    }

    async fn reap(&self, due: DueDataset) -> (DueDataset, Result<ReapResult, Unavailable>) {
        let reaped = match self.keeping(&due.identity).await {
            Ok(keep) => {
                let due = due.clone();
                self.committer.act(move |group, now_ms| Ok((group.reap(&due, &keep, now_ms)?, Vec::new()))).await
            }
            Err(why) => Err(why),
        };
        debug!(?reaped, "reaped");
        (due, reaped)
    }

    async fn work(&self, identity: Identity) -> Result<(), Unavailable> {
        let keep = self.keeping(&identity).await?;
        if self.committer.work(identity.clone(), keep).await? == JobProgress::Done {
            info!(%identity, "an erasure or a merge is finished");
        }
        Ok(())
    }

    /// What an identity's pool says; the defaults if the pool is no longer configured.
    async fn keeping(&self, identity: &Identity) -> Result<RetentionPolicy, Unavailable> {
        let identity = identity.clone();
        let pool = self.reader.read(move |store| store.pool(&identity)).await?;
        Ok(pool.and_then(|pool| self.pools.get(pool.as_str())).copied().unwrap_or_default())
    }
}
