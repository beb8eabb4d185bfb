//! The keys of rows. Names are length-prefixed and numbers big-endian, so that the rows of one owner stand together and in the
//! order of their numbers. `row_kinds` says which kinds there are and what their keys consist of.

use driftless_protocol::{DatasetName, DeviceId, Key};

use super::engine::{Bytes, EngineError};
use super::identity::Identity;
use super::user_pool_id::UserPoolId;

pub(super) use super::row_kinds::RowKind;

use super::account::AccountId;
use super::row_kinds::{ACCOUNT_MARK, BUCKET_MARK, IDENTITY_MARK, USER_POOL_MARK};

impl RowKind {
    /// Whether a key is that of a row of this kind.
    pub(super) fn is_of(self, key: &[u8]) -> bool {
        let letter = match key.split_first() {
            Some((&(IDENTITY_MARK | ACCOUNT_MARK | BUCKET_MARK), rest)) => {
                let mut parts = KeyParts(rest);
                parts.name().ok().and_then(|_| parts.0.first())
            }
            Some((&USER_POOL_MARK, rest)) => {
                let mut parts = KeyParts(rest);
                parts.name().and_then(|_| parts.name()).ok().and_then(|_| parts.0.first())
            }
            _ => key.first(),
        };
        letter == Some(&self.letter()) && key.first() == Some(&self.owner_mark().unwrap_or(self.letter()))
    }
}

/// A key under construction.
struct RowKey {
    kind: RowKind,
    bytes: Bytes,
}

impl RowKey {
    /// Begins a key. Where the kind's rows stand with their owner, [`RowKey::identity`], [`RowKey::account`] or the bucket's name comes next and adds the letter.
    fn of(kind: RowKind) -> RowKey {
        let (first, capacity) = kind.owner_mark().map_or((kind.letter(), 96), |mark| (mark, 112));
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(first);
        RowKey { kind, bytes }
    }

    fn identity(self, identity: &Identity) -> RowKey {
        self.owner(identity)
    }

    fn account(self, account: &AccountId) -> RowKey {
        self.owner(account.as_str())
    }

    /// A user of a user pool; the pool itself is the one with no name.
    fn user(self, pool: &UserPoolId, name: &str) -> RowKey {
        self.name(pool.as_str()).owner(name)
    }

    fn owner(self, owner: impl AsRef<[u8]>) -> RowKey {
        let kind = self.kind;
        let mut key = self.name(owner);
        if kind.owner_mark().is_some() {
            key.bytes.push(kind.letter());
        }
        key
    }

    fn dataset(self, dataset: &DatasetName) -> RowKey {
        self.name(dataset.as_str())
    }

    fn device(self, device: &DeviceId) -> RowKey {
        self.name(device.as_str())
    }

    fn name(mut self, name: impl AsRef<[u8]>) -> RowKey {
        // Names are bounded far below 64 KiB by their types and by the bounds on tokens.
        let name = name.as_ref();
        self.bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
        self.bytes.extend_from_slice(name);
        self
    }

    /// A version, or a date in milliseconds.
    fn version(mut self, version: u64) -> RowKey {
        self.bytes.extend_from_slice(&version.to_be_bytes());
        self
    }

    /// An ordinal or a slot.
    fn number(mut self, number: u16) -> RowKey {
        self.bytes.extend_from_slice(&number.to_be_bytes());
        self
    }

    fn done(self) -> Bytes {
        self.bytes
    }
}

/// Whose row it is: the id for the owner's fence. It takes the key of a row, or a prefix of one that names the owner.
///
/// Identities own their rows and the index rows of these. A login and the binding of a push token are owners of their own, because what they
/// lead to changes. The rows of the store itself have one owner.
pub(super) fn owner(key: &[u8]) -> &[u8] {
    let Some((&first, rest)) = key.split_first() else { return key };
    let behind = match first {
        IDENTITY_MARK => rest,
        // With the mark: no identity has the name of an account or of a bucket.
        ACCOUNT_MARK | BUCKET_MARK => return key.get(..1 + name_bytes(rest)).unwrap_or(key),
        // The pool and the user: a user's rows are an owner of their own.
        USER_POOL_MARK => {
            let pool = name_bytes(rest);
            let user = rest.get(pool..).map_or(0, name_bytes);
            return key.get(..1 + pool + user).unwrap_or(key);
        }
        letter if [RowKind::Registration, RowKind::Job, RowKind::Rewind].iter().any(|kind| letter == kind.letter()) => rest,
        // A date stands before the identity.
        letter if letter == RowKind::ReapDue.letter() || letter == RowKind::WakeDue.letter() => {
            rest.get(size_of::<u64>()..).unwrap_or(rest)
        }
        letter if letter == RowKind::Meta.letter() => return &key[..1],
        _ => return key,
    };
    match behind.split_first_chunk() {
        Some((length, _)) => behind.get(..length.len() + usize::from(u16::from_be_bytes(*length))).unwrap_or(key),
        None => key,
    }
}

