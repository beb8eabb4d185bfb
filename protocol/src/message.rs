//! The messages of the wire.

use serde::{Deserialize, Serialize};

use crate::{Change, DatasetName, DeviceId, Epoch, Provider, Record, RefusalCode, Registration, limits};

/// What a device has seen of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The store's history that the version belongs to.
    pub epoch: Epoch,
    /// Everything up to and with this version was seen.
    pub version: u64,
}

/// What a device says.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message: who this is.
    Hello {
        /// A JSON Web Token of one of the pool's issuers.
        token: String,
        /// This installation of the app.
        device: DeviceId,
        /// Name and version of the client library, for the server's log only.
        client: String,
    },
    /// A fresh token for the open session.
    Renew {
        /// As in hello; it must lead to the same identity.
        token: String,
    },
    /// Ask for a dataset's changes, now and from now on.
    Open {
        /// Which one; it need not exist yet.
        dataset: DatasetName,
        /// What the device has; absent: nothing.
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
    },
    /// Ask for no more changes of a dataset.
    Close {
        /// Which one.
        dataset: DatasetName,
    },
    /// Ask which datasets there are.
    List,
    /// A patch.
    Write {
        /// The device's own increasing patch number, from 1.
        id: u64,
        /// Where to.
        dataset: DatasetName,
        /// Applied in order, all or none.
        changes: Vec<Change>,
        /// It was written before, and lost by a restored backup or left out by a merge: it conflicts whatever the dataset's policy says.
        #[serde(skip_serializing_if = "is_false")]
        offer: bool,
    },
    /// The device has applied everything up to a version, durably if it can.
    Ack {
        /// Of which dataset.
        dataset: DatasetName,
        /// The version.
        version: u64,
    },
    /// Where this installation is woken while it sleeps; replaces what it registered before.
    Register(Registration),
    /// It is not to be woken any more.
    Unregister,
    /// Asks for a pong.
    Ping,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Prints no token and no value.
impl std::fmt::Debug for ClientMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ClientMessage::Hello { device, client, .. } => write!(f, "hello device={device} client={client:?}"),
            ClientMessage::Renew { .. } => write!(f, "renew"),
            ClientMessage::Open { dataset, position } => write!(f, "open dataset={dataset} position={position:?}"),
            ClientMessage::Close { dataset } => write!(f, "close dataset={dataset}"),
            ClientMessage::List => write!(f, "list"),
            ClientMessage::Write { id, dataset, changes, offer: _ } => {
                write!(f, "write id={id} dataset={dataset} changes={}", changes.len())
            }
            ClientMessage::Ack { dataset, version } => write!(f, "ack dataset={dataset} version={version}"),
            ClientMessage::Register(Registration { target, app, datasets, shown }) => {
                write!(f, "register target={target:?} app={app} datasets={:?} shown={shown}", datasets.as_ref().map(Vec::len))
            }
            ClientMessage::Unregister => write!(f, "unregister"),
            ClientMessage::Ping => write!(f, "ping"),
        }
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to hello.
    Welcome {
        /// Whose data this is, `region:uuid`.
        identity: String,
        /// This session's id, as it stands in the server's log.
        session: String,
        /// The highest patch number that the server knows of this device; the next one is larger.
        patch: u64,
        /// The device says something at least this often, in seconds.
        heartbeat_s: u64,
        /// How long the token holds from now, in seconds.
        token_expires_in_s: u64,
        /// The pool's bounds.
        limits: Limits,
        /// Identities that were merged into this one: a device that was one of them is at home here, with unsent writes and without positions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        merged: Vec<String>,
    },
    /// Records that changed after a position.
    Changes {
        /// Of which dataset.
        dataset: DatasetName,
        /// The store's history.
        epoch: Epoch,
        /// Where this page begins: the device's version before it.
        from: u64,
        /// The device's version after it.
        to: u64,
        /// The device forgets what it had of the dataset first, except its unsent writes.
        reset: bool,
        /// With `reset`, after the store was restored from a backup: the version up to which the history of the device's position is
        /// also this one's. What the device has seen after it is not known here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<u64>,
        /// Another page follows.
        more: bool,
        /// Over HTTP, on the way from nothing: what the device passes back to go on. It needs no tombstones up to this version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fresh_until: Option<u64>,
        /// The latest state of each record that changed.
        records: Vec<Record>,
    },
    /// The answer to list.
    Datasets {
        /// All of the identity's.
        datasets: Vec<DatasetInfo>,
    },
    /// A patch is applied and on disk.
    Written {
        /// The patch number.
        id: u64,
        /// The dataset's version that it made.
        version: u64,
        /// Results that the writer cannot know: of add, merge, insert and discard.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        records: Vec<Record>,
    },
    /// A patch met changes of another device; nothing of it was applied.
    Conflict {
        /// The patch number.
        id: u64,
        /// Where.
        dataset: DatasetName,
        /// The current state of the records in conflict.
        records: Vec<Record>,
    },
    /// A request was not granted. Concerns that request only.
    Refused {
        /// The patch number, if the request had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// The dataset, if the request named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dataset: Option<String>,
        /// Why, for programs.
        code: RefusalCode,
        /// Why, for people.
        message: String,
    },
    /// The token expires soon: send a fresh one. Also the answer to a renewal.
    Renew {
        /// In seconds.
        expires_in_s: u64,
    },
    /// The answer to register: it is on disk.
    Registered {
        /// Who wakes it.
        provider: Provider,
        /// For which app.
        app: String,
    },
    /// The answer to unregister: nothing wakes this device any more.
    Unregistered,
    /// The answer to ping.
    Pong,
    /// The last message before the socket closes.
    Bye {
        /// The close code.
        code: u16,
        /// Its reason.
        reason: String,
        /// When to connect again, in milliseconds; absent: with back-off, if the code says reconnect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reconnect_after_ms: Option<u64>,
    },
}

/// One dataset in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// Its name.
    pub dataset: DatasetName,
    /// The store's history.
    pub epoch: Epoch,
    /// Its version.
    pub version: u64,
    /// Live records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// The bounds of a pool, as a client must keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of UTF-8 in a key.
    pub key_bytes: usize,
    /// Bytes of a value in MessagePack.
    pub value_bytes: usize,
    /// Changes in a patch.
    pub changes_per_patch: usize,
    /// Live records in a dataset.
    pub records: u64,
    /// Bytes of keys and values in a dataset.
    pub dataset_bytes: u64,
    /// Datasets of an identity.
    pub datasets: usize,
    /// Devices of an identity.
    pub devices: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            key_bytes: limits::KEY_BYTES,
            value_bytes: limits::VALUE_BYTES,
            changes_per_patch: limits::CHANGES_PER_PATCH,
            records: limits::RECORDS_PER_DATASET,
            dataset_bytes: limits::DATASET_BYTES,
            datasets: limits::DATASETS_PER_IDENTITY,
            devices: limits::DEVICES_PER_IDENTITY,
        }
    }
}
