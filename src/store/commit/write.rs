//! Decides a patch and adds its rows to the group: the new version or the conflict, the debt, and the patch's slot.

use std::collections::HashSet;

use driftless_protocol::{Content, DatasetName, DeviceId, Key, RefusalCode, Value, limits};

use super::super::engine::{Bytes, RowBatch};
use super::super::history_row::VersionOrigin;
use super::super::row_source::RowSource;
use super::super::rows::{self, HeadRow};
use super::super::version::{self, CurrentRecord, CurrentRecords, NewVersion};
use super::super::{Admission, DueDataset, Identity, StoreError, keys};
use super::conflict_log::conflict_row;
use super::retry::PatchSlot;
use super::{DatasetRules, Decision, Group, Patch};
use crate::merge::{self, AppliedPatch, Bases, MergeOutcome, MergeTerms, Merged, RecordHead, StoredRecord};

/// The work of an element that an operation looks at, as bytes: so long it takes to look at and copy so many bytes of a text.
const ELEMENT_WORK_BYTES: usize = 16;

/// A patch that was merged, and the batch that its rows go into.
struct MergedPatch<'a> {
    patch: &'a Patch,
    /// `None`: the patch has no number.
    slot: Option<PatchSlot>,
    head_key: Bytes,
    /// The dataset's head before the patch.
    head: HeadRow,
    /// The record of each change before the patch.
    heads: &'a [Option<RecordHead<'a>>],
    now_ms: u64,
    batch: RowBatch,
}

impl MergedPatch<'_> {
    /// What the log says of the records of changes in conflict.
    fn logged(&self, conflicting: &[usize]) -> impl Iterator<Item = (Key, u64, DeviceId)> {
        let (changes, heads, horizon) = (&self.patch.changes, self.heads, self.head.tombstone_horizon);
        conflicting.iter().map(move |&at| match heads[at] {
            Some(head) => (changes[at].key.clone(), head.version, head.device.clone()),
            None => (changes[at].key.clone(), horizon, merge::unknown_device()),
        })
    }
}

