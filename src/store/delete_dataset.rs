//! Deletes a whole dataset, and remembers that it was deleted.
//!
//! - Its records are removed by a new version, which reaches all devices like any write, and which history keeps: an operator can restore it.
//! - The head stays, with the version that deleted it. A dataset that is written again goes on from there: its versions never begin anew.
//! - When the tombstones may go, the reaper deletes the head too. The identity keeps the highest version of all such datasets, and one that is made
//!   later begins above it: an old position is never taken for a new one (I1, I4).

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};

use super::commit::Group;
use super::engine::RowBatch;
use super::history_row::VersionOrigin;
use super::keys::{KeyParts, RowKind};
use super::reap::DueDataset;
use super::row_source::RowSource;
use super::rows::{self, HeadRow, IdentityRow, PointerRow};
use super::version::{CurrentRecords, NewVersion, move_due};
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{ContentState, StoredRecord};

/// Records that one version removes at most; of a larger dataset several versions do. It is four times what a dataset of Amazon Cognito has, and
/// takes the writer as long as some thousand small writes.
const PART_RECORDS: u64 = 4096;

/// Bytes of values that one version removes at most, which history keeps. One record may have more.
const PART_BYTES: u64 = 4 * 1024 * 1024;

/// How many times as many heads as datasets an identity may have: those of deleted datasets stay for a while.
const HEADS_PER_DATASET: usize = 2;

/// What came of a step of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteStep {
    /// There is no such dataset, or it is deleted already.
    NoDataset,
    NoIdentity,
    /// Some records were removed, by this version; more are left.
    Removed {
        version: u64,
    },
    /// The dataset is deleted, by this version.
    Deleted {
        version: u64,
    },
}

