//! What is done to a whole identity: it is erased, or merged into another one.
//!
//! Once it has begun it will be done: what is left after a crash, or of an act that took long, goes on in the background.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Admin, AdminResult, NotFound};
use crate::committer::{SessionNotice, Unavailable};
use crate::hub::Signal;
use crate::store::{EraseStart, Identity, JobProgress, MergeStart, RetentionPolicy};

/// How long whoever asked waits for the steps. What is left then goes on without them.
const STEPS_TIME: Duration = Duration::from_secs(30);

/// An identity that is erased: nobody comes in as it, and nothing of it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Whether all its rows are gone.
    pub finished: bool,
}

/// What became of the wish to merge an identity into another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merged {
    /// Its logins and devices lead to the other one.
    Done {
        /// Datasets that it had.
        datasets: usize,
        /// Whether all of them have moved.
        finished: bool,
    },
    /// There is no such identity.
    NoIdentity(Identity),
    /// It is the same one.
    Same,
    /// They belong to different pools.
    OtherPool,
}

impl Admin {
    /// Erases an identity and all that it owns. Its sessions end at once.
    pub async fn erase(&self, identity: Identity) -> AdminResult<Erased> {
        let keep = match self.rules(&identity).await? {
            Ok((keep, _)) => keep,
            Err(missing) => return Ok(Err(missing)),
        };
        let of = identity.clone();
        let begun = self.committer.transact(move |group, _| {
            let erasing = group.erase(&of)?;
            let notices = if erasing == EraseStart::Begun { vec![SessionNotice::Ended(of, Signal::Erased)] } else { Vec::new() };
            Ok((erasing, notices))
        });
        match begun.await? {
            EraseStart::NoIdentity => Ok(Err(NotFound::Identity)),
            EraseStart::Begun => {
                let finished = self.steps(&identity, keep).await;
                info!(%identity, finished, "an identity was erased");
                Ok(Ok(Erased { finished }))
            }
        }
    }

    /// Merges an identity into another one of its pool. Sessions of the former end at once, those of the latter hear what comes in.
    pub async fn merge(&self, from: Identity, into: Identity) -> Result<Merged, Unavailable> {
        let Ok((keep, policies)) = self.rules(&from).await? else { return Ok(Merged::NoIdentity(from)) };
        let Ok(account) = self.account(from.clone()).await? else { return Ok(Merged::NoIdentity(from)) };
        let datasets = account.datasets.len();
        let (of, to) = (from.clone(), into.clone());
        let begun = self.committer.transact(move |group, _| {
            let merging = group.merge(&of, &to, &policies)?;
            let notices = if merging == MergeStart::Begun { vec![SessionNotice::Ended(of, Signal::Merged)] } else { Vec::new() };
            Ok((merging, notices))
        });
        Ok(match begun.await? {
            MergeStart::Begun => {
                let finished = self.steps(&from, keep).await;
                info!(%from, %into, datasets, finished, "an identity was merged into another");
                Merged::Done { datasets, finished }
            }
            MergeStart::NoIdentity(which) => Merged::NoIdentity(which),
            MergeStart::Same => Merged::Same,
            MergeStart::OtherPool => Merged::OtherPool,
        })
    }

    /// Goes on with the work on an identity; whether all is done.
    async fn steps(&self, identity: &Identity, keep: RetentionPolicy) -> bool {
        let end = Instant::now() + STEPS_TIME;
        while Instant::now() < end {
            match self.committer.advance_job(identity.clone(), keep).await {
                Ok(JobProgress::Unfinished | JobProgress::Moved(..)) => {}
                Ok(JobProgress::Done) => return true,
                Err(why) => {
                    warn!(?why, %identity, "the work on an identity goes on later");
                    return false;
                }
            }
        }
        false
    }
}
