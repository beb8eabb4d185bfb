//! Merges an identity into another one: its logins at once, its devices (`merge_devices`) and then its datasets (`merge_dataset`) in steps.

use driftless_protocol::{DatasetName, DeviceId, limits};

use super::commit::Group;
use super::engine::RowBatch;
use super::merge_dataset::{DatasetMerge, MERGE_DEVICE};
use super::merge_devices::UNMOVED_IDENTITIES;
use super::row_source::RowSource;
use super::rows::{self, IdentityRow, JobRow};
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::ConflictPolicy;

/// The outcome of a request to merge an identity into another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeStart {
    /// The identity's logins lead to the other one; its devices and datasets follow step by step.
    Begun,
    /// This identity does not exist.
    NoIdentity(Identity),
    /// Both are the same identity.
    Same,
    /// They belong to different pools.
    OtherPool,
    /// Together they have more logins than an identity may have.
    TooManyLogins,
    /// As many identities as may be are merged into them and have not moved their devices yet. It can begin a moment later.
    TooManyUnderWay,
}

/// Policies of single datasets that a merge takes with it: with the longest names they fit the row of its job.
pub const MERGE_POLICIES: usize = 256;

/// The policies by which records that both identities have are merged.
#[derive(Clone, Debug, Default)]
pub struct MergePolicies {
    /// For datasets that have no policy of their own.
    pub policy: ConflictPolicy,
    pub datasets: Vec<(DatasetName, ConflictPolicy)>,
}

impl Group<'_> {
    /// Begins to merge an identity into another one. Its logins lead to the target from then on, and no device is signed in as the source any more.
    pub fn merge(&mut self, from: &Identity, into: &Identity, policies: &MergePolicies, now_ms: u64) -> Result<MergeStart, StoreError> {
        if from == into {
            return Ok(MergeStart::Same);
        }
        for identity in [from, into] {
            if !self.has_identity(identity)? {
                return Ok(MergeStart::NoIdentity(identity.clone()));
            }
        }
        let pool = |row: Option<IdentityRow>| row.map(|row| row.pool);
        if pool(self.identity_row(from)?) != pool(self.identity_row(into)?) {
            return Ok(MergeStart::OtherPool);
        }
        if self.login_count(from)? + self.login_count(into)? > limits::LOGINS_PER_IDENTITY {
            return Ok(MergeStart::TooManyLogins);
        }
        let (Some(mut from_row), Some(into_row)) = (self.identity_row(from)?, self.identity_row(into)?) else {
            return Ok(MergeStart::NoIdentity(from.clone()));
        };
        if from_row.devices_from.len() + into_row.devices_from.len() >= UNMOVED_IDENTITIES {
            return Ok(MergeStart::TooManyUnderWay);
        }
        let mut batch = RowBatch::new();
        self.clear_debts(from, &mut batch)?;
        self.mark_logins_linked(into, now_ms, &mut batch)?;
        self.repoint_logins(from, into, now_ms, &mut batch)?;
        self.repoint_jobs(&from_row.merged, from, into, &mut batch)?;
        let mut merged = self.with_merged(into_row, from, &from_row)?;
        // The devices of what was merged into it before would have moved after its own.
        merged.devices_from.push(from.as_str().to_owned());
        merged.devices_from.append(&mut from_row.devices_from);
        from_row.moved_to = Some(into.as_str().to_owned());
        let MergePolicies { policy, datasets } = policies.clone();
        let job = JobRow::Merge { into: into.as_str().to_owned(), policy, datasets };
        batch.push((keys::identity(into), Some(rows::encode(&merged)?)));
        batch.push((keys::identity(from), Some(rows::encode(&from_row)?)));
        batch.push((keys::job(from), Some(rows::encode(&job)?)));
        self.view.decide(batch);
        self.identities.insert(from.clone(), None);
        self.identities.remove(into);
        Ok(MergeStart::Begun)
    }

    /// Points the unfinished merges into an identity that is merged itself at its new identity.
    fn repoint_jobs(&self, merged: &[String], from: &Identity, into: &Identity, batch: &mut RowBatch) -> Result<(), StoreError> {
        for earlier in merged {
            let key = keys::job(&Identity::from(earlier.as_str()));
            if let Some(JobRow::Merge { into: old, policy, datasets }) = self.view.row(&key)?
                && old == from.as_str()
            {
                let job = JobRow::Merge { into: into.as_str().to_owned(), policy, datasets };
                batch.push((key, Some(rows::encode(&job)?)));
            }
        }
        Ok(())
    }

    /// The row of an identity after another one was merged into it. It keeps the newest [`limits::MERGED_IDENTITIES`] merges, and those that are not
    /// finished: they are looked up there when the identity is merged itself.
    fn with_merged(&self, mut into: IdentityRow, from: &Identity, row: &IdentityRow) -> Result<IdentityRow, StoreError> {
        into.merged.extend(row.merged.iter().cloned());
        let mut kept = Vec::new();
        for earlier in into.merged.drain(..(into.merged.len() + 1).saturating_sub(limits::MERGED_IDENTITIES)) {
            if self.view.get(&keys::job(&Identity::from(earlier.as_str())))?.is_some() {
                kept.push(earlier);
            }
        }
        kept.append(&mut into.merged);
        kept.push(from.as_str().to_owned());
        Ok(IdentityRow { merged: kept, retired: into.retired.max(row.retired), ..into })
    }

    /// Moves the next dataset or a part of it, and returns its name and its version at the target; `None` if no dataset is left.
    pub(super) fn merge_next_dataset(
        &mut self,
        from: &Identity,
        into: &Identity,
        policies: &MergePolicies,
        retention: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<Option<(DatasetName, u64)>, StoreError> {
        let prefix = keys::heads(from);
        let Some((key, _)) = self.view.some_of(&prefix, 1)?.pop() else { return Ok(None) };
        let dataset = keys::KeyParts::after(&key, &prefix)?.dataset()?;
        let policy = policies.datasets.iter().find(|(name, _)| *name == dataset).map_or(policies.policy, |(_, policy)| *policy);
        let version = self.move_dataset(&DatasetMerge { from, into, dataset: &dataset, policy, retention, now_ms })?;
        if version == 0 {
            // Nothing of it was live.
            return Ok(Some((dataset, version)));
        }
        // Even if no record was taken: devices of the source have another state of this dataset.
        let mut batch = RowBatch::new();
        let device = DeviceId::new(MERGE_DEVICE).map_err(|error| StoreError::Io(error.to_string()))?;
        self.record_debt(into, &dataset, version, &device, now_ms, &mut batch)?;
        self.view.decide(batch);
        Ok(Some((dataset, version)))
    }
}
