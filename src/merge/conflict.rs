//! Conflicts: when a change conflicts with another device's write, and which records the reply to the writing device holds.

use driftless_protocol::limits as protocol_limits;
use driftless_protocol::{Change, Content, DeviceId, Key, NameError, Op, Record, Value};

/// Bytes of values that the reply to a patch may carry: with one more record at its bound the reply still fits a message.
pub(super) const REPLY_BYTES: usize = protocol_limits::PAGE_BYTES * 8;

/// The device that is named for a removal whose tombstone is gone.
const UNKNOWN_DEVICE: &str = "~removed";

/// What happens when two devices changed the same record without knowing of each other's change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictPolicy {
    /// Nothing of the later patch is applied; its device resolves the conflict.
    #[default]
    Reject,
    /// The later patch wins.
    LastWriterWins,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    pub record: Record,
    /// The newest version of this record that another device than its last writer wrote and that the last writer had not seen, as far as its
    /// bases tell; 0 if there is none.
    pub others_version: u64,
}

impl StoredRecord {
    /// The newest version that another device than this one wrote.
    pub(super) fn version_by_others(&self, device: &DeviceId) -> u64 {
        if self.record.device == *device { self.others_version } else { self.record.version }
    }
}

/// The records that a patch conflicts with. The reply must fit a message: the first record always does, of the others those for which there is
/// room. A device that resolves these and writes again learns of the rest then.
#[derive(Debug, Default)]
pub struct ConflictingRecords {
    pub records: Vec<Record>,
    bytes: usize,
}

impl ConflictingRecords {
    /// Adds a record if the reply has room for it.
    pub fn add(&mut self, record: &Record) {
        let bytes = record.content.value().map_or(0, Value::packed_bytes);
        if self.records.is_empty() || self.bytes + bytes <= REPLY_BYTES {
            self.records.push(record.clone());
        }
        self.bytes += bytes;
    }
}

/// Whether another device changed the record after the change's base, to another value than the change puts.
pub(super) fn conflicts(change: &Change, stored: &StoredRecord, device: &DeviceId) -> bool {
    let Some(base) = change.base else { return false };
    stored.version_by_others(device) > base && stored.record.content.value() != change.value.as_ref()
}

/// Whether a change is based on a record that was removed since, with a tombstone that is gone: the store no longer knows who removed it.
pub(super) fn is_behind_horizon(change: &Change, tombstone_horizon: u64) -> bool {
    change.op == Op::Put && change.base.is_some_and(|base| base > 0 && base < tombstone_horizon)
}

/// The record to report for a key whose tombstone is gone. Its version is the tombstone horizon: a device that writes again
/// with this version as its base no longer conflicts.
pub fn reaped_record(key: &Key, tombstone_horizon: u64) -> Result<Record, NameError> {
    let device = DeviceId::new(UNKNOWN_DEVICE)?;
    Ok(Record { key: key.clone(), content: Content::Removed, version: tombstone_horizon, modified_ms: 0, device })
}
