//! What each of a dataset's recent versions replaced: enough to see the dataset as it was, and to wind it back.
//!
//! The row of a version holds each record that it touched as it was before. A record's state at an earlier version is the first such
//! entry after that version, or what the record is now if there is none. Rows stand for all versions above the head's `floor`.

use std::collections::BTreeMap;

use driftless_protocol::{Content, DatasetName, DeviceId, Key, Record};
use serde::{Deserialize, Serialize};

use super::datasets::{Cursor, ReadResult};
use super::engine::Bytes;
use super::pieces::Whole;
use super::rows::{self, ByteRow, HeadRow};
use super::{Identity, Store, StoreError, keys};

/// Bytes before the row's own: when the version was made, so that the reaper need not read more.
const DATE_BYTES: usize = 8;

/// Room for a row's date, device and reason, and for the marks around an entry: what is longer makes the row grow.
const REST_BYTES: usize = 96;
const ENTRY_BYTES: usize = 12;

/// Why a version was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionOrigin {
    /// A device wrote.
    Patch,
    /// An operator restored the dataset to this version.
    Restored(u64),
    /// The records of this identity, which was merged into this one, came in.
    Merged(String),
}

/// `u`: what a version replaced.
#[derive(Serialize)]
pub(super) struct HistoryRow<'a> {
    pub device: &'a DeviceId,
    pub what: &'a VersionOrigin,
    pub entries: Vec<Entry<'a>>,
    /// Records of the other side of a merge that were not taken.
    pub lost: &'a [ByteRow],
}

/// A record that a version touched.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    pub key: &'a Key,
    /// Whether it lives after the version.
    pub lives: bool,
    /// The record before it, `None` if there was none.
    #[serde(with = "serde_bytes")]
    pub before: Option<&'a [u8]>,
}

#[derive(Deserialize)]
pub(super) struct OwnedHistoryRow {
    pub device: DeviceId,
    pub what: VersionOrigin,
    pub entries: Vec<OwnedEntry>,
    pub lost: Vec<ByteRow>,
}

#[derive(Deserialize)]
pub(super) struct OwnedEntry {
    pub key: Key,
    pub lives: bool,
    pub before: Option<ByteRow>,
}

impl HistoryRow<'_> {
    /// The row with its date, to be cut into pieces.
    pub(super) fn content(&self, at_ms: u64) -> Result<Whole, StoreError> {
        let entry = |entry: &Entry<'_>| entry.key.as_str().len() + entry.before.map_or(0, <[u8]>::len) + ENTRY_BYTES;
        let mut content = Whole::with_capacity(REST_BYTES + self.entries.iter().map(entry).sum::<usize>());
        content.end().extend_from_slice(&at_ms.to_be_bytes());
        rows::encode_onto(content.end(), self)?;
        Ok(content)
    }
}

impl OwnedHistoryRow {
    pub(super) fn read(content: &[u8]) -> Result<(u64, OwnedHistoryRow), StoreError> {
        Ok((date(content)?, rows::decode(&content[DATE_BYTES..])?))
    }
}

/// When a version was made, from its row or the first piece of it.
pub(super) fn date(content: &[u8]) -> Result<u64, StoreError> {
    let date = content.first_chunk::<DATE_BYTES>().ok_or_else(|| StoreError::Damaged("a row of history".to_owned()))?;
    Ok(u64::from_be_bytes(*date))
}

/// A version of the past.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its number.
    pub version: u64,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The device that made it; `~operator` for a restore.
    pub device: DeviceId,
    /// Why.
    pub what: VersionOrigin,
    /// The records that it touched, each with whether it lives after it.
    pub touched: Vec<(Key, bool)>,
    /// Records of the other side of a merge that were not taken.
    pub lost: Vec<Record>,
}

/// A stretch of history, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The dataset's version.
    pub version: u64,
    /// The oldest version that can be seen and restored.
    pub oldest: u64,
    /// Its versions.
    pub steps: Vec<Step>,
}

/// Why a version cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionNotKept {
    /// The oldest that can.
    pub oldest: u64,
    /// The newest there is.
    pub newest: u64,
}

/// What a record was at two versions; `None`: it was not there.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordDiff {
    /// Which record.
    pub key: Key,
    /// At the first version.
    pub before: Option<Record>,
    /// At the second.
    pub after: Option<Record>,
}

/// The states of records at an earlier version, as far as they were written since.
pub(super) type Undo = BTreeMap<Key, Option<Bytes>>;

