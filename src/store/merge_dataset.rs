//! Moves a dataset of one identity to another one, or merges it into the dataset of the same name there.
//!
//! A dataset that the target does not have, and that fits one step, moves as it is, with its versions, its history and its acknowledgements. Of any
//! other, each step takes some of the source's records into a new version of the target's dataset. Nothing is lost: history keeps a record that
//! is not taken with that version.

use std::cell::OnceCell;

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};

use super::commit::{Group, conflict_row};
use super::engine::RowBatch;
use super::history_row::VersionOrigin;
use super::job_steps::{STEP_BYTES, STEP_ROWS};
use super::keys::RowKind;
use super::row_source::RowSource;
use super::rows::{self, ByteRow, HeadRow};
use super::version::{self, CurrentRecord, CurrentRecords, NewVersion};
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{ConflictPolicy, ContentState, DatasetHead, StoredRecord};

/// The device that writes the version that a merge makes.
pub(super) const MERGE_DEVICE: &str = "~merge";

/// The kinds of rows that a dataset consists of, beside its head.
pub(super) const DATASET_KINDS: [RowKind; 5] = [RowKind::Pointer, RowKind::Record, RowKind::Conflict, RowKind::Tombstone, RowKind::History];

/// Which dataset goes from where to where, and by which rules.
pub(super) struct DatasetMerge<'a> {
    pub from: &'a Identity,
    pub into: &'a Identity,
    pub dataset: &'a DatasetName,
    pub policy: ConflictPolicy,
    pub retention: &'a RetentionPolicy,
    pub now_ms: u64,
}

/// Records of the source, divided by a merge.
#[derive(Default)]
struct MergedRecords {
    /// The target's head after the merge.
    head: DatasetHead,
    taken: Vec<StoredRecord>,
    /// The target's records that the taken ones replace.
    current: CurrentRecords,
    not_taken: Vec<ByteRow>,
    /// The target's records that differ from the source's.
    conflicting: Vec<Record>,
}

