//! Moves a dataset of one identity to another one, or merges it into the dataset of the same name there.
//!
//! A dataset that the target does not have moves as it is, with its versions, its history and its acknowledgements. If both have it, the
//! source's records make one new version of the target's dataset. Nothing is lost: history keeps a record that is not taken with that version.

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};

use super::commit::{Group, conflict_row};
use super::engine::RowBatch;
use super::history_row::VersionOrigin;
use super::keys::RowKind;
use super::row_source::RowSource;
use super::rows::{self, ByteRow, HeadRow};
use super::version::{self, CurrentRecord, CurrentRecords, NewVersion};
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{ConflictPolicy, DatasetHead, StoredRecord};

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

/// The source's records, divided by a merge.
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
    /// Moves or merges a dataset, and returns its version at the target.
    pub(super) fn move_dataset(&mut self, merge: &DatasetMerge<'_>) -> Result<u64, StoreError> {
        let Some(source) = self.head_row(merge.from, merge.dataset)? else { return Ok(0) };
        match self.head_row(merge.into, merge.dataset)? {
            Some(target) if target.version > 0 => self.merge_dataset(merge, source, target),
            target => self.move_whole_dataset(merge, source, target),
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
        let mut moved = HeadRow { reap_at_ms: target.map_or(0, |target| target.reap_at_ms), ..source.clone() };
        version::move_due(into, dataset, &mut moved, source.reap_at_ms, &mut batch);
        let version = moved.version;
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

    /// Merges a dataset as a new version of the target's, if any of its records is to be kept.
    fn merge_dataset(&mut self, merge: &DatasetMerge<'_>, source: HeadRow, mut target: HeadRow) -> Result<u64, StoreError> {
        let DatasetMerge { from, into, dataset, policy, retention, now_ms } = *merge;
        let merged = self.merge_records(merge, &target)?;
        let mut batch = RowBatch::new();
        let device = DeviceId::new(MERGE_DEVICE).map_err(|error| StoreError::Io(error.to_string()))?;
        if !merged.conflicting.is_empty() {
            target.conflicts += 1;
            let applied = policy == ConflictPolicy::LastWriterWins;
            batch.push(conflict_row((into, dataset, &device), target.conflicts, &merged.conflicting, applied, now_ms)?);
        }
        let version = if merged.taken.is_empty() && merged.not_taken.is_empty() {
            batch.push((keys::head(into, dataset), Some(rows::encode(&target)?)));
            target.version
        } else {
            let origin = VersionOrigin::Merged(from.as_str().to_owned());
            let new_version = NewVersion { identity: into, dataset, device: &device, origin, retention, now_ms };
            new_version.write(&mut batch, target, merged.head, &merged.taken, &merged.current, merged.not_taken)?.version
        };
        for kind in DATASET_KINDS {
            let prefix = keys::of_dataset(kind, from, dataset);
            batch.extend(self.view.all_of(&prefix)?.into_iter().map(|(key, _)| (key, None)));
        }
        delete_head(from, dataset, source, &mut batch);
        self.view.decide(batch);
        Ok(version)
    }

    /// Decides for each live record of the source whether it is taken.
    fn merge_records(&self, merge: &DatasetMerge<'_>, target: &HeadRow) -> Result<MergedRecords, StoreError> {
        let DatasetMerge { from, into, dataset, policy, .. } = *merge;
        let head = DatasetHead { version: target.version + 1, ..target.head() };
        let mut merged = MergedRecords { head, ..MergedRecords::default() };
        let prefix = keys::of_dataset(RowKind::Pointer, from, dataset);
        for (key, _) in self.view.all_of(&prefix)? {
            let key = keys::KeyParts::after(&key, &prefix)?.name()?;
            let key = Key::new(key).map_err(|_| StoreError::Damaged("a record's key".to_owned()))?;
            let Some(source) = self.view.current_record(from, dataset, &key)? else { continue };
            if source.stored.record.content == Content::Removed {
                continue;
            }
            let target = self.view.current_record(into, dataset, &key)?;
            merged.add(source, target, policy);
        }
        Ok(merged)
    }
}

impl MergedRecords {
    /// Adds a record of the source, given the target's record of the same key.
    fn add(&mut self, source: CurrentRecord, target: Option<CurrentRecord>, policy: ConflictPolicy) {
        let (theirs, ours) = (&source.stored.record, target.as_ref().map(|target| &target.stored.record));
        let live = ours.filter(|ours| ours.content != Content::Removed);
        if live.is_some_and(|ours| ours.content == theirs.content) {
            return;
        }
        if let Some(ours) = live {
            self.conflicting.push(ours.clone());
            // The source's record wins if both are of the same millisecond.
            let wins = policy == ConflictPolicy::LastWriterWins && theirs.modified_ms >= ours.modified_ms;
            if !wins {
                self.not_taken.push(ByteRow(source.content.to_vec()));
                return;
            }
        }
        self.head.replace(&theirs.key, ours.map(|ours| &ours.content), &theirs.content);
        let others_version = ours.map_or(0, |ours| ours.version);
        let record = Record { version: self.head.version, ..theirs.clone() };
        if let Some(target) = target {
            self.current.insert(record.key.clone(), target);
        }
        self.taken.push(StoredRecord { record, others_version });
    }
}

fn delete_head(identity: &Identity, dataset: &DatasetName, mut head: HeadRow, batch: &mut RowBatch) {
    version::move_due(identity, dataset, &mut head, 0, batch);
    batch.push((keys::head(identity, dataset), None));
}
