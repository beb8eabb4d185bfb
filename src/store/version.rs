//! A new version of a dataset, as rows: its records, what it replaced, the head, and the date when the reaper looks at it.
//!
//! Whatever makes a version goes through here: a patch, a restore to an earlier version, a merge of two identities.

use std::collections::HashMap;

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};

use super::engine::{Batch, Bytes};
use super::history::{Entry, HistoryRow, VersionOrigin};
use super::pieces::{self, Whole};
use super::reap::REVISIT_MS;
use super::rows::{self, ByteRow, HeadRow, PointerRow, RecordRow, TombstoneRow};
use super::view::View;
use super::{Identity, RetentionPolicy, StoreError, keys};
use crate::merge::{self, Stored};

/// Rows to set and to delete.
pub(super) type Rows = Vec<(Bytes, Option<Bytes>)>;

/// What is kept over its bound before the reaper is called at once: it works in steps, a write does not.
const EXCESS: u64 = 2;

/// Records that one version can number: its ordinals have 16 bits.
const VERSION_RECORDS: usize = 1 << 15;

/// Where a record stands, and what it is.
pub(super) struct Old {
    pub pointer: PointerRow,
    /// The record's row, whole.
    pub content: Whole,
    pub stored: Stored,
}

/// The records that a version may touch, as they are before it.
pub(super) type Known = HashMap<Key, Old>;

/// Who makes the version, when, of what, and why.
pub(super) struct Making<'a> {
    pub identity: &'a Identity,
    pub dataset: &'a DatasetName,
    pub device: &'a DeviceId,
    pub what: VersionOrigin,
    pub keep: &'a RetentionPolicy,
    pub now_ms: u64,
}

impl View<'_> {
    /// A record as it is, and where it stands.
    pub(super) fn old(&self, identity: &Identity, dataset: &DatasetName, key: &Key) -> Result<Option<Old>, StoreError> {
        let Some(row) = self.get(&keys::pointer(identity, dataset, key))? else { return Ok(None) };
        let pointer: PointerRow = rows::decode(&row)?;
        let at = keys::record(identity, dataset, pointer.version, pointer.ordinal);
        let content = self.get_pieces(&at)?.ok_or_else(|| StoreError::Damaged("a record that its key points to".to_owned()))?;
        Ok(Some(Old { stored: rows::decode_record(&content)?, pointer, content }))
    }
}

impl Making<'_> {
    /// Adds the rows of a version to a batch: `records` as they are after it, in its order; `head` as it counts them. `lost` are records
    /// of the other side of a merge that were not taken: history keeps them.
    ///
    /// More records than a version can number become several versions, in the same batch: only a restore or a merge of a huge dataset has so many.
    pub(super) fn write(
        self,
        batch: &mut Batch,
        before: HeadRow,
        head: merge::Head,
        records: &[Stored],
        known: &Known,
        lost: Vec<ByteRow>,
    ) -> Result<HeadRow, StoreError> {
        if records.len() <= VERSION_RECORDS {
            return self.write_one(batch, before, head, records, known, lost);
        }
        let (mut row, mut lost) = (before, lost);
        for part in records.chunks(VERSION_RECORDS) {
            let version = row.version + 1;
            let stamped: Vec<Stored> =
                part.iter().map(|stored| Stored { record: Record { version, ..stored.record.clone() }, ..stored.clone() }).collect();
            row = self.write_one(batch, row, merge::Head { version, ..head }, &stamped, known, std::mem::take(&mut lost))?;
        }
        Ok(row)
    }

    fn write_one(
        &self,
        batch: &mut Batch,
        before: HeadRow,
        head: merge::Head,
        records: &[Stored],
        known: &Known,
        lost: Vec<ByteRow>,
    ) -> Result<HeadRow, StoreError> {
        for (ordinal, stored) in records.iter().enumerate() {
            self.move_record(stored, ordinal as u16, known.get(&stored.record.key), &mut batch.rows)?;
        }
        let reap_at_ms = before.reap_at_ms;
        let mut row = before.after(head, self.now_ms);
        if !self.keep.has_history() && lost.is_empty() {
            row.oldest_version = row.version;
        } else {
            let entries = records.iter().map(|stored| entry(&stored.record, known.get(&stored.record.key))).collect();
            let history = HistoryRow { device: self.device, what: &self.what, entries, lost: &lost };
            let content = history.content(self.now_ms)?;
            row.history_bytes += content.len() as u64;
            let at = keys::history(self.identity, self.dataset, row.version);
            pieces::cut(&at, content, &mut batch.rows);
        }
        self.set_due(&mut row, reap_at_ms, &mut batch.rows);
        batch.rows.push((keys::head(self.identity, self.dataset), Some(rows::encode(&row)?)));
        Ok(row)
    }

    /// Puts a record's new version in the place of its old one.
    fn move_record(&self, stored: &Stored, ordinal: u16, old: Option<&Old>, batch: &mut Rows) -> Result<(), StoreError> {
        if let Some(old) = old {
            forget(self.identity, self.dataset, old.pointer, batch);
            if old.stored.record.content == Content::Removed {
                batch.push((keys::tombstone(self.identity, self.dataset, old.pointer.version, old.pointer.ordinal), None));
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
        let pointer = PointerRow { version: *version, ordinal, pieces };
        batch.push((keys::pointer(self.identity, self.dataset, key), Some(rows::encode(&pointer)?)));
        Ok(())
    }

    /// Sees to it that the reaper comes when there is something for it.
    fn set_due(&self, row: &mut HeadRow, before_ms: u64, batch: &mut Rows) {
        let reap_at_ms = match before_ms {
            0 if is_over(row, self.keep) => self.now_ms,
            0 if has_garbage(row) => self.now_ms + self.keep.first_visit_ms(),
            reap_at_ms if is_over(row, self.keep) => reap_at_ms.min(self.now_ms),
            // A date that a clock set far ahead has left is brought back.
            reap_at_ms => reap_at_ms.min(self.now_ms + REVISIT_MS),
        };
        move_due(self.identity, self.dataset, row, reap_at_ms, batch);
    }
}

/// Gives a dataset another date with the reaper; 0: none.
pub(super) fn move_due(identity: &Identity, dataset: &DatasetName, row: &mut HeadRow, reap_at_ms: u64, batch: &mut Rows) {
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

/// Deletes a record's rows.
pub(super) fn forget(identity: &Identity, dataset: &DatasetName, pointer: PointerRow, batch: &mut Rows) {
    let at = keys::record(identity, dataset, pointer.version, pointer.ordinal);
    batch.extend((0..pointer.pieces).map(|piece| (pieces::piece_key(&at, piece), None)));
}

/// Whether there is something that will go one day.
pub(super) fn has_garbage(row: &HeadRow) -> bool {
    row.tombstones > 0 || row.history_bytes > 0
}

/// Whether far more is kept than should be.
fn is_over(row: &HeadRow, keep: &RetentionPolicy) -> bool {
    let versions = row.version - row.oldest_version;
    versions > EXCESS * keep.history_versions && row.history_bytes > 0
        || row.history_bytes > EXCESS * keep.history_bytes
        || row.tombstones > EXCESS * keep.tombstones
}

fn entry<'a>(after: &'a Record, old: Option<&'a Old>) -> Entry<'a> {
    Entry { key: &after.key, lives: after.content.value().is_some(), before: old.map(|old| &*old.content) }
}