impl Group<'_> {
    /// Moves a dataset, or merges some of its records, and returns its version at the target.
    pub(super) fn move_dataset(&mut self, merge: &DatasetMerge<'_>) -> Result<u64, StoreError> {
        let Some(source) = self.head_row(merge.from, merge.dataset)? else { return Ok(0) };
        let made = self.new_head(merge.into)?;
        match self.head_row(merge.into, merge.dataset)? {
            target if target.as_ref().unwrap_or(&made).version == 0 && fits_step(&source) => self.move_whole_dataset(merge, source, target),
            target => self.merge_some(merge, source, target.unwrap_or(made)),
        }
    }

    fn head_row(&self, identity: &Identity, dataset: &DatasetName) -> Result<Option<HeadRow>, StoreError> {
        self.view.row(&keys::head(identity, dataset))
    }

    fn move_whole_dataset(&mut self, merge: &DatasetMerge<'_>, source: HeadRow, target: Option<HeadRow>) -> Result<u64, StoreError> {
        let DatasetMerge { from, into, dataset, .. } = *merge;
        let mut batch = RowBatch::new();
        for kind in DATASET_KINDS {
            let (old, new) = (keys::of_dataset(kind, from, dataset), keys::of_dataset(kind, into, dataset));
            for (key, row) in self.view.all_of(&old)? {
                batch.push(([new.as_slice(), &key[old.len()..]].concat(), Some(row)));
                batch.push((key, None));
            }
        }
        self.move_acks(merge, &mut batch)?;
        let mut moved = HeadRow { reap_at_ms: target.map_or(0, |target| target.reap_at_ms), counted_bytes: 0, ..source.clone() };
        version::move_due(into, dataset, &mut moved, source.reap_at_ms, &mut batch);
        let version = moved.version;
        self.count_owned(into, &mut moved, &mut batch)?;
        batch.push((keys::head(into, dataset), Some(rows::encode(&moved)?)));
        delete_head(from, dataset, source, &mut batch);
        self.view.decide(batch);
        Ok(version)
    }

    fn move_acks(&self, merge: &DatasetMerge<'_>, batch: &mut RowBatch) -> Result<(), StoreError> {
        let DatasetMerge { from, into, dataset, .. } = *merge;
        // The source's devices are the target's since the merge began.
        let prefix = keys::devices(into);
        for (key, _) in self.view.all_of(&prefix)? {
            let device = keys::KeyParts::after(&key, &prefix)?.device()?;
            let old = keys::ack(from, &device, dataset);
            if let Some(row) = self.view.get(&old)? {
                batch.push((keys::ack(into, &device, dataset), Some(row)));
                batch.push((old, None));
            }
        }
        Ok(())
    }

    /// Merges some of a dataset's records as a new version of the target's, if any of them is to be kept. Once none is left, it deletes some of the
    /// other rows, and at last the head.
    fn merge_some(&mut self, merge: &DatasetMerge<'_>, source: HeadRow, mut target: HeadRow) -> Result<u64, StoreError> {
        let DatasetMerge { from, into, dataset, policy, retention, now_ms } = *merge;
        let mut batch = RowBatch::new();
        let merged = self.merge_records(merge, &target, &mut batch)?;
        if batch.is_empty() {
            return self.delete_rest(merge, source, target.version);
        }
        let device = DeviceId::new(MERGE_DEVICE).map_err(|error| StoreError::Io(error.to_string()))?;
        let has_conflicts = !merged.conflicting.is_empty();
        if has_conflicts {
            target.conflicts += 1;
            let applied = policy == ConflictPolicy::LastWriterWins;
            let logged = merged.conflicting.into_iter().map(|record| (record.key, record.version, record.device));
            batch.push(conflict_row((into, dataset, &device), target.conflicts, logged, applied, now_ms)?);
        }
        let version = if merged.taken.is_empty() && merged.not_taken.is_empty() {
            if has_conflicts {
                batch.push((keys::head(into, dataset), Some(rows::encode(&target)?)));
            }
            target.version
        } else {
            let origin = VersionOrigin::Merged(from.as_str().to_owned());
            let new_version = NewVersion { identity: into, dataset, device: &device, origin, retention, now_ms };
            let mut head = new_version.write(&mut batch, target, merged.head, &merged.taken, &merged.current, merged.not_taken)?;
            if self.count_owned(into, &mut head, &mut batch)? {
                batch.push((keys::head(into, dataset), Some(rows::encode(&head)?)));
            }
            head.version
        };
        self.view.decide(batch);
        Ok(version)
    }

    /// Deletes rows of a dataset whose records are merged; with the last of them its head.
    fn delete_rest(&mut self, merge: &DatasetMerge<'_>, source: HeadRow, version: u64) -> Result<u64, StoreError> {
        let DatasetMerge { from, dataset, .. } = *merge;
        let (mut batch, mut bytes) = (RowBatch::new(), 0);
        for kind in DATASET_KINDS {
            let prefix = keys::of_dataset(kind, from, dataset);
            for (key, row) in self.view.first_of(&prefix, STEP_ROWS - batch.len(), STEP_BYTES - bytes)? {
                bytes += key.len() + row.len();
                batch.push((key, None));
            }
            if batch.len() >= STEP_ROWS || bytes >= STEP_BYTES {
                self.view.decide(batch);
                return Ok(version);
            }
        }
        delete_head(from, dataset, source, &mut batch);
        self.view.decide(batch);
        Ok(version)
    }

    /// Decides for each of the source's next records whether it is taken, and deletes it there.
    fn merge_records(&self, merge: &DatasetMerge<'_>, target: &HeadRow, batch: &mut RowBatch) -> Result<MergedRecords, StoreError> {
        let DatasetMerge { from, into, dataset, policy, .. } = *merge;
        let head = DatasetHead { version: target.version + 1, ..target.head() };
        let mut merged = MergedRecords { head, ..MergedRecords::default() };
        let prefix = keys::of_dataset(RowKind::Pointer, from, dataset);
        let mut bytes = 0;
        for (row_key, row) in self.view.first_of(&prefix, STEP_ROWS, STEP_BYTES)? {
            if bytes >= STEP_BYTES {
                break;
            }
            let key = keys::KeyParts::after(&row_key, &prefix)?.name()?;
            let key = Key::new(key).map_err(|_| StoreError::Damaged("a record's key".to_owned()))?;
            let source = CurrentRecord { pointer: rows::decode(&row)?, content: OnceCell::new() };
            version::delete_record(from, dataset, &source.pointer, batch);
            batch.push((row_key, None));
            let state = source.pointer.state();
            if !state.is_live() {
                continue;
            }
            let ours = self.view.current_record(into, dataset, &key)?;
            bytes +=
                (state.value_bytes() + ours.as_ref().map_or(0, |ours| ours.pointer.state().value_bytes())) as usize + key.as_str().len();
            let theirs = self.view.read_record(from, dataset, &source)?.record;
            let ours = match ours {
                Some(ours) => Some((self.view.read_record(into, dataset, &ours)?.record, ours)),
                None => None,
            };
            merged.add((theirs, source), ours, policy);
        }
        Ok(merged)
    }
}

/// Whether a dataset moves in one step.
fn fits_step(head: &HeadRow) -> bool {
    let rows = head.records + head.tombstones + (head.version - head.oldest_version);
    rows <= STEP_ROWS as u64 / 4 && head.bytes + head.history_bytes <= STEP_BYTES as u64
}

impl MergedRecords {
    /// Adds a record of the source, given the target's record of the same key.
    fn add(&mut self, (theirs, source): (Record, CurrentRecord), target: Option<(Record, CurrentRecord)>, policy: ConflictPolicy) {
        let ours = target.as_ref().map(|(record, _)| record);
        let live = ours.filter(|ours| ours.content != Content::Removed);
        if live.is_some_and(|ours| ours.content == theirs.content) {
            return;
        }
        if let Some(ours) = live {
            self.conflicting.push(ours.clone());
            // The source's record wins if both are of the same millisecond.
            let wins = policy == ConflictPolicy::LastWriterWins && theirs.modified_ms >= ours.modified_ms;
            if !wins {
                self.not_taken.extend(source.content.get().map(|content| ByteRow(content.to_vec())));
                return;
            }
        }
        self.head.replace(&theirs.key, ours.map(|ours| ContentState::of(&ours.content)), ContentState::of(&theirs.content));
        let others_version = ours.map_or(0, |ours| ours.version);
        let record = Record { version: self.head.version, ..theirs };
        if let Some((_, target)) = target {
            self.current.insert(record.key.clone(), target);
        }
        self.taken.push(StoredRecord { record, others_version });
    }
}

fn delete_head(identity: &Identity, dataset: &DatasetName, mut head: HeadRow, batch: &mut RowBatch) {
    version::move_due(identity, dataset, &mut head, 0, batch);
    batch.push((keys::head(identity, dataset), None));
}
