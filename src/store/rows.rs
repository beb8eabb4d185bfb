//! The contents of rows, apart from the types of the wire. A row is MessagePack: a struct is the list of its fields, without their names,
//! and an enum's variant is its name. So the order of a struct's fields is on disk, and so is the name of a variant: `format` says which.

use driftless_protocol::{Content, DatasetName, DeviceId, Epoch, Key, Record, RefusalCode, Value};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::engine::{Bytes, EngineError};
use super::pieces::RowContent;
use crate::merge::{self, ConflictPolicy, ContentState, RecordHead, StoredRecord};

/// The state of a dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeadRow {
    pub version: u64,
    pub records: u64,
    pub bytes: u64,
    /// When a write last changed it, in milliseconds since 1970 (UTC).
    pub modified_ms: u64,
    /// How many conflicts its writes ever had; the conflict log keeps the newest of them.
    pub conflicts: u64,
    /// How many tombstones it has.
    pub tombstones: u64,
    /// The newest version of which the reaper has deleted tombstones. A device that has seen less needs a snapshot.
    pub tombstone_horizon: u64,
    /// The oldest version that can be read: there is history of all versions after it.
    pub oldest_version: u64,
    /// Bytes of that history.
    pub history_bytes: u64,
    /// When the reaper visits the dataset, in milliseconds since 1970 (UTC); 0: there is nothing to reap.
    pub reap_at_ms: u64,
    /// For each earlier epoch of the dataset: the epoch's number, and the version at which its history went on in the next epoch.
    pub shared: Vec<(u32, u64)>,
    /// Bytes of the keys of its tombstones.
    #[serde(default)]
    pub tombstone_bytes: u64,
    /// What the dataset counts in [`IdentityRow::owned_bytes`].
    #[serde(default)]
    pub counted_bytes: u64,
    /// When it was made, or made anew after it was deleted, in milliseconds since 1970 (UTC).
    #[serde(default)]
    pub made_ms: u64,
    /// The device that made its newest version.
    #[serde(default)]
    pub by: Option<DeviceId>,
    /// The version that deleted the whole dataset; 0 if none did. It exists again from the next version on.
    #[serde(default)]
    pub deleted: u64,
}

impl HeadRow {
    pub(super) fn head(&self) -> merge::DatasetHead {
        let HeadRow { version, records, bytes, tombstones, tombstone_horizon, deleted, .. } = *self;
        merge::DatasetHead { version, records, bytes, tombstones, tombstone_horizon, deleted }
    }

    /// The row after a write, with the counts that `merge` made.
    pub(super) fn after(self, head: merge::DatasetHead, now_ms: u64) -> HeadRow {
        let merge::DatasetHead { version, records, bytes, tombstones, tombstone_horizon, deleted } = head;
        HeadRow { version, records, bytes, tombstones, tombstone_horizon, deleted, modified_ms: now_ms, ..self }
    }
}

/// Where the newest version of a record stands, and what a patch needs to know of it without its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PointerRow {
    pub version: u64,
    pub ordinal: u16,
    pub pieces: u16,
    /// Bytes of the value; `None`: the record is a tombstone.
    pub value_bytes: Option<u64>,
    /// The device that wrote it.
    pub device: DeviceId,
    /// As in [`StoredRecord`].
    pub others_version: u64,
}

impl PointerRow {
    pub(super) fn head(&self) -> RecordHead<'_> {
        RecordHead { version: self.version, device: &self.device, others_version: self.others_version, state: self.state() }
    }

    pub(super) fn state(&self) -> ContentState {
        self.value_bytes.map_or(ContentState::Removed, ContentState::Live)
    }
}

/// A record: the number of bytes of its head (16 bits, big-endian), the head, and the value as it is packed. A large one is cut into pieces.
pub(super) struct RecordRow<'a> {
    head: RecordRowHead<&'a Key, &'a DeviceId>,
    value: Option<&'a Value>,
}