/// The bytes of the name at the beginning, with its length.
fn name_bytes(key: &[u8]) -> usize {
    key.split_first_chunk().map_or(0, |(length, _)| length.len() + usize::from(u16::from_be_bytes(*length)))
}

/// Whether the row of a key is set by one write, deleted by a later one, and never set again: a version's own rows. No version is used twice (I1).
/// A tombstone is not among them: the reaper corrects its date.
pub(super) fn is_written_once(key: &[u8]) -> bool {
    [RowKind::Record, RowKind::History].into_iter().any(|kind| kind.is_of(key))
}

/// The prefix of all rows of a kind that stands by kind.
pub(super) fn of_kind(kind: RowKind) -> Bytes {
    debug_assert!(kind.owner_mark().is_none(), "rows of {kind:?} do not stand together");
    RowKey::of(kind).done()
}

/// The prefix of all rows that stand with their identity.
pub(super) fn all_identities() -> Bytes {
    vec![IDENTITY_MARK]
}

/// The prefix of all rows of a kind that an identity owns.
pub(super) fn of_identity(kind: RowKind, identity: &Identity) -> Bytes {
    RowKey::of(kind).identity(identity).done()
}

/// The prefix of all rows of a kind that belong to a dataset.
pub(super) fn of_dataset(kind: RowKind, identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(kind).identity(identity).dataset(dataset).done()
}

/// The key of an identity pool: its name if it is declared, else its id. Each pool is an owner of its own.
pub(super) fn identity_pool(key: &str) -> Bytes {
    RowKey::of(RowKind::IdentityPool).name(key).done()
}

pub(super) fn keyring(name: &str) -> Bytes {
    RowKey::of(RowKind::Keyring).name(name).done()
}

pub(super) fn meta(name: &str) -> Bytes {
    RowKey::of(RowKind::Meta).name(name).done()
}

pub(super) fn login(pool: &str, issuer: &str, subject: &str) -> Bytes {
    RowKey::of(RowKind::Login).name(pool).name(issuer).name(subject).done()
}

/// The prefix of a pool's logins.
pub(super) fn logins(pool: &str) -> Bytes {
    RowKey::of(RowKind::Login).name(pool).done()
}

/// The prefix of a pool's logins from one issuer.
pub(super) fn logins_of(pool: &str, issuer: &str) -> Bytes {
    RowKey::of(RowKind::Login).name(pool).name(issuer).done()
}

/// Where the logins of an issuer begin whose subjects have this length and begin with a text.
pub(super) fn login_from(pool: &str, issuer: &str, length: usize, prefix: &str) -> Bytes {
    let mut key = logins_of(pool, issuer);
    key.extend_from_slice(&(length as u16).to_be_bytes());
    key.extend_from_slice(prefix.as_bytes());
    key
}

pub(super) fn identity(identity: &Identity) -> Bytes {
    RowKey::of(RowKind::Identity).identity(identity).done()
}

pub(super) fn identity_logins(identity: &Identity) -> Bytes {
    RowKey::of(RowKind::IdentityLogin).identity(identity).done()
}

pub(super) fn identity_login(identity: &Identity, pool: &str, issuer: &str, subject: &str) -> Bytes {
    RowKey::of(RowKind::IdentityLogin).identity(identity).name(pool).name(issuer).name(subject).done()
}

pub(super) fn devices(identity: &Identity) -> Bytes {
    RowKey::of(RowKind::Device).identity(identity).done()
}

pub(super) fn device(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::of(RowKind::Device).identity(identity).device(device).done()
}

/// The prefix of all rows of a kind that a device owns.
pub(super) fn of_device(kind: RowKind, identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::of(kind).identity(identity).device(device).done()
}

pub(super) fn patch(identity: &Identity, device: &DeviceId, slot: u16) -> Bytes {
    RowKey::of(RowKind::Patch).identity(identity).device(device).number(slot).done()
}

pub(super) fn ack(identity: &Identity, device: &DeviceId, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::Ack).identity(identity).device(device).dataset(dataset).done()
}

pub(super) fn heads(identity: &Identity) -> Bytes {
    RowKey::of(RowKind::Head).identity(identity).done()
}

pub(super) fn head(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::Head).identity(identity).dataset(dataset).done()
}

