//! Erasing an identity, and merging it into another one.
//!
//! A job that has begun is always completed: the reaper continues it in the background after a crash, or when it takes long.

use std::convert::Infallible;

use tracing::info;

use super::{Admin, AdminResult, NotFound};
use crate::committer::{JobOwner, SessionNotice, Unavailable};
use crate::hub::Signal;
use crate::identity::IdentityMergeOutcome;
use crate::logging::AUDIT;
use crate::store::{EraseStart, Identity};

/// The identity is erased: no device can sign in to it, and none of its data can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EraseResult {
    /// Whether all of its rows are deleted.
    pub finished: bool,
}

impl Admin {
    /// Erases an identity and everything that it owns. Its sessions end at once.
    pub async fn erase(&self, identity: Identity) -> AdminResult<EraseResult> {
        let Some((retention, _)) = self.links.pool_policies(&identity).await? else { return Ok(Err(NotFound::Identity)) };
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
                let finished = self.links.run_job(&identity, retention).await;
                Ok(Ok(EraseResult { finished }))
            }
        }
    }

    /// Merges the identity `from` into another one of its pool. Sessions of `from` end at once; sessions of `into` receive the merged records.
    pub async fn merge(&self, from: Identity, into: Identity) -> Result<IdentityMergeOutcome, Unavailable> {
        let Ok(outcome) = self.links.merge_unless(from, into, |_| Ok(None::<Infallible>)).await?;
        Ok(outcome)
    }
}
