//! What rows say, apart from what travels on the wire. Each is MessagePack without names: the engine's format byte says which
//! order of the fields it is.

use driftless_protocol::{Content, DatasetName, DeviceId, Epoch, Key, Record, RefusalCode, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::engine::{Bytes, EngineError};
use super::pieces::RowContent;
use crate::merge::{self, ConflictPolicy, StoredRecord};

/// `h`: a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadRow {
    pub version: u64,
    pub records: u64,
    pub bytes: u64,
    /// When it was last written, in milliseconds since 1970.
    pub modified_ms: u64,
    /// Conflicts that were ever met; the newest of them are kept.
    pub conflicts: u64,
    /// Tombstones that are kept.
    pub tombstones: u64,
    /// The newest version whose tombstones may be gone.
    pub horizon: u64,
    /// The oldest version that can be seen: history is kept of what came after it.
    pub floor: u64,
    /// Bytes of that history.
    pub history_bytes: u64,
    /// When the reaper looks at the dataset, in milliseconds since 1970; 0: never, there is nothing to reap.
    pub due_ms: u64,
    /// For each earlier epoch in which the dataset was there: the epoch's number, and the version at which its history went on in the next one.
    pub shared: Vec<(u32, u64)>,
}

impl HeadRow {
    pub(super) fn head(&self) -> merge::DatasetHead {
        let HeadRow { version, records, bytes, tombstones, horizon, .. } = *self;
        merge::DatasetHead { version, records, bytes, tombstones, horizon }
    }

    /// The row after a write: as `merge` left the dataset.
    pub(super) fn after(self, head: merge::DatasetHead, now_ms: u64) -> HeadRow {
        let merge::DatasetHead { version, records, bytes, tombstones, horizon } = head;
        HeadRow { version, records, bytes, tombstones, horizon, modified_ms: now_ms, ..self }
    }
}

/// `k`: where the newest version of a record stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct PointerRow {
    pub version: u64,
    pub ordinal: u16,
    pub pieces: u16,
}

/// `v`: a record, cut into pieces when it is large.
#[derive(Serialize)]
pub(super) struct RecordRow<'a> {
    key: &'a Key,
    lives: bool,
    value: Option<&'a Value>,
    version: u64,
    modified_ms: u64,
    device: &'a DeviceId,
    others_version: u64,
}

#[derive(Deserialize)]
struct OwnedRecordRow {
    key: Key,
    lives: bool,
    value: Value,
    version: u64,
    modified_ms: u64,
    device: DeviceId,
    others_version: u64,
}

impl<'a> RecordRow<'a> {
    pub(super) fn of(stored: &'a StoredRecord) -> Self {
        let record = &stored.record;
        let value = record.content.value();
        RecordRow {
            key: &record.key,
            lives: value.is_some(),
            value,
            version: record.version,
            modified_ms: record.modified_ms,
            device: &record.device,
            others_version: stored.others_version,
        }
    }

    /// The row, to be cut into pieces.
    pub(super) fn content(&self) -> Result<RowContent, EngineError> {
        let names = self.key.as_str().len() + self.device.as_str().len();
        let mut content = RowContent::with_capacity(self.value.map_or(1, Value::packed_bytes) + names + NUMBERS_BYTES);
        encode_onto(content.buffer(), self)?;
        Ok(content)
    }
}

/// What a record's row takes beside its value and its names, at most: three numbers, a flag, and what says that they come.
const NUMBERS_BYTES: usize = 40;

pub(super) fn stored(bytes: &[u8]) -> Result<StoredRecord, EngineError> {
    let row: OwnedRecordRow = decode(bytes)?;
    let record = Record {
        key: row.key,
        content: if row.lives { Content::Value(row.value) } else { Content::Removed },
        version: row.version,
        modified_ms: row.modified_ms,
        device: row.device,
    };
    Ok(StoredRecord { record, others_version: row.others_version })
}

/// `p`: what became of a patch, in the slot of its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PatchRow {
    pub id: u64,
    /// A checksum of the dataset and the changes, which tells a retry from another patch of the same number.
    pub digest: u32,
    pub version: u64,
    /// The results, each a row of its own kind; `None` if they are too large to be kept.
    pub results: Option<Vec<ByteRow>>,
    /// Why it was not applied; `None` if it was.
    #[serde(default)]
    pub verdict: Option<Verdict>,
}

/// Why a patch was not applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// It met these records of another device.
    Conflict(Vec<Key>),
    /// With what it was told.
    Refused(RefusalCode, String),
}

/// Bytes inside a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ByteRow(#[serde(with = "serde_bytes")] pub Bytes);

/// `i`: an identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct IdentityRow {
    pub pool: String,
    pub made_ms: u64,
    /// The identity that it was merged into; it owns nothing any more.
    pub moved_to: Option<String>,
    /// Identities that were merged into it, the newest last.
    pub merged: Vec<String>,
    /// How many of its devices are woken by pushes: without any, nothing is noted as owed.
    #[serde(default)]
    pub pushes: u32,
}

/// `w`: what is being done to an identity, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WorkRow {
    /// All that it owns goes.
    Erase,
    /// Its datasets move into another identity, with these policies on records of both sides.
    Merge { into: String, policy: ConflictPolicy, datasets: Vec<(DatasetName, ConflictPolicy)> },
}

/// `g`: a tombstone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct GoneRow {
    pub key: Key,
    pub at_ms: u64,
}

/// `m lineage`: the epochs that the store descends from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineageRow {
    /// The number of the present epoch.
    pub number: u32,
    /// Earlier ones, by number; the newest few.
    pub before: Vec<(u32, Epoch)>,
}

/// `d`: a device.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeviceRow {
    pub first_seen_ms: u64,
    /// When it was revoked: it may not come in.
    #[serde(default)]
    pub revoked_ms: Option<u64>,
}

/// `a`: what a device has acknowledged of a dataset.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AckRow {
    pub version: u64,
}

/// `x`: a conflict: who met whose records, and how it ended. Never the values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// Counts the dataset's conflicts from 1.
    pub number: u64,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The device that wrote.
    pub device: DeviceId,
    /// Whether its patch was applied all the same (the policy is last writer wins).
    pub applied: bool,
    /// The records in conflict: key, version and writer of the state that was met; the first few.
    pub records: Vec<(Key, u64, DeviceId)>,
}

pub(super) fn encode<T: Serialize>(row: &T) -> Result<Bytes, EngineError> {
    let mut bytes = Vec::with_capacity(128);
    encode_onto(&mut bytes, row)?;
    Ok(bytes)
}

/// The same, behind what is there.
pub(super) fn encode_onto<T: Serialize>(bytes: &mut Bytes, row: &T) -> Result<(), EngineError> {
    rmp_serde::encode::write(bytes, row).map_err(|e| EngineError::Io(format!("a row cannot be encoded: {e}")))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EngineError> {
    rmp_serde::from_slice(bytes).map_err(|e| EngineError::Damaged(format!("a row cannot be decoded: {e}")))
}
