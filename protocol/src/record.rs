//! Records, and the changes that write them.

use serde::de::Error;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::{CheckedName, InvalidName};
use crate::text::StrictText;
use crate::{DeviceId, Key, NameError, Value, number};

/// The operation of a change on its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Sets the record's value. May have a base.
    Put,
    /// Removes the record. May have a base, never a value.
    Remove,
    /// Adds a number to the record's number; an absent record counts as 0. Never has a base, as the operations below.
    Add,
    /// Applies a JSON merge patch (RFC 7396) to the record's value.
    Merge,
    /// Adds the elements of a list to the record's set, a list without duplicates.
    Insert,
    /// Removes the elements of a list from the record's set.
    Discard,
}

/// Accepts names only: derived code would also accept the index of a variant.
impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Op, D::Error> {
        match StrictText::deserialize(deserializer)?.0.as_str() {
            "put" => Ok(Op::Put),
            "remove" => Ok(Op::Remove),
            "add" => Ok(Op::Add),
            "merge" => Ok(Op::Merge),
            "insert" => Ok(Op::Insert),
            "discard" => Ok(Op::Discard),
            _ => Err(D::Error::custom("op must be put, remove, add, merge, insert or discard")),
        }
    }
}

/// One change of a patch: an operation on one record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "WireChange")]
pub struct Change {
    /// The key of the record.
    pub key: Key,
    /// The operation.
    pub op: Op,
    /// The operand; absent for [`Op::Remove`] and for no other operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The record's version when the device last received it, 0 if it received none. The change conflicts if another device wrote the record
    /// after it with another result. A change without a base never conflicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
}

impl Change {
    /// How many bytes it takes in memory, with its key and its value.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Change>() + self.key.as_str().len() + self.value.as_ref().map_or(0, Value::packed_bytes)
    }
}

/// A change whose key may be invalid.
#[derive(Deserialize)]
pub(crate) struct WireChange {
    key: CheckedName<Key>,
    op: Op,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    #[serde(default, deserialize_with = "number::optional_whole")]
    base: Option<u64>,
}

impl TryFrom<WireChange> for Change {
    type Error = NameError;

    fn try_from(wire: WireChange) -> Result<Change, NameError> {
        let WireChange { key: CheckedName(key), op, value, base } = wire;
        Ok(Change { key: key.map_err(|invalid: Box<InvalidName>| invalid.why)?, op, value, base })
    }
}

impl Change {
    /// A change without a base. The operand is not checked here: the server refuses one that does not fit the operation.
    pub fn new(key: Key, op: Op, value: impl Into<Option<Value>>) -> Change {
        Change { key, op, value: value.into(), base: None }
    }

    /// The same change with a base.
    pub fn with_base(self, base: u64) -> Change {
        Change { base: Some(base), ..self }
    }
}

/// A record, or its tombstone, at a version. On the wire a tombstone has `"removed":true` instead of `value`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "WireRecord")]
pub struct Record {
    /// The record's key, unique within its dataset.
    pub key: Key,
    /// The record's value, or that it was removed.
    pub content: Content,
    /// The dataset's version that last wrote the record.
    pub version: u64,
    /// When the server accepted that write, in milliseconds since 1970 (UTC).
    pub modified_ms: u64,
    /// The device that wrote it; an id that begins with [`crate::limits::RESERVED_DEVICE_PREFIX`] is a writer of the server.
    pub device: DeviceId,
}

impl Record {
    /// How many bytes it takes in memory, with its texts and its value.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Record>() + self.key.as_str().len() + self.device.as_str().len() + self.content.value().map_or(0, Value::packed_bytes)
    }
}

/// A record's value, or its tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The value of a live record.
    Value(Value),
    /// The record was removed: this is a tombstone.
    Removed,
}

impl Content {
    /// The value; `None` for a tombstone.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Content::Value(value) => Some(value),
            Content::Removed => None,
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("Record", 5)?;
        record.serialize_field("key", &self.key)?;
        match &self.content {
            Content::Value(value) => record.serialize_field("value", value)?,
            Content::Removed => record.serialize_field("removed", &true)?,
        }
        record.serialize_field("version", &self.version)?;
        record.serialize_field("modified_ms", &self.modified_ms)?;
        record.serialize_field("device", &self.device)?;
        record.end()
    }
}

#[derive(Deserialize)]
struct WireRecord {
    key: Key,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    #[serde(default)]
    removed: bool,
    version: u64,
    modified_ms: u64,
    device: DeviceId,
}

impl TryFrom<WireRecord> for Record {
    type Error = &'static str;

    fn try_from(wire: WireRecord) -> Result<Record, &'static str> {
        let content = match (wire.value, wire.removed) {
            (Some(value), false) => Content::Value(value),
            (None, true) => Content::Removed,
            _ => return Err("a record has either a value or removed"),
        };
        Ok(Record { key: wire.key, content, version: wire.version, modified_ms: wire.modified_ms, device: wire.device })
    }
}

/// Distinguishes a member that is `null` from an absent one.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
