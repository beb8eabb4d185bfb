//! A mix of messages that one account sends from a number of sessions.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The most sessions of a mix: an identity has 100 devices, and one of them writes the data that is attacked.
pub const MAX_SESSIONS: u32 = 99;

/// Records of the account's stock, of 786 KB each: 15 MB, a little below the bound of a dataset (16 MiB).
pub const STOCK_RECORDS: u32 = 19;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackMix {
    /// The beginning of the names of its figures.
    pub name: String,
    /// The seed of the choices among messages, keys and datasets.
    #[serde(default)]
    pub seed: u32,
    /// The number of sessions, each of another device of the account.
    pub sessions: u32,
    /// Messages that a session sends before it waits for an answer.
    #[serde(default = "one")]
    pub window: u32,
    /// Whether the sessions use JSON, not MessagePack.
    #[serde(default)]
    pub json: bool,
    /// The share of sessions that send and never read, in percent.
    #[serde(default)]
    pub not_reading_percent: u32,
    pub messages: Vec<MessageShape>,
}

/// A kind of message and its bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageShape {
    pub kind: MessageKind,
    /// How often it is chosen, relative to the other shapes.
    #[serde(default = "one")]
    pub weight: u32,
    /// Changes of a patch.
    #[serde(default = "one")]
    pub changes: u32,
    /// Bytes of a key.
    #[serde(default = "key_bytes")]
    pub key_bytes: u32,
    /// The number of different keys.
    #[serde(default = "keys")]
    pub keys: u32,
    #[serde(default)]
    pub value: ValueShape,
    /// About how large a value is in MessagePack, or a token, in bytes.
    #[serde(default = "value_bytes")]
    pub value_bytes: u32,
    #[serde(default)]
    pub base: BaseChoice,
    /// The number of datasets, each of which a message may name.
    #[serde(default = "one")]
    pub datasets: u32,
    /// Whether it names the account's stock, a dataset of 15 MB with large records, which another device wrote.
    #[serde(default)]
    pub stock: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    Put,
    Remove,
    Add,
    Merge,
    Insert,
    Discard,
    Open,
    Close,
    List,
    Ack,
    Renew,
    Register,
    Unregister,
    Ping,
    Hello,
}

impl MessageKind {
    pub const ALL: [MessageKind; 15] = [
        MessageKind::Put,
        MessageKind::Remove,
        MessageKind::Add,
        MessageKind::Merge,
        MessageKind::Insert,
        MessageKind::Discard,
        MessageKind::Open,
        MessageKind::Close,
        MessageKind::List,
        MessageKind::Ack,
        MessageKind::Renew,
        MessageKind::Register,
        MessageKind::Unregister,
        MessageKind::Ping,
        MessageKind::Hello,
    ];

    /// Whether a message of this kind works on a dataset that it names.
    pub fn names_dataset(self) -> bool {
        use MessageKind::*;
        match self {
            Put | Remove | Add | Merge | Insert | Discard | Open | Close | Ack => true,
            List | Renew | Register | Unregister | Ping | Hello => false,
        }
    }

    /// Whether a session waits for an answer. The others are refused or not answered at all, and a ping's answer is not counted.
    pub fn is_answered(self) -> bool {
        !matches!(self, MessageKind::Close | MessageKind::Ack | MessageKind::Ping)
    }
}

/// What a value is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueShape {
    #[default]
    Text,
    /// One number.
    Number,
    /// A list of different whole numbers above 2^60, of nine bytes each.
    Numbers,
    /// A list of equal maps of one member, of four bytes each.
    Maps,
    /// One map of many members.
    Object,
    /// A list of lists, as deep as it may be.
    Nested,
}

impl ValueShape {
    pub const ALL: [ValueShape; 6] =
        [ValueShape::Text, ValueShape::Number, ValueShape::Numbers, ValueShape::Maps, ValueShape::Object, ValueShape::Nested];
}

/// The base of a put or remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseChoice {
    #[default]
    None,
    /// 0, which conflicts with every record of another device.
    Zero,
    /// The version that the session's last write made.
    Current,
    /// A version that no dataset has.
    Ahead,
}

impl BaseChoice {
    pub const ALL: [BaseChoice; 4] = [BaseChoice::None, BaseChoice::Zero, BaseChoice::Current, BaseChoice::Ahead];
}

/// A file of mixes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixFile {
    #[serde(default)]
    pub mixes: Vec<AttackMix>,
}

impl MixFile {
    pub fn read(path: &Path) -> Result<MixFile, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes a file that begins with a comment.
    pub fn write(&self, path: &Path, comment: &str) -> Result<(), String> {
        let text = toml::to_string(self).map_err(|error| error.to_string())?;
        std::fs::write(path, format!("# {comment}\n\n{text}")).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// The worst mixes that a search has found, as the repository keeps them.
    pub fn worst() -> Result<MixFile, String> {
        MixFile::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mixes/worst.toml"))
    }
}

fn one() -> u32 {
    1
}

fn key_bytes() -> u32 {
    8
}

fn keys() -> u32 {
    1000
}

fn value_bytes() -> u32 {
    200
}
