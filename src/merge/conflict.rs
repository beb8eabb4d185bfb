//! Conflicts: when a change conflicts with another device's write, and which records the reply to the writing device holds.

use driftless_protocol::limits as protocol_limits;
use driftless_protocol::{Change, Content, DeviceId, Key, Op, Record};

use super::head::{ContentState, RecordHead};

/// Bytes of values that the reply to a patch may carry: with one more record at its bound the reply still fits a message.
pub(super) const REPLY_BYTES: usize = protocol_limits::PAGE_BYTES * 8;

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

/// What the base of a change is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bases {
    /// What other devices wrote: a device never conflicts with its own writes, and equal values never conflict.
    #[default]
    Seen,
    /// The record's version, by any writer and whatever the value and the policy are, as Amazon Cognito Sync compares a `SyncCount`
    /// ("UpdateRecords"). A record that is not there does not conflict, nor does a tombstone with the base 0 or from before the dataset was deleted.
    /// Every change stamps its record, also the removal of what is removed.
    Exact,
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
    pub fn head(&self) -> RecordHead<'_> {
        let Record { version, device, content, .. } = &self.record;
        RecordHead { version: *version, device, others_version: self.others_version, state: ContentState::of(content) }
    }
}

/// Which of the records that a patch conflicts with the reply has. It must fit a message: the first record always does, of the others those for
/// which there is room. A device that resolves these and writes again learns of the rest then.
#[derive(Debug, Default)]
pub struct ConflictReply {
    is_begun: bool,
    bytes: u64,
}

impl ConflictReply {
    /// Whether the reply has room for the next record, which then is in it.
    pub fn takes(&mut self, state: ContentState) -> bool {
        let bytes = state.value_bytes();
        let takes = !self.is_begun || self.bytes + bytes <= REPLY_BYTES as u64;
        self.is_begun = true;
        if takes {
            self.bytes += bytes;
        }
        takes
    }
}

/// Whether another device changed the record after the change's base. It is a conflict unless it has the value that the change puts.
pub(super) fn is_changed_by_others(change: &Change, stored: RecordHead<'_>, device: &DeviceId) -> bool {
    change.base.is_some_and(|base| stored.version_by_others(device) > base)
}

/// Whether a change has another base than the record's version, where bases are exact.
pub(super) fn is_another_version(change: &Change, stored: RecordHead<'_>, deleted: u64) -> bool {
    let is_gone = |base| !stored.state.is_live() && (base == 0 || stored.version <= deleted);
    change.base.is_some_and(|base| stored.version != base && !is_gone(base))
}

/// Whether a change is based on a record that was removed since, with a tombstone that is gone: the store no longer knows who removed it.
pub(super) fn is_behind_horizon(change: &Change, tombstone_horizon: u64) -> bool {
    change.op == Op::Put && change.base.is_some_and(|base| base > 0 && base < tombstone_horizon)
}

/// The device that is named for a removal whose tombstone is gone.
pub fn unknown_device() -> DeviceId {
    DeviceId::new(UNKNOWN_DEVICE).unwrap_or_else(|_| unreachable!("the name is valid"))
}

/// The record to report for a key whose tombstone is gone. Its version is the tombstone horizon: a device that writes again
/// with this version as its base no longer conflicts.
pub fn reaped_record(key: &Key, tombstone_horizon: u64) -> Record {
    Record { key: key.clone(), content: Content::Removed, version: tombstone_horizon, modified_ms: 0, device: unknown_device() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_does_not_fit_takes_no_space_from_those_behind_it() {
        let half = REPLY_BYTES as u64 / 2;
        let taken = |sizes: &[u64]| {
            let mut reply = ConflictReply::default();
            sizes.iter().map(|size| reply.takes(ContentState::Live(*size))).collect::<Vec<_>>()
        };
        assert_eq!(taken(&[half, half + 1, half, 1, 0]), [true, false, true, false, true]);
        assert_eq!(taken(&[3 * half, 1, 0]), [true, false, false], "the first one always is in it");
    }
}