#[derive(Serialize, Deserialize)]
struct RecordRowHead<K, D> {
    key: K,
    /// Whether a value follows: the record is no tombstone.
    lives: bool,
    version: u64,
    modified_ms: u64,
    device: D,
    others_version: u64,
}

impl<'a> RecordRow<'a> {
    pub(super) fn of(stored: &'a StoredRecord) -> Self {
        let record = &stored.record;
        let value = record.content.value();
        let head = RecordRowHead {
            key: &record.key,
            lives: value.is_some(),
            version: record.version,
            modified_ms: record.modified_ms,
            device: &record.device,
            others_version: stored.others_version,
        };
        RecordRow { head, value }
    }

    /// The encoded row.
    pub(super) fn encode(&self) -> Result<Bytes, EngineError> {
        let mut bytes = Vec::with_capacity(self.capacity());
        self.encode_onto(&mut bytes)?;
        Ok(bytes)
    }

    /// The encoded row, which `pieces` cuts.
    pub(super) fn content(&self) -> Result<RowContent, EngineError> {
        let mut content = RowContent::with_capacity(self.capacity());
        self.encode_onto(content.buffer())?;
        Ok(content)
    }

    fn encode_onto(&self, bytes: &mut Bytes) -> Result<(), EngineError> {
        let at = bytes.len();
        bytes.extend_from_slice(&[0; HEAD_LENGTH_BYTES]);
        encode_onto(bytes, &self.head)?;
        let length =
            u16::try_from(bytes.len() - at - HEAD_LENGTH_BYTES).map_err(|_| EngineError::Io("a record's key is too long".to_owned()))?;
        bytes[at..at + HEAD_LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(self.value.map_or(&[], Value::packed));
        Ok(())
    }

    fn capacity(&self) -> usize {
        let names = self.head.key.as_str().len() + self.head.device.as_str().len();
        self.value.map_or(0, Value::packed_bytes) + names + NUMBERS_BYTES
    }
}

/// The bytes of a record's row beside its value and its names, at most: four numbers, a flag, and the marks of all fields.
const NUMBERS_BYTES: usize = 44;

/// The bytes of the number in front of a record's head.
const HEAD_LENGTH_BYTES: usize = 2;

/// The record in an encoded [`RecordRow`]. Its value is copied and not looked at: the checksum of the row says that it is as it was written.
pub(super) fn decode_record(bytes: &[u8]) -> Result<StoredRecord, EngineError> {
    let parts = bytes.split_first_chunk().and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()));
    let (head, value) = parts.ok_or_else(|| undecodable(&"a record that is cut short"))?;
    let head: RecordRowHead<Key, DeviceId> = decode(head)?;
    if value.is_empty() == head.lives {
        return Err(undecodable(&"a record without its value, or a tombstone with one"));
    }
    let record = Record {
        key: head.key,
        content: if head.lives { Content::Value(Value::from_packed(value.to_vec().into())) } else { Content::Removed },
        version: head.version,
        modified_ms: head.modified_ms,
        device: head.device,
    };
    Ok(StoredRecord { record, others_version: head.others_version })
}

/// How a patch was decided, in the slot of its number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PatchRow {
    pub id: u64,
    /// [`Patch::digest`](super::Patch::digest). It distinguishes a retry from another patch with the same number.
    pub digest: u32,
    pub version: u64,
    /// The results, each an encoded [`RecordRow`]; `None` if they were too large to keep, or if its device keeps too many.
    pub results: Option<Vec<ByteRow>>,
    /// Why it was not applied; `None` if it was.
    #[serde(default)]
    pub rejection: Option<PatchRejection>,
}

/// Why a patch was not applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum PatchRejection {
    /// Another device had changed the records with these keys.
    Conflict(Vec<Key>),
    /// With the code and the message that the device got.
    Refused(RefusalCode, String),
}

