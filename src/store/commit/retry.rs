//! Patch slots: the outcome of each of a device's newest patches, and the answer to a patch that is sent again.
//!
//! A patch number is decided once. A retry gets its first result; a retry of a conflict gets the records in their current state.

use std::collections::BTreeMap;

use driftless_protocol::{Content, Key, Op, Record, RefusalCode, limits};

use super::super::engine::Bytes;
use super::super::rows::{self, ByteRow, HeadRow, PatchRejection, PatchRow, RecordRow};
use super::super::{StoreError, keys};
use super::{Decision, Group, Patch};
use crate::merge::{self, ConflictingRecords, StoredRecord};

/// Bytes of results that a slot keeps for a retry. If a patch has larger results, its retry gets the records that nobody has written since. Of a
/// conflict as many bytes of keys are kept.
const RESULT_BYTES: usize = 16 * 1024;

/// The slot of a patch's number.
pub(super) struct PatchSlot {
    key: Bytes,
    id: u64,
    digest: u32,
}

impl PatchSlot {
    pub(super) fn of(patch: &Patch) -> Result<PatchSlot, StoreError> {
        let digest = patch.digest()?;
        let key = keys::patch(&patch.identity, &patch.device, (patch.id % limits::PATCH_WINDOW) as u16);
        Ok(PatchSlot { key, id: patch.id, digest })
    }

    /// The row of a patch that was applied.
    pub(super) fn written(self, version: u64, results: &[&StoredRecord]) -> Result<(Bytes, Option<Bytes>), StoreError> {
        let results = encode_results(results)?;
        self.row(version, results, None)
    }

    /// The row of a patch that conflicted.
    pub(super) fn conflict(self, conflicting: &[Record]) -> Result<(Bytes, Option<Bytes>), StoreError> {
        self.row(0, None, Some(PatchRejection::Conflict(kept_keys(conflicting))))
    }

    /// The row of a patch that was refused.
    pub(super) fn refused(self, code: RefusalCode, message: String) -> Result<(Bytes, Option<Bytes>), StoreError> {
        self.row(0, None, Some(PatchRejection::Refused(code, message)))
    }

    fn row(
        self,
        version: u64,
        results: Option<Vec<ByteRow>>,
        rejection: Option<PatchRejection>,
    ) -> Result<(Bytes, Option<Bytes>), StoreError> {
        let row = PatchRow { id: self.id, digest: self.digest, version, results, rejection };
        Ok((self.key, Some(rows::encode(&row)?)))
    }
}

/// The results as they are kept; `None` if they are too large.
fn encode_results(results: &[&StoredRecord]) -> Result<Option<Vec<ByteRow>>, StoreError> {
    let rows = results.iter().map(|stored| RecordRow::of(stored).encode().map(ByteRow)).collect::<Result<Vec<_>, _>>()?;
    let bytes: usize = rows.iter().map(|row| row.0.len()).sum();
    Ok((bytes <= RESULT_BYTES).then_some(rows))
}

/// The keys of a conflict, as far as they are kept: a device that resolves these and writes again learns of the rest then.
fn kept_keys(conflicting: &[Record]) -> Vec<Key> {
    let mut bytes = 0;
    let keys = conflicting.iter().map(|record| record.key.clone());
    keys.take_while(|key| {
        bytes += key.as_str().len();
        bytes <= RESULT_BYTES
    })
    .collect()
}

impl Group<'_> {
    /// The answer to a patch whose number was decided before, or is too old to be known; `None` if the patch is new.
    pub(super) fn answer_retry(&self, slot: &PatchSlot, patch: &Patch) -> Result<Option<Decision>, StoreError> {
        let Some(row) = self.view.get(&slot.key)? else { return Ok(None) };
        let row: PatchRow = rows::decode(&row)?;
        let id = slot.id;
        if row.id < id {
            return Ok(None);
        }
        if row.id > id {
            let message = format!("patch {id} is {} or more behind the device's newest", limits::PATCH_WINDOW);
            return Ok(Some(Decision::Refused(RefusalCode::PatchExpired, message)));
        }
        if row.digest != slot.digest {
            return Ok(Some(Decision::Refused(RefusalCode::PatchReused, format!("the number {id} was used for another patch"))));
        }
        self.repeat_answer(row, patch).map(Some)
    }

    fn repeat_answer(&self, row: PatchRow, patch: &Patch) -> Result<Decision, StoreError> {
        match row.rejection {
            None => {}
            Some(PatchRejection::Refused(code, message)) => return Ok(Decision::Refused(code, message)),
            Some(PatchRejection::Conflict(keys)) => return self.repeat_conflict(patch, &keys),
        }
        let results = match &row.results {
            Some(results) => results.iter().map(|row| Ok(rows::decode_record(&row.0)?.record)).collect::<Result<_, StoreError>>()?,
            None => self.unchanged_results(patch, row.version)?,
        };
        Ok(Decision::Repeated { version: row.version, results })
    }

    /// The results of a patch that nobody has written since: they fit a reply, as all of them did. A device at the patch's version gets the
    /// others as changes, where a record that has grown since has a page to itself.
    fn unchanged_results(&self, patch: &Patch, version: u64) -> Result<Vec<Record>, StoreError> {
        let last_op: BTreeMap<&Key, Op> = patch.changes.iter().map(|change| (&change.key, change.op)).collect();
        let mut results = Vec::new();
        for (key, _) in last_op.into_iter().filter(|(_, op)| !matches!(op, Op::Put | Op::Remove)) {
            let record = self.view.current_record(&patch.identity, &patch.dataset, key)?.map(|current| current.stored.record);
            results.extend(record.filter(|record| record.version == version && record.content != Content::Removed));
        }
        Ok(results)
    }

    /// The answer to a patch that conflicted when it was first sent: the records that it conflicted with, in their current state.
    fn repeat_conflict(&self, patch: &Patch, keys: &[Key]) -> Result<Decision, StoreError> {
        let head = self.view.get(&keys::head(&patch.identity, &patch.dataset))?;
        let head: HeadRow = head.map(|row| rows::decode(&row)).transpose()?.unwrap_or_default();
        let mut conflicting = ConflictingRecords::default();
        for key in keys {
            let record = match self.view.current_record(&patch.identity, &patch.dataset, key)? {
                Some(current) => current.stored.record,
                None => merge::reaped_record(key, head.tombstone_horizon).map_err(|error| StoreError::Io(error.to_string()))?,
            };
            conflicting.add(&record);
        }
        Ok(Decision::Conflict(conflicting.records))
    }
}