impl Group<'_> {
    /// Removes the records of a dataset, or a part of them if there are many; with the last of them the dataset is deleted.
    pub fn delete_dataset(
        &mut self,
        identity: &Identity,
        dataset: &DatasetName,
        device: &DeviceId,
        retention: &RetentionPolicy,
        now_ms: u64,
    ) -> Result<DeleteStep, StoreError> {
        if !self.has_identity(identity)? {
            return Ok(DeleteStep::NoIdentity);
        }
        let Some(before) = self.view.row::<HeadRow>(&keys::head(identity, dataset))?.filter(|head| head.head().is_alive()) else {
            return Ok(DeleteStep::NoDataset);
        };
        let mut head = before.head();
        head.version += 1;
        let (mut records, mut current, mut bytes) = (Vec::new(), CurrentRecords::new(), 0);
        for key in self.living_keys(identity, dataset, PART_RECORDS)? {
            let Some(now) = self.view.current_record(identity, dataset, &key)? else { continue };
            let state = now.pointer.state();
            if bytes > 0 && bytes + state.value_bytes() > PART_BYTES {
                break;
            }
            bytes += state.value_bytes();
            if retention.has_history() {
                self.view.read_content(identity, dataset, &now)?;
            }
            head.replace(&key, Some(state), ContentState::Removed);
            let others_version = now.pointer.version;
            current.insert(key.clone(), now);
            let record = Record { key, content: Content::Removed, version: head.version, modified_ms: now_ms, device: device.clone() };
            records.push(StoredRecord { record, others_version });
        }
        let is_last = head.records == 0;
        if is_last {
            head.deleted = head.version;
        }
        let mut batch = RowBatch::new();
        let new_version = NewVersion { identity, dataset, device, origin: VersionOrigin::Patch, retention, now_ms };
        let mut after = new_version.write(&mut batch, before, head, &records, &current, Vec::new())?;
        if after.reap_at_ms == 0 {
            move_due(identity, dataset, &mut after, now_ms.saturating_add(retention.first_visit_ms()), &mut batch);
        }
        self.count_owned(identity, &mut after, &mut batch)?;
        batch.push((keys::head(identity, dataset), Some(rows::encode(&after)?)));
        self.record_debt(identity, dataset, after.version, device, now_ms, &mut batch)?;
        self.view.decide(batch);
        let version = after.version;
        Ok(if is_last { DeleteStep::Deleted { version } } else { DeleteStep::Removed { version } })
    }

    /// The keys of up to `most` living records.
    fn living_keys(&self, identity: &Identity, dataset: &DatasetName, most: u64) -> Result<Vec<Key>, StoreError> {
        let prefix = keys::of_dataset(RowKind::Pointer, identity, dataset);
        let mut living = Vec::new();
        for (key, row) in self.view.all_of(&prefix)? {
            if living.len() as u64 >= most {
                break;
            }
            if rows::decode::<PointerRow>(&row)?.state().is_live() {
                let name = KeyParts::after(&key, &prefix)?.name()?;
                living.push(Key::new(name).map_err(|_| StoreError::Damaged("a record's key".to_owned()))?);
            }
        }
        Ok(living)
    }

    /// The head of a dataset that is made now: it begins at 1, or above all datasets of the identity that are forgotten.
    pub(super) fn new_head(&self, identity: &Identity) -> Result<HeadRow, StoreError> {
        let retired = self.view.row::<IdentityRow>(&keys::identity(identity))?.map_or(0, |row| row.retired);
        Ok(HeadRow { version: retired, tombstone_horizon: retired, oldest_version: retired, deleted: retired, ..HeadRow::default() })
    }

    /// Whether an identity has as many datasets as its pool allows. Deleted ones do not count, as long as there are not as many of them again.
    /// One that is written again has its head already.
    pub(super) fn has_most_datasets(&self, identity: &Identity, most: usize, has_head: bool) -> Result<bool, StoreError> {
        let heads = self.view.all_of(&keys::heads(identity))?;
        if heads.len() < most {
            return Ok(false);
        }
        if !has_head && heads.len() >= most.saturating_mul(HEADS_PER_DATASET) {
            return Ok(true);
        }
        let mut alive = 0;
        for (_, row) in &heads {
            let head: HeadRow = rows::decode(row)?;
            alive += usize::from(head.head().is_alive() || head.deleted == 0);
        }
        Ok(alive >= most)
    }

    /// Forgets a deleted dataset: its head and all that is left of it is deleted, and the identity remembers its version.
    pub(super) fn forget_dataset(&mut self, due: &DueDataset, head: &HeadRow) -> Result<(), StoreError> {
        let DueDataset { at_ms, identity, dataset } = due;
        let mut batch = vec![(keys::reap_due(*at_ms, identity, dataset), None), (keys::head(identity, dataset), None)];
        batch.extend(self.view.all_of(&keys::conflicts(identity, dataset))?.into_iter().map(|(key, _)| (key, None)));
        let prefix = keys::devices(identity);
        for (key, _) in self.view.all_of(&prefix)? {
            let device = KeyParts::after(&key, &prefix)?.device()?;
            batch.push((keys::ack(identity, &device, dataset), None));
        }
        if let Some(row) = self.identity_row(identity)? {
            let owned_bytes = row.owned_bytes.saturating_sub(head.counted_bytes);
            let row = IdentityRow { retired: row.retired.max(head.version), owned_bytes, ..row };
            batch.push((keys::identity(identity), Some(rows::encode(&row)?)));
        }
        self.view.decide(batch);
        Ok(())
    }
}

impl HeadRow {
    /// When a deleted dataset of which nothing is left may be forgotten, in milliseconds since 1970; `None`: it is not deleted, or not empty.
    pub(super) fn forgotten_at_ms(&self, retention: &RetentionPolicy) -> Option<u64> {
        let is_empty = self.records == 0 && self.tombstones == 0 && self.history_bytes == 0;
        (is_empty && self.deleted > 0 && self.deleted == self.version).then(|| self.modified_ms.saturating_add(retention.tombstone_ms))
    }
}