pub(super) fn pointer(identity: &Identity, dataset: &DatasetName, key: &Key) -> Bytes {
    RowKey::of(RowKind::Pointer).identity(identity).dataset(dataset).name(key.as_str()).done()
}

pub(super) fn records(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::Record).identity(identity).dataset(dataset).done()
}

/// A record's key, to which `pieces` adds the number of each piece.
pub(super) fn record(identity: &Identity, dataset: &DatasetName, version: u64, ordinal: u16) -> Bytes {
    RowKey::of(RowKind::Record).identity(identity).dataset(dataset).version(version).number(ordinal).done()
}

pub(super) fn tombstone(identity: &Identity, dataset: &DatasetName, version: u64, ordinal: u16) -> Bytes {
    RowKey::of(RowKind::Tombstone).identity(identity).dataset(dataset).version(version).number(ordinal).done()
}

/// The key of a version's history, to which `pieces` adds the number of each piece.
pub(super) fn history(identity: &Identity, dataset: &DatasetName, version: u64) -> Bytes {
    RowKey::of(RowKind::History).identity(identity).dataset(dataset).version(version).done()
}

pub(super) fn conflicts(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::Conflict).identity(identity).dataset(dataset).done()
}

pub(super) fn conflict(identity: &Identity, dataset: &DatasetName, slot: u16) -> Bytes {
    RowKey::of(RowKind::Conflict).identity(identity).dataset(dataset).number(slot).done()
}

pub(super) fn reap_due(at_ms: u64, identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::ReapDue).version(at_ms).identity(identity).dataset(dataset).done()
}

/// The end of the range of all dates up to and including this one.
pub(super) fn reap_due_until(at_ms: u64) -> Bytes {
    RowKey::of(RowKind::ReapDue).version(at_ms.saturating_add(1)).done()
}

pub(super) fn job(identity: &Identity) -> Bytes {
    RowKey::of(RowKind::Job).identity(identity).done()
}

pub(super) fn rewind(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::Rewind).identity(identity).dataset(dataset).done()
}

pub(super) fn registration(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::of(RowKind::Registration).identity(identity).device(device).done()
}

pub(super) fn token_binding(pool: &str, family: &[u8], hash: &[u8]) -> Bytes {
    RowKey::of(RowKind::TokenBinding).name(pool).name(family).name(hash).done()
}

pub(super) fn debt(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::Debt).identity(identity).dataset(dataset).done()
}

pub(super) fn wake_due(at_ms: u64, identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(RowKind::WakeDue).version(at_ms).identity(identity).dataset(dataset).done()
}

/// The end of the range of all dates up to and including this one.
pub(super) fn wake_due_until(at_ms: u64) -> Bytes {
    RowKey::of(RowKind::WakeDue).version(at_ms.saturating_add(1)).done()
}

pub(super) fn push_budget(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::of(RowKind::PushBudget).identity(identity).device(device).done()
}

pub(super) fn delivery_log(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::of(RowKind::DeliveryLog).identity(identity).device(device).done()
}

pub(super) fn delivery_log_entry(identity: &Identity, device: &DeviceId, slot: u16) -> Bytes {
    RowKey::of(RowKind::DeliveryLog).identity(identity).device(device).number(slot).done()
}

/// The first key after all keys with a prefix.
pub(super) fn prefix_end(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The parts of a key, read in the order in which they were written.
pub(super) struct KeyParts<'a>(&'a [u8]);

impl<'a> KeyParts<'a> {
    /// The parts of a key after its prefix.
    pub(super) fn after(key: &'a [u8], prefix: &[u8]) -> Result<KeyParts<'a>, EngineError> {
        key.strip_prefix(prefix).map(KeyParts).ok_or_else(malformed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn name(&mut self) -> Result<&'a str, EngineError> {
        let length = usize::from(self.number()?);
        let (name, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = rest;
        std::str::from_utf8(name).map_err(|_| malformed())
    }

    pub(super) fn dataset(&mut self) -> Result<DatasetName, EngineError> {
        DatasetName::new(self.name()?).map_err(|_| malformed())
    }

    pub(super) fn device(&mut self) -> Result<DeviceId, EngineError> {
        DeviceId::new(self.name()?).map_err(|_| malformed())
    }

    pub(super) fn version(&mut self) -> Result<u64, EngineError> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*number))
    }

    pub(super) fn number(&mut self) -> Result<u16, EngineError> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(malformed)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }
}

fn malformed() -> EngineError {
    EngineError::Damaged("a row's key is malformed".to_owned())
}

mod accounts;
mod buckets;
mod user_pools;

pub(super) use accounts::*;
pub(super) use buckets::*;
pub(super) use user_pools::*;

#[cfg(test)]
mod tests;
