//! How much an identity owns: the bytes of its datasets, of which it has a total in its row.
//!
//! A dataset's own count changes with every write, in its head. The identity's total follows once a dataset has grown or shrunk by
//! [`STEP_BYTES`], in the same batch: so nearly every write touches no row more than without the total. The total is behind by less than that
//! for each dataset.

use super::commit::{CONFLICT_LOG, Group};
use super::engine::RowBatch;
use super::row_source::RowSource;
use super::rows::{self, HeadRow};
use super::{Identity, Store, StoreError, keys};

/// What a dataset may grow before its identity's total is raised: all of its writes of 200 bytes but one of 300 leave the total alone, and the
/// totals of 200 datasets are behind by 12.5 MiB at most.
pub(super) const STEP_BYTES: u64 = 64 * 1024;

/// What a record or a tombstone takes beside its key and value: a second time its key in most cases, its identity's and its dataset's name in
/// the keys of its rows, the device that wrote it, and numbers.
const RECORD_BYTES: u64 = 256;

/// What an entry of the conflict log takes: eight keys, mostly short.
const CONFLICT_BYTES: u64 = 512;

impl HeadRow {
    /// Bytes that the dataset takes: its records, tombstones, history and conflicts.
    pub(super) fn stored_bytes(&self) -> u64 {
        let records = (self.records + self.tombstones) * RECORD_BYTES;
        self.bytes + self.tombstone_bytes + records + self.history_bytes + self.conflicts.min(CONFLICT_LOG) * CONFLICT_BYTES
    }

    /// Whether the dataset has grown or shrunk enough for its identity's total to follow.
    fn is_counted_again(&self) -> bool {
        self.stored_bytes().abs_diff(self.counted_bytes) >= STEP_BYTES
    }
}

impl Group<'_> {
    /// Adds to an identity's total what one of its datasets has grown since it was counted. Returns whether the head has changed: the caller
    /// writes it.
    pub(super) fn count_owned(&self, identity: &Identity, head: &mut HeadRow, batch: &mut RowBatch) -> Result<bool, StoreError> {
        if !head.is_counted_again() {
            return Ok(false);
        }
        let Some(mut row) = self.identity_row(identity)? else { return Ok(false) };
        row.owned_bytes = owned_with(row.owned_bytes, head);
        head.counted_bytes = head.stored_bytes();
        batch.push((keys::identity(identity), Some(rows::encode(&row)?)));
        Ok(true)
    }

    /// What an identity would own with this head of one of its datasets, if that is more than it may. It is looked at when the total is.
    pub(super) fn owned_over(&self, identity: &Identity, head: &HeadRow, most_bytes: u64) -> Result<Option<u64>, StoreError> {
        if !head.is_counted_again() {
            return Ok(None);
        }
        let before = self.identity_row(identity)?.map_or(0, |row| row.owned_bytes);
        Ok(Some(owned_with(before, head)).filter(|owned| *owned > most_bytes))
    }
}

fn owned_with(before: u64, head: &HeadRow) -> u64 {
    (before + head.stored_bytes()).saturating_sub(head.counted_bytes)
}

impl Store {
    /// Bytes of an identity's datasets with their history and tombstones, less than 64 KiB behind for each dataset.
    pub fn owned_bytes(&self, identity: &Identity) -> Result<u64, StoreError> {
        let row: Option<rows::IdentityRow> = self.engine.row(&keys::identity(identity))?;
        Ok(row.map_or(0, |row| row.owned_bytes))
    }
}