/// An encoded row inside another row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ByteRow(#[serde(with = "serde_bytes")] pub Bytes);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct IdentityRow {
    pub pool: String,
    pub made_ms: u64,
    /// The identity into which it was merged. It owns nothing any more.
    pub moved_to: Option<String>,
    /// Identities that were merged into it, the newest last.
    pub merged: Vec<String>,
    /// How many of its devices have a live push token. If none has, its writes record no debts.
    #[serde(default)]
    pub push_targets: u32,
    /// Bytes of its datasets, as [`HeadRow::counted_bytes`] counts them.
    #[serde(default)]
    pub owned_bytes: u64,
    /// Identities that are merged into it, whose devices have not all moved yet, in the order in which they move.
    #[serde(default)]
    pub devices_from: Vec<String>,
    /// It was made without a login.
    #[serde(default)]
    pub guest: bool,
    /// The highest version of its datasets whose heads are gone: one that is made later begins above it.
    #[serde(default)]
    pub retired: u64,
}

/// A job on a whole identity, done in bounded steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum JobRow {
    /// All its rows are deleted.
    Erase,
    /// Its datasets move into another identity. The policies decide conflicts: `policy`, and another one for some datasets.
    Merge { into: String, policy: ConflictPolicy, datasets: Vec<(DatasetName, ConflictPolicy)> },
}

/// A tombstone: which record it is, and when it was removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TombstoneRow {
    pub key: Key,
    pub at_ms: u64,
}

/// The epochs from which the store descends (`m lineage`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LineageRow {
    /// The number of the store's own epoch.
    pub number: u32,
    /// The newest of the earlier epochs, by number.
    pub before: Vec<(u32, Epoch)>,
}

/// A login of an identity. Its row is empty if nothing is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LoginRow {
    /// When the login was linked to the identity, in milliseconds since 1970 (UTC). `None`: the identity was made for it.
    pub linked_ms: Option<u64>,
    /// Tokens of the login that were issued until then are refused, in seconds since 1970 (UTC).
    pub refused_until_s: Option<u64>,
}

impl LoginRow {
    pub(super) fn encode(self) -> Result<Bytes, EngineError> {
        if self == LoginRow::default() { Ok(Bytes::new()) } else { encode(&self) }
    }

    pub(super) fn decode(row: &[u8]) -> Result<LoginRow, EngineError> {
        if row.is_empty() { Ok(LoginRow::default()) } else { decode(row) }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeviceRow {
    pub first_seen_ms: u64,
    /// Since when the store has what the device did: since it signed in first, or since it was allowed again after it was revoked.
    pub known_since_ms: u64,
    /// When it was last marked as seen.
    pub seen_ms: u64,
    /// When it was revoked: it may not sign in.
    pub revoked_ms: Option<u64>,
}

/// The version of a dataset that a device has acknowledged.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AckRow {
    pub version: u64,
}

/// A conflict: the device that wrote, the records that another device had changed, and the decision. It never has values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// The dataset's first conflict is number 1.
    pub number: u64,
    /// Milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The device that wrote.
    pub device: DeviceId,
    /// Whether its patch was applied, because the policy is last-writer-wins.
    pub applied: bool,
    /// The first few records in conflict: the key, and the version and the writer of the current state.
    pub records: Vec<(Key, u64, DeviceId)>,
}

pub(super) fn encode<T: Serialize>(row: &T) -> Result<Bytes, EngineError> {
    let mut bytes = Vec::with_capacity(128);
    encode_onto(&mut bytes, row)?;
    Ok(bytes)
}

/// Appends an encoded row.
pub(super) fn encode_onto<T: Serialize>(out: &mut impl std::io::Write, row: &T) -> Result<(), EngineError> {
    rmp_serde::encode::write(out, row).map_err(|e| EngineError::Io(format!("a row cannot be encoded: {e}")))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EngineError> {
    rmp_serde::from_slice(bytes).map_err(|why| undecodable(&why))
}

fn undecodable(why: &dyn std::fmt::Display) -> EngineError {
    EngineError::Damaged(format!("a row cannot be decoded: {why}"))
}
