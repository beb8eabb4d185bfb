//! Records as they travel, and the changes that make them.

use serde::de::Error;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::StrictText;
use crate::{DeviceId, Key, Value};

/// What a change does to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Sets the value. May carry a base.
    Put,
    /// Takes the record away. May carry a base, never a value.
    Remove,
    /// Adds a number to the record's number; an absent record counts as 0.
    Add,
    /// Merges a JSON merge patch (RFC 7396) into the record's value.
    Merge,
    /// Puts the elements of a list into the record's set, each at most once.
    Insert,
    /// Takes the elements of a list out of the record's set.
    Discard,
}

/// By name only: derived code would also read the number of a variant.
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

/// One change of a patch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Which record.
    pub key: Key,
    /// What to do to it.
    pub op: Op,
    /// The operand; absent only for [`Op::Remove`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Value>,
    /// The record's version when the device last saw it, 0 if it saw none; absent: this write wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
}

impl Change {
    /// A change without a base.
    pub fn new(key: Key, op: Op, value: impl Into<Option<Value>>) -> Change {
        Change { key, op, value: value.into(), base: None }
    }

    /// The same change, made in view of a version of the record.
    pub fn with_base(self, base: u64) -> Change {
        Change { base: Some(base), ..self }
    }
}

/// A record at a version. On the wire a removed one has `"removed":true` and no `value`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "WireRecord")]
pub struct Record {
    /// Its key.
    pub key: Key,
    /// Its value, or that it was removed.
    pub content: Content,
    /// The version of the dataset that last wrote it.
    pub version: u64,
    /// When the server accepted that write, in milliseconds since 1970 (UTC).
    pub modified_ms: u64,
    /// The device that wrote it.
    pub device: DeviceId,
}

/// A record's value, or its tombstone.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The record lives.
    Value(Value),
    /// The record was removed.
    Removed,
}

impl Content {
    /// The value, if the record lives.
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

/// Tells a member that is `null` from one that is not there.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
