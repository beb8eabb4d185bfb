//! The row of one version in a dataset's history: who made the version and why, and each record that it touched as it was before.
//!
//! In front of the row stands the version's date, so that the reaper need not decode more.

use driftless_protocol::{DeviceId, Key};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::pieces::RowContent;
use super::rows::{self, ByteRow};

/// Bytes of the date in front of the row.
const DATE_BYTES: usize = 8;

/// Bytes to reserve for the row's date, device and origin, and around each entry. A longer row grows its buffer.
const FIXED_BYTES: usize = 96;
const ENTRY_BYTES: usize = 12;

/// Why a version was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionOrigin {
    /// A device wrote a patch.
    Patch,
    /// An operator restored the dataset to this version.
    Restored(u64),
    /// This identity was merged into the dataset's own.
    Merged(String),
}

/// `u`: the records that a version replaced.
#[derive(Serialize)]
pub(super) struct HistoryRow<'a> {
    pub device: &'a DeviceId,
    pub origin: &'a VersionOrigin,
    pub entries: Vec<HistoryEntry<'a>>,
    /// Records of the other side of a merge that were not taken.
    pub not_taken: &'a [ByteRow],
}

/// A record that a version touched.
#[derive(Serialize)]
pub(super) struct HistoryEntry<'a> {
    pub key: &'a Key,
    /// Whether the record is live after the version.
    pub is_live: bool,
    /// The record before the version; `None` if there was none.
    #[serde(with = "serde_bytes")]
    pub before: Option<&'a [u8]>,
}

#[derive(Deserialize)]
pub(super) struct OwnedHistoryRow {
    pub device: DeviceId,
    pub origin: VersionOrigin,
    pub entries: Vec<OwnedHistoryEntry>,
    pub not_taken: Vec<ByteRow>,
}

#[derive(Deserialize)]
pub(super) struct OwnedHistoryEntry {
    pub key: Key,
    pub is_live: bool,
    pub before: Option<ByteRow>,
}

impl HistoryRow<'_> {
    /// The row behind its date, to be cut into pieces.
    pub(super) fn content(&self, at_ms: u64) -> Result<RowContent, StoreError> {
        let bytes = |entry: &HistoryEntry<'_>| entry.key.as_str().len() + entry.before.map_or(0, <[u8]>::len) + ENTRY_BYTES;
        let mut content = RowContent::with_capacity(FIXED_BYTES + self.entries.iter().map(bytes).sum::<usize>());
        content.buffer().extend_from_slice(&at_ms.to_be_bytes());
        rows::encode_onto(content.buffer(), self)?;
        Ok(content)
    }
}

impl OwnedHistoryRow {
    /// The version's date, in milliseconds since 1970 (UTC), and its row.
    pub(super) fn decode(content: &[u8]) -> Result<(u64, OwnedHistoryRow), StoreError> {
        Ok((date_ms(content)?, rows::decode(&content[DATE_BYTES..])?))
    }
}

/// When a version was made, from its row or the first piece of it.
pub(super) fn date_ms(content: &[u8]) -> Result<u64, StoreError> {
    let date = content.first_chunk::<DATE_BYTES>().ok_or_else(|| StoreError::Damaged("a row of history".to_owned()))?;
    Ok(u64::from_be_bytes(*date))
}

#[cfg(test)]
mod tests {
    use driftless_protocol::{Content, Record, Value};

    use super::*;
    use crate::merge::StoredRecord;
    use crate::store::rows::RecordRow;
    use crate::store::support::{device, key};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A round trip would not notice if lists of numbers took the place of bytes: the decoder takes both.
    #[test]
    fn encoded_rows_have_exactly_the_bytes_that_are_on_disk_today() {
        let record = Record { key: key("a"), content: Content::Value(Value::from(1)), version: 2, modified_ms: 7, device: device("phone") };
        let before = RecordRow::of(&StoredRecord { record, others_version: 3 }).content().expect("is encoded");
        assert_eq!(hex(&before), "000d96a161c30207a570686f6e650301");
        let (phone, origin) = (device("phone"), VersionOrigin::Patch);
        let (a, b) = (key("a"), key("b"));
        let entries =
            vec![HistoryEntry { key: &a, is_live: true, before: Some(&before) }, HistoryEntry { key: &b, is_live: false, before: None }];
        let not_taken = [ByteRow(vec![9, 200])];
        let row = HistoryRow { device: &phone, origin: &origin, entries, not_taken: &not_taken };
        let expected = "000000000000000794a570686f6e65a550617463689293a161c3c410000d96a161c30207a570686f6e65030193a162c2c091c40209c8";
        assert_eq!(hex(&row.content(7).expect("is encoded")), expected);
    }
}
