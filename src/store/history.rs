//! A dataset as it was: its recent versions, and its records at one of them.
//!
//! The history row of a version holds each record that the version touched, as it was before. A record's state at an earlier version is the
//! first such entry after that version, or the record as it is now if there is none. Rows stand for all versions above the head's
//! `oldest_version`.

use std::collections::BTreeMap;

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};

use super::cursor::Cursor;
use super::engine::Bytes;
use super::history_row::{OwnedHistoryRow, VersionOrigin};
use super::page::ReadResult;
use super::pieces::RowContent;
use super::row_source::RowSource;
use super::rows::{self, HeadRow};
use super::{Identity, Store, StoreError, keys};

/// One version of a dataset's history.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionEntry {
    pub version: u64,
    /// When the version was made, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The device that made it; `~operator` for a restore.
    pub device: DeviceId,
    pub origin: VersionOrigin,
    /// The records that the version touched, each with whether it is live after it.
    pub touched: Vec<(Key, bool)>,
    /// Records of the other side of a merge that were not taken.
    pub not_taken: Vec<Record>,
}

/// Some of a dataset's versions, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetHistory {
    /// The dataset's version.
    pub version: u64,
    /// The oldest version that can be shown and restored.
    pub oldest: u64,
    pub versions: Vec<VersionEntry>,
}

/// A version that cannot be shown: history no longer reaches back to it, or the dataset never had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionNotKept {
    /// The oldest version that can be shown.
    pub oldest: u64,
    /// The dataset's version.
    pub newest: u64,
}

/// The rows of records at an earlier version, of the records that were written since.
pub(super) type Undo = BTreeMap<Key, Option<Bytes>>;

impl Store {
    /// Up to `limit` versions below `below`, newest first; without `below` from the newest on.
    pub fn history(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        below: Option<u64>,
        limit: u64,
    ) -> Result<DatasetHistory, StoreError> {
        let head = self.head(identity, dataset)?;
        let newest = below.map_or(head.version, |below| below.saturating_sub(1)).min(head.version);
        let mut versions = Vec::new();
        for version in (head.oldest_version + 1..=newest).rev().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            // The reaper may have taken the row since the head was read.
            let Some(content) = self.engine.content(&keys::history(identity, dataset, version))? else { break };
            versions.push(version_entry(version, &content)?);
        }
        Ok(DatasetHistory { version: head.version, oldest: head.oldest_version, versions })
    }

    /// The live records of a dataset as they were at a version, by key.
    pub fn records_at(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        version: u64,
    ) -> Result<Result<Vec<Record>, VersionNotKept>, StoreError> {
        let (now, head) = self.live_records(identity, dataset)?;
        match self.undo(identity, dataset, &head, version)? {
            Ok(undo) => Ok(Ok(apply_undo(now, undo)?.into_values().collect())),
            Err(not_kept) => Ok(Err(not_kept)),
        }
    }

    /// All live records, and the head with the version at which they are read.
    fn live_records(&self, identity: &Identity, dataset: &DatasetName) -> Result<(BTreeMap<Key, Record>, HeadRow), StoreError> {
        let mut records = BTreeMap::new();
        let mut cursor = Cursor::at(0);
        loop {
            let page = match self.changes(identity, dataset, cursor)? {
                ReadResult::Page(page) => page,
                ReadResult::Behind(again) => {
                    records.clear();
                    cursor = again;
                    continue;
                }
            };
            records.extend(page.records.into_iter().map(|record| (record.key.clone(), record)));
            cursor = page.cursor;
            if !page.more {
                break;
            }
        }
        records.retain(|_, record| record.content != Content::Removed);
        let head = HeadRow { version: cursor.version, ..self.head(identity, dataset)? };
        Ok((records, head))
    }

    /// The records that were written after a version, as they were at it.
    pub(super) fn undo(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        head: &HeadRow,
        to: u64,
    ) -> Result<Result<Undo, VersionNotKept>, StoreError> {
        undo(head, to, |version| self.engine.content(&keys::history(identity, dataset, version)))
    }
}

/// The records that were written after version `to`, as they were at it; `row` reads a version's history row.
pub(super) fn undo(
    head: &HeadRow,
    to: u64,
    row: impl Fn(u64) -> Result<Option<RowContent>, StoreError>,
) -> Result<Result<Undo, VersionNotKept>, StoreError> {
    let not_kept = VersionNotKept { oldest: head.oldest_version, newest: head.version };
    if to < head.oldest_version || to > head.version {
        return Ok(Err(not_kept));
    }
    let mut undo = Undo::new();
    for version in to + 1..=head.version {
        let Some(content) = row(version)? else { return Ok(Err(VersionNotKept { oldest: version, ..not_kept })) };
        for entry in OwnedHistoryRow::decode(&content)?.1.entries {
            undo.entry(entry.key).or_insert(entry.before.map(|row| row.0));
        }
    }
    Ok(Ok(undo))
}

fn apply_undo(mut records: BTreeMap<Key, Record>, undo: Undo) -> Result<BTreeMap<Key, Record>, StoreError> {
    for (key, before) in undo {
        match before.as_deref().map(rows::decode_record).transpose()?.map(|stored| stored.record) {
            Some(record) if record.content != Content::Removed => records.insert(key, record),
            _ => records.remove(&key),
        };
    }
    Ok(records)
}

fn version_entry(version: u64, content: &[u8]) -> Result<VersionEntry, StoreError> {
    let (at_ms, row) = OwnedHistoryRow::decode(content)?;
    let touched = row.entries.into_iter().map(|entry| (entry.key, entry.is_live)).collect();
    let not_taken = row.not_taken.iter().map(|row| Ok(rows::decode_record(&row.0)?.record)).collect::<Result<_, StoreError>>()?;
    Ok(VersionEntry { version, at_ms, device: row.device, origin: row.origin, touched, not_taken })
}
