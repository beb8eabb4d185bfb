//! Decides a patch and adds its rows to the group: the new version or the conflict, the debt, and the patch's slot.

use std::collections::HashSet;

use driftless_protocol::{DatasetName, DeviceId, Record, RefusalCode};

use super::super::engine::{Bytes, RowBatch};
use super::super::history_row::VersionOrigin;
use super::super::row_source::RowSource;
use super::super::rows::{self, HeadRow};
use super::super::version::{CurrentRecords, NewVersion};
use super::super::{Admission, Identity, RetentionPolicy, StoreError, keys};
use super::conflict_log::conflict_row;
use super::retry::PatchSlot;
use super::{DatasetRules, Decision, Group, Patch};
use crate::merge::{self, AppliedPatch, MergeOutcome, MergeTerms, StoredRecord};

/// A patch that was merged, and the batch that its rows go into.
struct MergedPatch<'a> {
    identity: &'a Identity,
    dataset: &'a DatasetName,
    device: &'a DeviceId,
    slot: PatchSlot,
    head_key: Bytes,
    /// The dataset's head before the patch.
    head: HeadRow,
    now_ms: u64,
    batch: RowBatch,
}

impl Group<'_> {
    /// Decides a patch on top of the group's earlier decisions. An error concerns this patch only.
    pub fn write(&mut self, patch: &Patch, rules: &DatasetRules, now_ms: u64) -> Result<Decision, StoreError> {
        if !self.has_identity(&patch.identity)? {
            return Ok(Decision::NoIdentity);
        }
        match self.device_admission(&patch.identity, &patch.device)? {
            Some(Admission::Revoked) => return Ok(Decision::DeviceRevoked),
            // The slots of a device that is unknown would stay behind: it signs in again first.
            None => return Ok(Decision::DeviceForgotten),
            Some(_) => {}
        }
        let slot = PatchSlot::of(patch)?;
        if let Some(decision) = self.answer_retry(&slot, patch)? {
            return Ok(decision);
        }
        let head_key = keys::head(&patch.identity, &patch.dataset);
        let head = match self.view.row::<HeadRow>(&head_key)? {
            Some(head) => head,
            None if self.view.all_of(&keys::heads(&patch.identity))?.len() >= rules.limits.datasets => {
                let message = format!("the identity has {} datasets, its pool allows no more", rules.limits.datasets);
                return self.refuse(slot, RefusalCode::TooManyDatasets, message);
            }
            None => HeadRow::default(),
        };
        let current = self.current_records(patch)?;
        let Patch { identity, device, dataset, id: _, changes } = patch;
        let stored: Vec<_> = changes.iter().map(|change| current.get(&change.key).map(|record| &record.stored)).collect();
        self.view.count_work(merge::operand_bytes(&stored, changes));
        let terms = MergeTerms { device, now_ms, policy: rules.policy, limits: &rules.limits };
        let outcome = merge::merge(head.head(), &stored, changes, terms);
        let batch = RowBatch::new();
        let merged = MergedPatch { identity, dataset, device, slot, head_key, head, now_ms, batch };
        match outcome {
            // Like a patch that cannot be decoded, one that breaks the rules of a change decides nothing: its number stays free.
            MergeOutcome::Refused(code @ (RefusalCode::BadRequest | RefusalCode::BadName | RefusalCode::AheadOfServer), message) => {
                Ok(Decision::Refused(code, message))
            }
            MergeOutcome::Refused(code, message) => self.refuse(merged.slot, code, message),
            MergeOutcome::Conflict(conflicting) => self.reject(merged, conflicting),
            MergeOutcome::Applied(applied) => self.apply(merged, applied, &current, &rules.retention),
        }
    }

    /// The records that a patch names, as they are stored.
    fn current_records(&self, patch: &Patch) -> Result<CurrentRecords, StoreError> {
        let mut current = CurrentRecords::with_capacity(patch.changes.len());
        let mut read = HashSet::with_capacity(patch.changes.len());
        for key in patch.changes.iter().map(|change| &change.key).filter(|key| read.insert(*key)) {
            let record = self.view.current_record(&patch.identity, &patch.dataset, key)?;
            current.extend(record.map(|record| (key.clone(), record)));
        }
        Ok(current)
    }

    /// Refuses a patch, and remembers the refusal for a retry.
    fn refuse(&mut self, slot: PatchSlot, code: RefusalCode, message: String) -> Result<Decision, StoreError> {
        let row = slot.refused(code, message.clone())?;
        self.view.decide(vec![row]);
        Ok(Decision::Refused(code, message))
    }

    /// Rejects a patch that conflicts: the conflict is logged and counted, there is no version.
    fn reject(&mut self, merged: MergedPatch<'_>, conflicting: Vec<Record>) -> Result<Decision, StoreError> {
        let MergedPatch { identity, dataset, device, slot, head_key, head, now_ms, mut batch } = merged;
        let conflicts = head.conflicts + 1;
        batch.push(conflict_row((identity, dataset, device), conflicts, &conflicting, false, now_ms)?);
        batch.push((head_key, Some(rows::encode(&HeadRow { conflicts, ..head })?)));
        batch.push(self.conflict_slot(slot, &conflicting)?);
        self.view.decide(batch);
        Ok(Decision::Conflict(conflicting))
    }

    /// Applies a patch: a new version, the conflicts that it overruled, and the debt to the other devices.
    fn apply(
        &mut self,
        merged: MergedPatch<'_>,
        applied: AppliedPatch,
        current: &CurrentRecords,
        retention: &RetentionPolicy,
    ) -> Result<Decision, StoreError> {
        let MergedPatch { identity, dataset, device, slot, head_key: _, mut head, now_ms, mut batch } = merged;
        let AppliedPatch { head: after, records, computed, overruled } = applied;
        if !overruled.is_empty() {
            head.conflicts += 1;
            batch.push(conflict_row((identity, dataset, device), head.conflicts, &overruled, true, now_ms)?);
        }
        let new_version = NewVersion { identity, dataset, device, origin: VersionOrigin::Patch, retention, now_ms };
        new_version.write(&mut batch, head, after, &records, current, Vec::new())?;
        self.record_debt(identity, dataset, after.version, device, now_ms, &mut batch)?;
        let results: Vec<&StoredRecord> = computed.iter().map(|&at| &records[at]).collect();
        batch.push(self.written_slot(slot, after.version, &results)?);
        let results = results.into_iter().map(|stored| stored.record.clone()).collect();
        let records = records.into_iter().map(|stored| stored.record).collect();
        self.view.decide(batch);
        Ok(Decision::Written { version: after.version, records, results })
    }
}
