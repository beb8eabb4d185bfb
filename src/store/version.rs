//! A new version of a dataset, as rows: its records, their state before it, the head, and the date when the reaper visits the dataset.
//!
//! Everything that makes a version goes through [`NewVersion::write`]: a patch, a restore to an earlier version, a merge of two identities.

use std::cell::OnceCell;
use std::collections::HashMap;

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};

use super::engine::RowBatch;
use super::history_row::{HistoryEntry, HistoryRow, VersionOrigin};
use super::pieces::{self, RowContent};
use super::retention::REVISIT_MS;
use super::row_source::RowSource;
use super::rows::{self, ByteRow, HeadRow, PointerRow, RecordRow, TombstoneRow};
use super::view::View;
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{DatasetHead, StoredRecord};

/// How many times its bound a dataset may keep before a write makes it due for the reaper at once: the reaper works in steps, a write does not.
const EXCESS: u64 = 2;

/// How many times its bound a dataset may keep at most: a write that finds more takes a step of the reaper itself.
const MOST_EXCESS: u64 = 2 * EXCESS;

/// A record as it is before a version.
pub(super) struct CurrentRecord {
    pub pointer: PointerRow,
    /// The record's row, put together from its pieces, if it was read.
    pub content: OnceCell<RowContent>,
}

/// The records that a version may touch, as they are before it.
pub(super) type CurrentRecords = HashMap<Key, CurrentRecord>;

/// A version to be written: of which dataset, by which device, when, and why.
pub(super) struct NewVersion<'a> {
    pub identity: &'a Identity,
    pub dataset: &'a DatasetName,
    pub device: &'a DeviceId,
    pub origin: VersionOrigin,
    pub retention: &'a RetentionPolicy,
    pub now_ms: u64,
}

impl View<'_> {
    /// A record without its value; `None` if there is neither a record nor its tombstone.
    pub(super) fn current_record(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        key: &Key,
    ) -> Result<Option<CurrentRecord>, StoreError> {
        let pointer = self.row(&keys::pointer(identity, dataset, key))?;
        Ok(pointer.map(|pointer| CurrentRecord { pointer, content: OnceCell::new() }))
    }

    /// The record's row, which is read once.
    pub(super) fn read_content<'r>(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        record: &'r CurrentRecord,
    ) -> Result<&'r RowContent, StoreError> {
        if let Some(content) = record.content.get() {
            return Ok(content);
        }
        let at = keys::record(identity, dataset, record.pointer.version, record.pointer.ordinal);
        let content = self.content(&at)?.ok_or_else(|| StoreError::Damaged("a record that its key points to".to_owned()))?;
        Ok(record.content.get_or_init(|| content))
    }

    /// The record with its value.
    pub(super) fn read_record(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        record: &CurrentRecord,
    ) -> Result<StoredRecord, StoreError> {
        rows::decode_record(self.read_content(identity, dataset, record)?)
    }
}