impl Store {
    /// Up to `limit` versions below `below`, newest first; `below` absent: from the newest on.
    pub fn history(&self, identity: &Identity, dataset: &DatasetName, below: Option<u64>, limit: u64) -> Result<History, StoreError> {
        let head = self.head(identity, dataset)?;
        let newest = below.map_or(head.version, |below| below.saturating_sub(1)).min(head.version);
        let mut steps = Vec::new();
        for version in (head.oldest_version + 1..=newest).rev().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            // The reaper may have come meanwhile.
            let Some(content) = self.whole(&keys::history(identity, dataset, version))? else { break };
            steps.push(step(version, &content)?);
        }
        Ok(History { version: head.version, oldest: head.oldest_version, steps })
    }

    /// The live records of a dataset as they were at a version, by key.
    pub fn at(&self, identity: &Identity, dataset: &DatasetName, version: u64) -> Result<Result<Vec<Record>, VersionNotKept>, StoreError> {
        let (now, head) = self.all(identity, dataset)?;
        match self.undo(identity, dataset, &head, version)? {
            Ok(undo) => Ok(Ok(wound_back(&now, &undo)?.into_values().collect())),
            Err(not_kept) => Ok(Err(not_kept)),
        }
    }

    /// What differs between two versions, by key.
    pub fn compare(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        first: u64,
        second: u64,
    ) -> Result<Result<Vec<RecordDiff>, VersionNotKept>, StoreError> {
        let (now, head) = self.all(identity, dataset)?;
        let undo = |version| self.undo(identity, dataset, &head, version);
        let (before, after) = match (undo(first)?, undo(second)?) {
            (Ok(first), Ok(second)) => (wound_back(&now, &first)?, wound_back(&now, &second)?),
            (Err(not_kept), _) | (_, Err(not_kept)) => return Ok(Err(not_kept)),
        };
        Ok(Ok(differences(before, after)))
    }

    /// All live records, as of the version in the head that comes with them.
    fn all(&self, identity: &Identity, dataset: &DatasetName) -> Result<(BTreeMap<Key, Record>, HeadRow), StoreError> {
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

    /// What the records that were written after a version were at it.
    fn undo(
        &self,
        identity: &Identity,
        dataset: &DatasetName,
        head: &HeadRow,
        to: u64,
    ) -> Result<Result<Undo, VersionNotKept>, StoreError> {
        undo(head, to, |version| self.whole(&keys::history(identity, dataset, version)))
    }

    /// A content that may be cut into pieces.
    pub(super) fn whole(&self, at: &[u8]) -> Result<Option<Whole>, StoreError> {
        let mut rows = self.engine.scan(at, &keys::prefix_end(at), usize::MAX)?.into_iter().map(|(_, row)| row);
        let missing = || StoreError::Damaged("a missing piece of history".to_owned());
        let Some(first) = rows.next() else { return Ok(None) };
        let whole = Whole::of(first, |_| rows.next().ok_or_else(missing))?;
        // One too many is another content's.
        if rows.next().is_some() { Err(missing()) } else { Ok(Some(whole)) }
    }
}

/// What the records that were written after `to` were at it; `row` gives a version's row.
pub(super) fn undo(
    head: &HeadRow,
    to: u64,
    row: impl Fn(u64) -> Result<Option<Whole>, StoreError>,
) -> Result<Result<Undo, VersionNotKept>, StoreError> {
    let not_kept = VersionNotKept { oldest: head.oldest_version, newest: head.version };
    if to < head.oldest_version || to > head.version {
        return Ok(Err(not_kept));
    }
    let mut undo = Undo::new();
    for version in to + 1..=head.version {
        let Some(content) = row(version)? else { return Ok(Err(VersionNotKept { oldest: version, ..not_kept })) };
        for entry in OwnedHistoryRow::read(&content)?.1.entries {
            undo.entry(entry.key).or_insert(entry.before.map(|row| row.0));
        }
    }
    Ok(Ok(undo))
}

fn wound_back(now: &BTreeMap<Key, Record>, undo: &Undo) -> Result<BTreeMap<Key, Record>, StoreError> {
    let mut then = now.clone();
    for (key, before) in undo {
        match before.as_deref().map(rows::decode_record).transpose()?.map(|stored| stored.record) {
            Some(record) if record.content != Content::Removed => then.insert(key.clone(), record),
            _ => then.remove(key),
        };
    }
    Ok(then)
}

fn differences(mut before: BTreeMap<Key, Record>, after: BTreeMap<Key, Record>) -> Vec<RecordDiff> {
    let mut found = Vec::new();
    for (key, after) in after {
        let before = before.remove(&key);
        if before.as_ref().map(|record| &record.content) != Some(&after.content) {
            found.push(RecordDiff { key, before, after: Some(after) });
        }
    }
    found.extend(before.into_iter().map(|(key, before)| RecordDiff { key, before: Some(before), after: None }));
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

fn step(version: u64, content: &[u8]) -> Result<Step, StoreError> {
    let (at_ms, row) = OwnedHistoryRow::read(content)?;
    let touched = row.entries.into_iter().map(|entry| (entry.key, entry.lives)).collect();
    let lost = row.lost.iter().map(|row| Ok(rows::decode_record(&row.0)?.record)).collect::<Result<_, StoreError>>()?;
    Ok(Step { version, at_ms, device: row.device, what: row.what, touched, lost })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::Stored;
    use crate::store::rows::RecordRow;
    use crate::store::support::{device, key};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What reads them would take lists of numbers for bytes, too.
    #[test]
    fn rows_have_the_bytes_that_they_always_had() {
        let record = Record {
            key: key("a"),
            content: Content::Value(driftless_protocol::Value::from(1)),
            version: 2,
            modified_ms: 7,
            device: device("phone"),
        };
        let old = RecordRow::of(&Stored { record, others_version: 3 }).content().expect("is encoded");
        assert_eq!(hex(&old), "97a161c3010207a570686f6e6503");
        let (phone, what) = (device("phone"), VersionOrigin::Patch);
        let (a, b) = (key("a"), key("b"));
        let entries = vec![Entry { key: &a, lives: true, before: Some(&old) }, Entry { key: &b, lives: false, before: None }];
        let lost = [ByteRow(vec![9, 200])];
        let row = HistoryRow { device: &phone, what: &what, entries, lost: &lost };
        let expected = "000000000000000794a570686f6e65a550617463689293a161c3c40e97a161c3010207a570686f6e650393a162c2c091c40209c8";
        assert_eq!(hex(&row.content(7).expect("is encoded")), expected);
    }
}
