//! Patch slots: the outcome of each of a device's newest patches, and the answer to a patch that is sent again.
//!
//! A patch number is decided once. A retry gets its first result; a retry of a conflict gets the records in their current state.

use std::collections::BTreeMap;

use driftless_protocol::{Key, Op, Record, RefusalCode, limits};

use super::super::engine::Bytes;
use super::super::row_source::RowSource;
use super::super::rows::{self, ByteRow, HeadRow, PatchRejection, PatchRow, RecordRow};
use super::super::{StoreError, keys};
use super::{Decision, Group, Patch};
use crate::merge::{self, ConflictReply, ContentState, StoredRecord};

/// Bytes of results that a slot keeps for a retry. If a patch has larger results, its retry gets the records that nobody has written since. Of a
/// conflict as many bytes of keys are kept.
const RESULT_BYTES: usize = 16 * 1024;

/// Bytes that each slot of a device may keep, whatever the others keep: the results of a few counters. All slots together are 32 KiB.
const SMALL_BYTES: usize = 512;

/// Bytes that the slots of a device with more than [`SMALL_BYTES`] keep together. So a device keeps at most 64 KiB, and an identity as much
/// for each device that it may have, instead of 16 times that. A retry is of the newest patches, and two of them may be of the largest.
const LARGE_BYTES_PER_DEVICE: usize = 32 * 1024;

/// The slot of a patch's number.
pub(super) struct PatchSlot {
    /// The prefix of its device's slots.
    device_slots: Bytes,
    key: Bytes,
    id: u64,
    digest: u32,
}

impl PatchSlot {
    pub(super) fn of(patch: &Patch) -> Result<PatchSlot, StoreError> {
        let digest = patch.digest()?;
        let key = keys::patch(&patch.identity, &patch.device, (patch.id % limits::PATCH_WINDOW) as u16);
        let device_slots = keys::of_device(keys::RowKind::Patch, &patch.identity, &patch.device);
        Ok(PatchSlot { device_slots, key, id: patch.id, digest })
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

fn results_bytes(results: &[ByteRow]) -> usize {
    results.iter().map(|row| row.0.len()).sum()
}

fn keys_bytes<'a>(keys: impl Iterator<Item = &'a Key>) -> usize {
    keys.map(|key| key.as_str().len()).sum()
}

/// Bytes of results or keys that a slot keeps.
fn kept_bytes(row: &PatchRow) -> usize {
    match &row.rejection {
        Some(PatchRejection::Conflict(keys)) => keys_bytes(keys.iter()),
        Some(PatchRejection::Refused(..)) | None => row.results.as_deref().map_or(0, results_bytes),
    }
}

/// The first keys of a conflict, up to `most` bytes: a device that resolves these and writes again learns of the rest then.
fn kept_keys(conflicting: &[Record], most: usize) -> Vec<Key> {
    let mut bytes = 0;
    let keys = conflicting.iter().map(|record| record.key.clone());
    keys.take_while(|key| {
        bytes += key.as_str().len();
        bytes <= most
    })
    .collect()
}

impl Group<'_> {
    /// The row of a patch that was applied.
    pub(super) fn written_slot(
        &self,
        slot: PatchSlot,
        version: u64,
        results: &[&StoredRecord],
    ) -> Result<(Bytes, Option<Bytes>), StoreError> {
        let rows = results.iter().map(|stored| RecordRow::of(stored).encode().map(ByteRow)).collect::<Result<Vec<_>, _>>()?;
        let bytes = results_bytes(&rows);
        let is_kept = bytes <= self.most_kept(&slot, bytes)?;
        slot.row(version, is_kept.then_some(rows), None)
    }

    /// The row of a patch that conflicted.
    pub(super) fn conflict_slot(&self, slot: PatchSlot, conflicting: &[Record]) -> Result<(Bytes, Option<Bytes>), StoreError> {
        let most = self.most_kept(&slot, keys_bytes(conflicting.iter().map(|record| &record.key)))?;
        slot.row(0, None, Some(PatchRejection::Conflict(kept_keys(conflicting, most))))
    }

    /// How many bytes a slot may keep of those it would. What the device's other slots keep is counted when it matters: most results are small,
    /// and a count that is stored would have to be right in every batch.
    fn most_kept(&self, slot: &PatchSlot, wanted: usize) -> Result<usize, StoreError> {
        if wanted <= SMALL_BYTES {
            return Ok(SMALL_BYTES);
        }
        let mut large = 0;
        for (_, row) in self.view.all_of(&slot.device_slots)?.into_iter().filter(|(key, _)| *key != slot.key) {
            let bytes = kept_bytes(&rows::decode(&row)?);
            large += if bytes > SMALL_BYTES { bytes } else { 0 };
        }
        Ok(LARGE_BYTES_PER_DEVICE.saturating_sub(large).clamp(SMALL_BYTES, RESULT_BYTES))
    }

    /// The answer to a patch whose number was decided before, or is too old to be known; `None` if the patch is new.
    pub(super) fn answer_retry(&self, slot: &PatchSlot, patch: &Patch) -> Result<Option<Decision>, StoreError> {
        let Some(row) = self.view.row::<PatchRow>(&slot.key)? else { return Ok(None) };
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
            let record = self.view.current_record(&patch.identity, &patch.dataset, key)?;
            if let Some(record) = record.filter(|record| record.pointer.version == version && record.pointer.state().is_live()) {
                results.push(self.view.read_record(&patch.identity, &patch.dataset, &record)?.record);
            }
        }
        Ok(results)
    }

    /// The answer to a patch that conflicted when it was first sent: the records that it conflicted with, in their current state.
    fn repeat_conflict(&self, patch: &Patch, keys: &[Key]) -> Result<Decision, StoreError> {
        let head: HeadRow = self.view.row(&keys::head(&patch.identity, &patch.dataset))?.unwrap_or_default();
        let (mut reply, mut records) = (ConflictReply::default(), Vec::new());
        for key in keys {
            let current = self.view.current_record(&patch.identity, &patch.dataset, key)?;
            if !reply.takes(current.as_ref().map_or(ContentState::Removed, |current| current.pointer.state())) {
                continue;
            }
            records.push(match current {
                Some(current) => self.view.read_record(&patch.identity, &patch.dataset, &current)?.record,
                None => merge::reaped_record(key, head.tombstone_horizon),
            });
        }
        Ok(Decision::Conflict(records))
    }
}