impl Group<'_> {
    /// Decides a patch on top of the group's earlier decisions. An error concerns this patch only.
    pub fn write(&mut self, patch: &Patch, rules: &DatasetRules, now_ms: u64) -> Result<Decision, StoreError> {
        if !self.has_identity(&patch.identity)? {
            return Ok(Decision::NoIdentity);
        }
        match self.device_admission(&patch.identity, &patch.device)? {
            Some(Admission::Revoked) => return Ok(Decision::DeviceRevoked),
            // The writer of a caller without a device has no rows of its own.
            None if rules.bases == Bases::Exact && patch.device.as_str().starts_with(limits::RESERVED_DEVICE_PREFIX) => {}
            // The slots of a device that is unknown would stay behind: it signs in again first.
            None => return Ok(Decision::DeviceForgotten),
            Some(_) => {}
        }
        let slot = match rules.bases {
            Bases::Exact => None,
            Bases::Seen => Some(PatchSlot::of(patch)?),
        };
        if let Some(slot) = &slot
            && let Some(decision) = self.answer_retry(slot, patch)?
        {
            return Ok(decision);
        }
        let head_key = keys::head(&patch.identity, &patch.dataset);
        let head = match self.view.row::<HeadRow>(&head_key)? {
            Some(head) if head.deleted == 0 || head.head().is_alive() => head,
            known if self.has_most_datasets(&patch.identity, rules.limits.datasets, known.is_some())? => {
                let message = format!("the identity has {} datasets, its pool allows no more", rules.limits.datasets);
                return self.refuse(slot, RefusalCode::TooManyDatasets, message);
            }
            Some(head) => head,
            None => self.new_head(&patch.identity)?,
        };
        let current = self.current_records(patch)?;
        let Patch { identity, device, dataset, id: _, changes } = patch;
        let heads: Vec<_> = changes.iter().map(|change| current.get(&change.key).map(|record| record.pointer.head())).collect();
        self.view.count_work(merge::operand_bytes(&heads, changes));
        let terms = MergeTerms { device, now_ms, policy: rules.policy, bases: rules.bases, limits: &rules.limits };
        let value_of = |at: usize| self.value_of(identity, dataset, current.get(&changes[at].key));
        let Merged { outcome, elements } = merge::merge(head.head(), &heads, changes, terms, value_of)?;
        self.view.count_work(elements * ELEMENT_WORK_BYTES);
        let merged = MergedPatch { patch, slot, head_key, head, heads: &heads, now_ms, batch: RowBatch::new() };
        match outcome {
            // Like a patch that cannot be decoded, one that breaks the rules of a change decides nothing: its number stays free.
            MergeOutcome::Refused(code @ (RefusalCode::BadRequest | RefusalCode::BadName | RefusalCode::AheadOfServer), message) => {
                Ok(Decision::Refused(code, message))
            }
            MergeOutcome::Refused(code, message) => self.refuse(merged.slot, code, message),
            MergeOutcome::Conflict(conflicting) => self.reject(merged, &conflicting, &current),
            MergeOutcome::Applied(applied) => self.apply(merged, applied, &current, rules),
        }
    }

    /// The records that a patch names, without their values.
    fn current_records(&self, patch: &Patch) -> Result<CurrentRecords, StoreError> {
        let mut current = CurrentRecords::with_capacity(patch.changes.len());
        let mut read = HashSet::with_capacity(patch.changes.len());
        for key in patch.changes.iter().map(|change| &change.key).filter(|key| read.insert(*key)) {
            let record = self.view.current_record(&patch.identity, &patch.dataset, key)?;
            current.extend(record.map(|record| (key.clone(), record)));
        }
        Ok(current)
    }

    /// The value of a live record.
    fn value_of(&self, identity: &Identity, dataset: &DatasetName, record: Option<&CurrentRecord>) -> Result<Value, StoreError> {
        let record = record.map(|record| self.view.read_record(identity, dataset, record)).transpose()?;
        match record.map(|stored| stored.record.content) {
            Some(Content::Value(value)) => Ok(value),
            Some(Content::Removed) | None => Err(StoreError::Damaged("a record without the value that its key points to".to_owned())),
        }
    }

    /// Refuses a patch, and remembers the refusal for a retry.
    fn refuse(&mut self, slot: Option<PatchSlot>, code: RefusalCode, message: String) -> Result<Decision, StoreError> {
        if let Some(slot) = slot {
            let row = slot.refused(code, message.clone())?;
            self.view.decide(vec![row]);
        }
        Ok(Decision::Refused(code, message))
    }

    /// Rejects a patch that conflicts: the conflict is logged and counted, there is no version. Only the records that the reply has are read.
    fn reject(&mut self, merged: MergedPatch<'_>, conflicting: &[usize], current: &CurrentRecords) -> Result<Decision, StoreError> {
        let Patch { identity, device, dataset, id: _, changes } = merged.patch;
        let conflicts = merged.head.conflicts + 1;
        let logged = conflict_row((identity, dataset, device), conflicts, merged.logged(conflicting), false, merged.now_ms)?;
        let mut records = Vec::with_capacity(conflicting.len());
        for &at in conflicting {
            let key = &changes[at].key;
            records.push(match current.get(key) {
                Some(record) => self.view.read_record(identity, dataset, record)?.record,
                None => merge::reaped_record(key, merged.head.tombstone_horizon),
            });
        }
        let MergedPatch { slot, head_key, head, mut batch, .. } = merged;
        batch.push(logged);
        batch.push((head_key, Some(rows::encode(&HeadRow { conflicts, ..head })?)));
        if let Some(slot) = slot {
            batch.push(self.conflict_slot(slot, &records)?);
        }
        self.view.decide(batch);
        Ok(Decision::Conflict(records))
    }

    /// Applies a patch: a new version, the conflicts that it overruled, and the debt to the other devices.
    fn apply(
        &mut self,
        merged: MergedPatch<'_>,
        applied: AppliedPatch,
        current: &CurrentRecords,
        rules: &DatasetRules,
    ) -> Result<Decision, StoreError> {
        let retention = &rules.retention;
        let Patch { identity, device, dataset, .. } = merged.patch;
        let AppliedPatch { head: after, records, computed, overruled } = applied;
        let logged = match overruled.is_empty() {
            true => None,
            false => {
                let conflicts = merged.head.conflicts + 1;
                Some(conflict_row((identity, dataset, device), conflicts, merged.logged(&overruled), true, merged.now_ms)?)
            }
        };
        if retention.has_history() {
            for stored in &records {
                if let Some(record) = current.get(&stored.record.key) {
                    self.view.read_content(identity, dataset, record)?;
                }
            }
        }
        let MergedPatch { slot, head_key, mut head, now_ms, mut batch, .. } = merged;
        head.conflicts += u64::from(logged.is_some());
        batch.extend(logged);
        let stored_before = head.stored_bytes();
        let version_with = |retention| NewVersion { identity, dataset, device, origin: VersionOrigin::Patch, retention, now_ms };
        let mut version_rows = batch.clone();
        let mut written = version_with(retention).write(&mut version_rows, head.clone(), after, &records, current, Vec::new())?;
        if let Some(owned) = self.owned_over(identity, &written, rules.datasets_bytes())? {
            // What frees space goes through. It keeps no history, which would grow by as much.
            version_rows = batch;
            written = version_with(&retention.without_history()).write(&mut version_rows, head, after, &records, current, Vec::new())?;
            if written.stored_bytes() > stored_before {
                return self.refuse(slot, RefusalCode::DatasetFull, identity_full(owned, rules));
            }
        }
        let (mut head, mut batch) = (written, version_rows);
        if self.count_owned(identity, &mut head, &mut batch)? {
            batch.push((head_key, Some(rows::encode(&head)?)));
        }
        self.record_debt(identity, dataset, after.version, device, now_ms, &mut batch)?;
        let results: Vec<&StoredRecord> = match rules.bases {
            // Its caller is answered with all of them.
            Bases::Exact => records.iter().collect(),
            Bases::Seen => computed.iter().map(|&at| &records[at]).collect(),
        };
        if let Some(slot) = slot {
            batch.push(self.written_slot(slot, after.version, &results)?);
        }
        let results = results.into_iter().map(|stored| stored.record.clone()).collect();
        let records = records.into_iter().map(|stored| stored.record).collect();
        self.view.decide(batch);
        if version::is_over_most(&head, retention) {
            let due = DueDataset { at_ms: head.reap_at_ms, identity: identity.clone(), dataset: dataset.clone() };
            self.reap(&due, retention, now_ms)?;
        }
        Ok(Decision::Written { version: after.version, records, results })
    }
}

fn identity_full(owned: u64, rules: &DatasetRules) -> String {
    let most = rules.datasets_bytes();
    format!(
        "the identity's datasets would have {owned} bytes with their history, its pool allows {most}: remove records that are not needed"
    )
}
