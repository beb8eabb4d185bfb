//! Restores a dataset to an earlier version: a reader plans the restore, the writer applies it part by part, between the writes of others.

use std::sync::Arc;

use driftless_protocol::DatasetName;

use super::{Committer, JobOwner, ReadOwner, Reader, SessionNotice, Unavailable};
use crate::store::{Group, Identity, RetentionPolicy, RewindPart, RewindPlan, UnfinishedRewind, VersionNotKept};

/// The outcome of a request to restore a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RewindOutcome {
    Written {
        version: u64,
        /// How many records differ from before.
        records: usize,
    },
    /// The dataset is as it was at that version: there is no new version.
    Same,
    VersionNotKept(VersionNotKept),
    NoIdentity,
}

impl Committer {
    /// Restores a dataset to a version, and returns when all of it is durable. If it fails after its first part, [`Committer::resume_rewind`] goes on.
    pub async fn rewind(
        &self,
        reader: &Reader,
        identity: Identity,
        dataset: DatasetName,
        to: u64,
        retention: RetentionPolicy,
        now_ms: u64,
    ) -> Result<RewindOutcome, Unavailable> {
        let plan = reader.read(ReadOwner::Server, move |store| store.rewind_plan(&identity, &dataset, to, now_ms)).await?;
        match plan {
            Ok(plan) => self.apply_plan(plan, retention).await,
            Err(not_kept) => Ok(RewindOutcome::VersionNotKept(not_kept)),
        }
    }

    /// Completes a restore that was begun and not finished: the server stopped, or writes were rejected.
    pub async fn resume_rewind(
        &self,
        reader: &Reader,
        unfinished: UnfinishedRewind,
        retention: RetentionPolicy,
    ) -> Result<RewindOutcome, Unavailable> {
        let of = unfinished.clone();
        match reader.read(ReadOwner::Server, move |store| store.resumed_rewind_plan(&of)).await? {
            Ok(plan) => self.apply_plan(plan, retention).await,
            Err(not_kept) => {
                let owner = JobOwner::Identity(unfinished.identity.clone());
                self.transact(owner, move |group, _| Ok((group.end_rewind(&unfinished)?, Vec::new()))).await?;
                Ok(RewindOutcome::VersionNotKept(not_kept))
            }
        }
    }

    async fn apply_plan(&self, plan: RewindPlan, retention: RetentionPolicy) -> Result<RewindOutcome, Unavailable> {
        let plan = Arc::new(plan);
        let mut outcome = RewindOutcome::Same;
        for part in 0..plan.parts() {
            let of = Arc::clone(&plan);
            let decide = move |group: &mut Group<'_>, now_ms| {
                let written = group.rewind_part(&of, part, &retention, now_ms)?;
                let notices = match written {
                    RewindPart::Written { version, records: 1.. } => {
                        vec![SessionNotice::Advanced(of.identity().clone(), of.dataset().clone(), version)]
                    }
                    RewindPart::Written { records: 0, .. } | RewindPart::Ended | RewindPart::NoIdentity => Vec::new(),
                };
                Ok((written, notices))
            };
            match self.transact(JobOwner::Identity(plan.identity().clone()), decide).await? {
                RewindPart::Written { records: 0, .. } => {}
                RewindPart::Written { version, records } => {
                    let before = if let RewindOutcome::Written { records, .. } = outcome { records } else { 0 };
                    outcome = RewindOutcome::Written { version, records: before + records };
                }
                RewindPart::Ended => break,
                RewindPart::NoIdentity => return Ok(RewindOutcome::NoIdentity),
            }
        }
        Ok(outcome)
    }
}
