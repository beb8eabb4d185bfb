//! A dataset's head: its version, the number and bytes of its live records, and how far back its tombstones reach.

use driftless_protocol::{Content, DeviceId, Key, Value};

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
    /// The version that deleted the whole dataset; 0 if it never was deleted, or not since it was made anew.
    pub deleted: u64,
}

/// Whether a record is live, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentState {
    /// It has a value of so many bytes, as it is packed.
    Live(u64),
    /// It is a tombstone.
    Removed,
}

/// A record without its value: what most patches are decided from.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead<'a> {
    pub version: u64,
    /// The device that wrote it last.
    pub device: &'a DeviceId,
    /// The newest version of this record that another device than its last writer wrote and that the last writer had not seen, as far as its
    /// bases tell; 0 if there is none.
    pub others_version: u64,
    pub state: ContentState,
}

impl RecordHead<'_> {
    /// The newest version that another device than this one wrote.
    pub(super) fn version_by_others(&self, device: &DeviceId) -> u64 {
        if self.device == device { self.others_version } else { self.version }
    }
}

impl ContentState {
    pub fn of(content: &Content) -> ContentState {
        ContentState::of_value(content.value())
    }

    pub fn of_value(value: Option<&Value>) -> ContentState {
        value.map_or(ContentState::Removed, |value| ContentState::Live(value.packed_bytes() as u64))
    }

    /// Bytes of the value; 0 if there is none.
    pub fn value_bytes(self) -> u64 {
        match self {
            ContentState::Live(bytes) => bytes,
            ContentState::Removed => 0,
        }
    }

    pub fn is_live(self) -> bool {
        self != ContentState::Removed
    }
}

impl DatasetHead {
    /// Whether the dataset was written since it was deleted.
    pub fn is_alive(&self) -> bool {
        self.version > self.deleted
    }

    /// Counts a record's new state in the place of its stored one.
    pub fn replace(&mut self, key: &Key, before: Option<ContentState>, after: ContentState) {
        match before {
            Some(ContentState::Live(bytes)) => {
                self.records = self.records.saturating_sub(1);
                self.bytes = self.bytes.saturating_sub(record_bytes(key, bytes));
            }
            Some(ContentState::Removed) => self.tombstones = self.tombstones.saturating_sub(1),
            None => {}
        }
        match after {
            ContentState::Live(bytes) => {
                self.records += 1;
                self.bytes += record_bytes(key, bytes);
            }
            ContentState::Removed => self.tombstones += 1,
        }
    }
}

/// The bytes that a live record counts in its dataset.
pub(super) fn record_bytes(key: &Key, value_bytes: u64) -> u64 {
    key.as_str().len() as u64 + value_bytes
}
