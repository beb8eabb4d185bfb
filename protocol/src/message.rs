//! The messages of the protocol; `PROTOCOL.md` §2 and §3 say when each is sent.

use serde::{Deserialize, Serialize};

use crate::{Change, DatasetName, DeviceId, Epoch, Provider, PushLost, Record, RefusalCode, Registration, limits, number};

/// How far a device has received a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The epoch of the store's history that the version belongs to.
    pub epoch: Epoch,
    /// The device has received everything up to this version, inclusive.
    #[serde(deserialize_with = "number::whole")]
    pub version: u64,
}

/// A message of a device. Its `Debug` prints no token and no value.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message of a session: authenticates the device.
    Hello {
        /// A JSON Web Token of one of the pool's issuers.
        token: String,
        /// The id of this installation of the app.
        device: DeviceId,
        /// Name and version of the client library, at most [`limits::CLIENT_BYTES`]; for the server's log only.
        client: String,
    },
    /// Replaces the token of the open session.
    Renew {
        /// A token as in `hello`; it must lead to the same identity.
        token: String,
    },
    /// Asks for a dataset's changes since a position, and subscribes to later ones.
    Open {
        /// The dataset to open; it need not exist yet.
        dataset: DatasetName,
        /// The device's position; absent if it has nothing of the dataset.
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
    },
    /// Ends the subscription to a dataset.
    Close {
        /// The dataset to close.
        dataset: DatasetName,
    },
    /// Asks which datasets the identity has.
    List,
    /// Writes a patch to a dataset.
    Write {
        /// The patch number: the device's own, increasing, from 1 and below [`limits::NUMBER_BOUND`].
        id: u64,
        /// The dataset to write to.
        dataset: DatasetName,
        /// The changes, applied in order, all or none.
        changes: Vec<Change>,
        /// Set if the device writes changes again that a restored backup lost or a merge left out. Such a patch conflicts with newer writes
        /// even if the dataset's policy is that the last writer wins.
        #[serde(skip_serializing_if = "is_false")]
        offer: bool,
    },
    /// Acknowledges that the device has applied everything up to a version, durably if it can.
    Ack {
        /// The dataset that is acknowledged.
        dataset: DatasetName,
        /// The version, inclusive.
        version: u64,
    },
    /// Registers this installation for pushes while it is disconnected; replaces its registration before.
    Register(Registration),
    /// Ends this installation's registration for pushes.
    Unregister,
    /// Asks the server for a `pong`.
    Ping,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

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

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to `hello`: the session begins.
    Welcome {
        /// The identity that the token leads to, `region:uuid`.
        identity: String,
        /// The session's id in the server's log.
        session: String,
        /// The highest patch number of this device that the server knows, 0 if none; the next one must be higher.
        patch: u64,
        /// The longest time between two messages of the device, in seconds.
        heartbeat_s: u64,
        /// How long the token is still valid, in seconds.
        token_expires_in_s: u64,
        /// The bounds of the identity's pool.
        limits: Limits,
        /// Identities that were merged into this one, the newest of them up to [`limits::MERGED_IDENTITIES`]. A device that had one of them keeps its
        /// unanswered patches and discards its positions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        merged: Vec<String>,
        /// Logins that were linked to the identity, the newest first, at most [`limits::LINKED_LOGINS`]: the user recognises each, or somebody else
        /// has a way in.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        linked: Vec<LinkedLogin>,
        /// The device registered for pushes, and no push wakes it any more; sent in each `welcome` until it registers again or unregisters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        push_lost: Option<PushLost>,
        /// Since when the server has what this device did, in milliseconds since 1970 (UTC). If it is another moment than in the device's last
        /// `welcome`, or absent, the server had forgotten the device; absent only over HTTP, where a read makes no device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known_since_ms: Option<u64>,
    },
    /// A page of records that changed after a position.
    Changes {
        /// The dataset that the records belong to.
        dataset: DatasetName,
        /// The epoch of the store's history.
        epoch: Epoch,
        /// The device's version before this page.
        from: u64,
        /// The device's version after this page.
        to: u64,
        /// Whether the device first forgets all records of the dataset, but not its unanswered patches.
        reset: bool,
        /// With `reset`, after the store was restored from a backup: the last version that the history of the device's position and this
        /// history have in common. The store does not have what the device received after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shared: Option<u64>,
        /// Whether another page follows.
        more: bool,
        /// Over HTTP, in the pages for a device that began with nothing: the device sends it with its next request. Such a device needs no tombstones
        /// up to this version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fresh_until: Option<u64>,
        /// The latest state of each record that changed.
        records: Vec<Record>,
    },
    /// The answer to `list`.
    Datasets {
        /// All datasets of the identity.
        datasets: Vec<DatasetInfo>,
    },
    /// The patch is applied and on disk.
    Written {
        /// The patch number.
        id: u64,
        /// The dataset's version that the patch made.
        version: u64,
        /// The results that the device cannot compute: those of `add`, `merge`, `insert` and `discard`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        records: Vec<Record>,
    },
    /// The patch conflicts with writes of another device; nothing of it was applied.
    Conflict {
        /// The patch number.
        id: u64,
        /// The dataset of the patch.
        dataset: DatasetName,
        /// The current state of the records in conflict.
        records: Vec<Record>,
    },
    /// The server refuses a request; the session continues.
    Refused {
        /// The patch number, if the request had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// The dataset, if the request named one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dataset: Option<String>,
        /// The reason, for programs.
        code: RefusalCode,
        /// The reason, for people.
        message: String,
    },
    /// A request: the token expires soon, and the device should send a fresh one.
    Renew {
        /// How long the token is still valid, in seconds.
        expires_in_s: u64,
    },
    /// The answer to the device's `renew`: the session has the token.
    Renewed {
        /// How long the token is valid, in seconds.
        expires_in_s: u64,
    },
    /// The answer to `register`: the registration is on disk.
    Registered {
        /// The push provider.
        provider: Provider,
        /// The app that is registered.
        app: String,
    },
    /// A login was linked to the identity while the session was open.
    Linked {
        /// As in `welcome`.
        logins: Vec<LinkedLogin>,
    },
    /// The answer to `unregister`: the server no longer wakes this installation.
    Unregistered,
    /// The answer to `ping`.
    Pong,
    /// The last message before the server closes the socket.
    Bye {
        /// The close code, as in the close frame; see [`crate::CloseCode`].
        code: u16,
        /// The reason that belongs to the code.
        reason: String,
        /// The cause, for people, where the code alone does not say it: why a token was refused, what is wrong with a message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// After how many milliseconds to reconnect; if absent, with back-off. Of use only if the code says to reconnect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reconnect_after_ms: Option<u64>,
    },
}

/// A login that was linked to an identity: its tokens lead to the identity's data, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedLogin {
    /// The login's issuer, the `iss` of its tokens.
    pub issuer: String,
    /// The user, by the issuer's name for them: the `sub` of its tokens.
    pub subject: String,
    /// When it was linked, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// One dataset in the answer to `list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetInfo {
    /// The dataset's name.
    pub dataset: DatasetName,
    /// The epoch of the store's history.
    pub epoch: Epoch,
    /// The dataset's version.
    pub version: u64,
    /// How many live records it has.
    pub records: u64,
    /// Bytes of the keys and values of its live records, values in MessagePack.
    pub bytes: u64,
}

/// The bounds of a pool, which the server sends in `welcome`. Defaults are the constants of [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The most bytes of UTF-8 in a key.
    pub key_bytes: usize,
    /// The most bytes of a value in MessagePack.
    pub value_bytes: usize,
    /// The most changes in a patch.
    pub changes_per_patch: usize,
    /// The most live records in a dataset.
    pub records: u64,
    /// The most bytes of live keys and values in a dataset.
    pub dataset_bytes: u64,
    /// The most datasets of an identity.
    pub datasets: usize,
    /// The most devices of an identity.
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
