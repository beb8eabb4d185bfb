//! A dataset's head: its version, the number and bytes of its live records, and how far back its tombstones reach.

use driftless_protocol::{Content, Key, Value};

/// The counters of a dataset. The default is a dataset that was never written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatasetHead {
    /// How many patches were accepted.
    pub version: u64,
    /// How many records are live.
    pub records: u64,
    /// Bytes of the live records' keys and values.
    pub bytes: u64,
    /// How many removed records still have a tombstone.
    pub tombstones: u64,
    /// The newest version whose tombstones may be gone: a device that has seen less cannot be told what was removed.
    pub tombstone_horizon: u64,
}

impl DatasetHead {
    /// Counts a record's new state in the place of its stored one.
    pub fn replace(&mut self, key: &Key, before: Option<&Content>, after: &Content) {
        match before {
            Some(Content::Value(value)) => {
                self.records = self.records.saturating_sub(1);
                self.bytes = self.bytes.saturating_sub(record_bytes(key, value));
            }
            Some(Content::Removed) => self.tombstones = self.tombstones.saturating_sub(1),
            None => {}
        }
        match after {
            Content::Value(value) => {
                self.records += 1;
                self.bytes += record_bytes(key, value);
            }
            Content::Removed => self.tombstones += 1,
        }
    }
}

/// The bytes that a live record counts in its dataset.
pub(super) fn record_bytes(key: &Key, value: &Value) -> u64 {
    (key.as_str().len() + value.packed_bytes()) as u64
}