impl NewVersion<'_> {
    /// Adds the rows of the version to a batch and returns the new head row. `records` are the touched records as they are after the version, in
    /// its order; `head` counts them. `not_taken` are records of the other side of a merge that were not taken: history keeps them.
    ///
    /// A version numbers its records with 16 bits: a patch, a part of a restore and a step of a merge each have at most some thousand.
    pub(super) fn write<'r>(
        self,
        batch: &mut RowBatch,
        before: HeadRow,
        head: DatasetHead,
        records: &'r [StoredRecord],
        current: &'r CurrentRecords,
        not_taken: Vec<ByteRow>,
    ) -> Result<HeadRow, StoreError> {
        for (ordinal, stored) in records.iter().enumerate() {
            self.move_record(stored, ordinal as u16, current.get(&stored.record.key), batch)?;
        }
        let reap_at_ms = before.reap_at_ms;
        let was_alive = before.head().is_alive();
        let mut row = before.after(head, self.now_ms);
        row.by = Some(self.device.clone());
        if !was_alive {
            row.made_ms = self.now_ms;
        }
        for StoredRecord { record, .. } in records {
            let key_bytes = record.key.as_str().len() as u64;
            if current.get(&record.key).is_some_and(|before| !before.pointer.state().is_live()) {
                row.tombstone_bytes = row.tombstone_bytes.saturating_sub(key_bytes);
            }
            if record.content == Content::Removed {
                row.tombstone_bytes += key_bytes;
            }
        }
        if !self.retention.has_history() && not_taken.is_empty() {
            row.oldest_version = row.version;
        } else {
            let entry = |stored: &'r StoredRecord| history_entry(&stored.record, current.get(&stored.record.key));
            let entries = records.iter().map(entry).collect::<Result<_, _>>()?;
            let history = HistoryRow { device: self.device, origin: &self.origin, entries, not_taken: &not_taken };
            let content = history.content(self.now_ms)?;
            row.history_bytes += content.len() as u64;
            let at = keys::history(self.identity, self.dataset, row.version);
            pieces::cut(&at, content, batch);
        }
        self.set_due(&mut row, reap_at_ms, batch);
        batch.push((keys::head(self.identity, self.dataset), Some(rows::encode(&row)?)));
        Ok(row)
    }

    /// Writes a record under the new version and deletes its rows under the version before.
    fn move_record(
        &self,
        stored: &StoredRecord,
        ordinal: u16,
        before: Option<&CurrentRecord>,
        batch: &mut RowBatch,
    ) -> Result<(), StoreError> {
        if let Some(before) = before {
            delete_record(self.identity, self.dataset, &before.pointer, batch);
            if !before.pointer.state().is_live() {
                batch.push((keys::tombstone(self.identity, self.dataset, before.pointer.version, before.pointer.ordinal), None));
            }
        }
        let Record { key, content, version, .. } = &stored.record;
        if *content == Content::Removed {
            let row = TombstoneRow { key: key.clone(), at_ms: self.now_ms };
            batch.push((keys::tombstone(self.identity, self.dataset, *version, ordinal), Some(rows::encode(&row)?)));
        }
        let content = RecordRow::of(stored).content()?;
        let at = keys::record(self.identity, self.dataset, *version, ordinal);
        let pieces = pieces::cut(&at, content, batch);
        let pointer = PointerRow {
            version: *version,
            ordinal,
            pieces,
            value_bytes: stored.record.content.value().map(|value| value.packed_bytes() as u64),
            device: stored.record.device.clone(),
            others_version: stored.others_version,
        };
        batch.push((keys::pointer(self.identity, self.dataset, key), Some(rows::encode(&pointer)?)));
        Ok(())
    }

    /// Sets the date when the reaper visits the dataset, if there is something to reap.
    fn set_due(&self, row: &mut HeadRow, before_ms: u64, batch: &mut RowBatch) {
        let reap_at_ms = match before_ms {
            0 if is_far_over(row, self.retention) => self.now_ms,
            0 if has_garbage(row) => self.now_ms + self.retention.first_visit_ms(),
            reap_at_ms if is_far_over(row, self.retention) => reap_at_ms.min(self.now_ms),
            // A clock that was set far ahead may have left a date that is too late.
            reap_at_ms => reap_at_ms.min(self.now_ms + REVISIT_MS),
        };
        move_due(self.identity, self.dataset, row, reap_at_ms, batch);
    }
}

/// Moves a dataset to another date in the reaper's index; 0: to none.
pub(super) fn move_due(identity: &Identity, dataset: &DatasetName, row: &mut HeadRow, reap_at_ms: u64, batch: &mut RowBatch) {
    if row.reap_at_ms == reap_at_ms {
        return;
    }
    if row.reap_at_ms != 0 {
        batch.push((keys::reap_due(row.reap_at_ms, identity, dataset), None));
    }
    if reap_at_ms != 0 {
        batch.push((keys::reap_due(reap_at_ms, identity, dataset), Some(Vec::new())));
    }
    row.reap_at_ms = reap_at_ms;
}

/// Deletes the pieces of a record.
pub(super) fn delete_record(identity: &Identity, dataset: &DatasetName, pointer: &PointerRow, batch: &mut RowBatch) {
    let at = keys::record(identity, dataset, pointer.version, pointer.ordinal);
    batch.extend((0..pointer.pieces).map(|piece| (pieces::piece_key(&at, piece), None)));
}

/// Whether a dataset has something that the reaper takes one day.
fn has_garbage(row: &HeadRow) -> bool {
    row.tombstones > 0 || row.history_bytes > 0
}

/// Whether a dataset keeps far more than it should.
fn is_far_over(row: &HeadRow, retention: &RetentionPolicy) -> bool {
    is_over(EXCESS, row, retention)
}

/// Whether the reaper has not kept up with the writes to a dataset.
pub(super) fn is_over_most(row: &HeadRow, retention: &RetentionPolicy) -> bool {
    is_over(MOST_EXCESS, row, retention)
}

fn is_over(times: u64, row: &HeadRow, retention: &RetentionPolicy) -> bool {
    let versions = row.version - row.oldest_version;
    versions > times.saturating_mul(retention.history_versions) && row.history_bytes > 0
        || row.history_bytes > times.saturating_mul(retention.history_bytes)
        || row.tombstones > times.saturating_mul(retention.tombstones)
}

/// What makes a version with history has read the contents of the records that it touches.
fn history_entry<'a>(after: &'a Record, before: Option<&'a CurrentRecord>) -> Result<HistoryEntry<'a>, StoreError> {
    let unread = || StoreError::Io("a record that history keeps was not read".to_owned());
    let before = before.map(|before| before.content.get().map(|content| &**content).ok_or_else(unread)).transpose()?;
    Ok(HistoryEntry { key: &after.key, is_live: after.content.value().is_some(), before })
}
