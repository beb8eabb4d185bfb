//! Where rows stand. Names are length-prefixed, numbers big-endian, so rows of one owner stand together and in the order of their numbers.
//!
//! What an identity owns stands together: `#`, the identity, then the kind. One write and one arrival meet one or two pages of the tree, however
//! many other people there are. Kinds that are gone through across all identities stand for themselves.
//!
//! | kind, for itself | row |
//! | --- | --- |
//! | `m` name | the store's own: `epoch`, `lineage`, `format`, `unfinished`, `erasures` |
//! | `l` pool, issuer, subject | login -> identity |
//! | `r` due, identity, dataset | when the reaper looks at a dataset |
//! | `w` identity | work that is under way: an erasure, a merge |
//! | `t` identity, device | where the device is woken |
//! | `n` pool, family, hash | the device with which a push token stands |
//! | `b` date, identity, dataset | when the courier looks at it |
//!
//! | `#` identity, kind | row |
//! | --- | --- |
//! | `i` | identity: pool, when it was made, what became of it |
//! | `o` pool, issuer, subject | a login that leads here |
//! | `d` device | device: when it was first seen |
//! | `p` device, slot | what became of a patch |
//! | `a` device, dataset | acknowledged version |
//! | `h` dataset | head |
//! | `k` dataset, key | where the record's newest version stands |
//! | `v` dataset, version, ordinal, piece | a record as that version left it |
//! | `x` dataset, slot | a conflict |
//! | `g` dataset, version, ordinal | where a tombstone stands |
//! | `u` dataset, version, piece | history: what that version replaced |
//! | `e` dataset | a version that somebody may be owed |
//! | `q` device | what the device was woken for, and what it may be sent |
//! | `y` device, slot | why it was woken, or was not |

use driftless_protocol::{DatasetName, DeviceId, Key};

use super::Identity;
use super::engine::{Bytes, EngineError};

/// A kind of row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Meta = b'm',
    Login = b'l',
    Identity = b'i',
    Device = b'd',
    Patch = b'p',
    Ack = b'a',
    Head = b'h',
    Key = b'k',
    Version = b'v',
    Conflict = b'x',
    OwnLogin = b'o',
    Gone = b'g',
    History = b'u',
    Due = b'r',
    Work = b'w',
    Push = b't',
    Binding = b'n',
    Debt = b'e',
    WakeDue = b'b',
    PushBudget = b'q',
    WakeLog = b'y',
}

/// The first byte of all rows that stand together by identity.
const PERSON: u8 = b'#';

impl Kind {
    /// Whether its rows stand with the others of their identity.
    pub(super) fn is_with_its_identity(self) -> bool {
        match self {
            Kind::Meta | Kind::Login | Kind::Due | Kind::Work | Kind::Push | Kind::Binding | Kind::WakeDue => false,
            Kind::Identity | Kind::OwnLogin | Kind::Device | Kind::Patch | Kind::Ack | Kind::Head | Kind::Key => true,
            Kind::Version | Kind::Conflict | Kind::Gone | Kind::History | Kind::Debt | Kind::PushBudget | Kind::WakeLog => true,
        }
    }

    /// Whether a key is that of a row of this kind.
    pub(super) fn is_of(self, key: &[u8]) -> bool {
        let kind = match key.split_first() {
            Some((&PERSON, rest)) => {
                let mut parts = Parts(rest);
                parts.name().ok().and_then(|_| parts.0.first())
            }
            _ => key.first(),
        };
        kind == Some(&(self as u8))
    }

    /// Every kind.
    pub(super) const ALL: [Kind; 21] = [
        Kind::Meta,
        Kind::Login,
        Kind::Identity,
        Kind::OwnLogin,
        Kind::Device,
        Kind::Patch,
        Kind::Ack,
        Kind::Head,
        Kind::Key,
        Kind::Version,
        Kind::Conflict,
        Kind::Gone,
        Kind::History,
        Kind::Due,
        Kind::Work,
        Kind::Push,
        Kind::Binding,
        Kind::Debt,
        Kind::WakeDue,
        Kind::PushBudget,
        Kind::WakeLog,
    ];
}

/// A key under construction.
pub(super) struct RowKey(Bytes);

impl RowKey {
    pub(super) fn of(kind: Kind) -> RowKey {
        let mut bytes = Vec::with_capacity(96);
        bytes.push(kind as u8);
        RowKey(bytes)
    }

    /// Of a kind that an identity owns.
    fn owned(kind: Kind, identity: &Identity) -> RowKey {
        if !kind.is_with_its_identity() {
            return RowKey::of(kind).name(identity);
        }
        let mut bytes = Vec::with_capacity(112);
        bytes.push(PERSON);
        let mut key = RowKey(bytes).name(identity);
        key.0.push(kind as u8);
        key
    }

    pub(super) fn name(mut self, name: impl AsRef<[u8]>) -> RowKey {
        // Names are bounded far below 64 KiB by their types and by the bounds on tokens.
        let name = name.as_ref();
        self.0.extend_from_slice(&(name.len() as u16).to_be_bytes());
        self.0.extend_from_slice(name);
        self
    }

    pub(super) fn version(mut self, version: u64) -> RowKey {
        self.0.extend_from_slice(&version.to_be_bytes());
        self
    }

    pub(super) fn number(mut self, number: u16) -> RowKey {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn done(self) -> Bytes {
        self.0
    }
}

pub(super) fn meta(name: &str) -> Bytes {
    RowKey::of(Kind::Meta).name(name).done()
}

pub(super) fn login(pool: &str, issuer: &str, subject: &str) -> Bytes {
    RowKey::of(Kind::Login).name(pool).name(issuer).name(subject).done()
}

/// All logins of a pool.
pub(super) fn logins(pool: &str) -> Bytes {
    RowKey::of(Kind::Login).name(pool).done()
}

/// All logins of a pool's issuer.
pub(super) fn logins_of(pool: &str, issuer: &str) -> Bytes {
    RowKey::of(Kind::Login).name(pool).name(issuer).done()
}

pub(super) fn identity(identity: &Identity) -> Bytes {
    RowKey::owned(Kind::Identity, identity).done()
}

pub(super) fn devices(identity: &Identity) -> Bytes {
    RowKey::owned(Kind::Device, identity).done()
}

pub(super) fn device(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::owned(Kind::Device, identity).name(device.as_str()).done()
}

pub(super) fn patches(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::owned(Kind::Patch, identity).name(device.as_str()).done()
}

pub(super) fn patch(identity: &Identity, device: &DeviceId, slot: u16) -> Bytes {
    RowKey::owned(Kind::Patch, identity).name(device.as_str()).number(slot).done()
}

pub(super) fn ack(identity: &Identity, device: &DeviceId, dataset: &DatasetName) -> Bytes {
    RowKey::owned(Kind::Ack, identity).name(device.as_str()).name(dataset.as_str()).done()
}

pub(super) fn heads(identity: &Identity) -> Bytes {
    RowKey::owned(Kind::Head, identity).done()
}

pub(super) fn head(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::owned(Kind::Head, identity).name(dataset.as_str()).done()
}

pub(super) fn key(identity: &Identity, dataset: &DatasetName, key: &Key) -> Bytes {
    RowKey::owned(Kind::Key, identity).name(dataset.as_str()).name(key.as_str()).done()
}

pub(super) fn versions(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::owned(Kind::Version, identity).name(dataset.as_str()).done()
}

pub(super) fn version(identity: &Identity, dataset: &DatasetName, version: u64, ordinal: u16) -> Bytes {
    RowKey::owned(Kind::Version, identity).name(dataset.as_str()).version(version).number(ordinal).done()
}

pub(super) fn conflicts(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::owned(Kind::Conflict, identity).name(dataset.as_str()).done()
}

pub(super) fn conflict(identity: &Identity, dataset: &DatasetName, slot: u16) -> Bytes {
    RowKey::owned(Kind::Conflict, identity).name(dataset.as_str()).number(slot).done()
}

pub(super) fn own_logins(identity: &Identity) -> Bytes {
    RowKey::owned(Kind::OwnLogin, identity).done()
}

pub(super) fn own_login(identity: &Identity, pool: &str, issuer: &str, subject: &str) -> Bytes {
    RowKey::owned(Kind::OwnLogin, identity).name(pool).name(issuer).name(subject).done()
}

pub(super) fn gone(identity: &Identity, dataset: &DatasetName, version: u64, ordinal: u16) -> Bytes {
    RowKey::owned(Kind::Gone, identity).name(dataset.as_str()).version(version).number(ordinal).done()
}

pub(super) fn history(identity: &Identity, dataset: &DatasetName, version: u64) -> Bytes {
    RowKey::owned(Kind::History, identity).name(dataset.as_str()).version(version).done()
}

pub(super) fn due(at_ms: u64, identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(Kind::Due).version(at_ms).name(identity).name(dataset.as_str()).done()
}

/// The end of all dates up to and with this one.
pub(super) fn due_until(at_ms: u64) -> Bytes {
    RowKey::of(Kind::Due).version(at_ms.saturating_add(1)).done()
}

pub(super) fn work(identity: &Identity) -> Bytes {
    RowKey::owned(Kind::Work, identity).done()
}

pub(super) fn push(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::owned(Kind::Push, identity).name(device.as_str()).done()
}

pub(super) fn binding(pool: &str, family: &[u8], hash: &[u8]) -> Bytes {
    RowKey::of(Kind::Binding).name(pool).name(family).name(hash).done()
}

pub(super) fn owed(identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::owned(Kind::Debt, identity).name(dataset.as_str()).done()
}

pub(super) fn wake_due(at_ms: u64, identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::of(Kind::WakeDue).version(at_ms).name(identity).name(dataset.as_str()).done()
}

/// The end of all dates up to and with this one.
pub(super) fn wake_due_until(at_ms: u64) -> Bytes {
    RowKey::of(Kind::WakeDue).version(at_ms.saturating_add(1)).done()
}

pub(super) fn purse(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::owned(Kind::PushBudget, identity).name(device.as_str()).done()
}

pub(super) fn wake_log(identity: &Identity, device: &DeviceId) -> Bytes {
    RowKey::owned(Kind::WakeLog, identity).name(device.as_str()).done()
}

pub(super) fn wake_entry(identity: &Identity, device: &DeviceId, slot: u16) -> Bytes {
    RowKey::owned(Kind::WakeLog, identity).name(device.as_str()).number(slot).done()
}

/// All rows of a kind that stands for itself; in format 2 and before it, of every kind.
pub(super) fn kind(kind: Kind) -> Bytes {
    RowKey::of(kind).done()
}

/// All rows that stand together by identity.
pub(super) fn people() -> Bytes {
    vec![PERSON]
}

/// All rows of a kind that belong to an identity.
pub(super) fn owned(kind: Kind, identity: &Identity) -> Bytes {
    RowKey::owned(kind, identity).done()
}

/// All rows of a kind that belong to a dataset.
pub(super) fn of_dataset(kind: Kind, identity: &Identity, dataset: &DatasetName) -> Bytes {
    RowKey::owned(kind, identity).name(dataset.as_str()).done()
}

/// The parts of a key, read in the order in which they were written.
pub(super) struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// Of a key behind its prefix.
    pub(super) fn after(key: &'a [u8], prefix: &[u8]) -> Result<Parts<'a>, EngineError> {
        key.strip_prefix(prefix).map(Parts).ok_or_else(unreadable)
    }

    pub(super) fn name(&mut self) -> Result<&'a str, EngineError> {
        let length = usize::from(self.number()?);
        let (name, rest) = self.0.split_at_checked(length).ok_or_else(unreadable)?;
        self.0 = rest;
        std::str::from_utf8(name).map_err(|_| unreadable())
    }

    /// All that was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn dataset(&mut self) -> Result<DatasetName, EngineError> {
        DatasetName::new(self.name()?).map_err(|_| unreadable())
    }

    pub(super) fn device(&mut self) -> Result<DeviceId, EngineError> {
        DeviceId::new(self.name()?).map_err(|_| unreadable())
    }

    pub(super) fn version(&mut self) -> Result<u64, EngineError> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(unreadable)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*number))
    }

    pub(super) fn number(&mut self) -> Result<u16, EngineError> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(unreadable)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }
}

fn unreadable() -> EngineError {
    EngineError::Damaged("a row's key".to_owned())
}

/// The first key after all that begin with a prefix.
pub(super) fn after(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_alike_do_not_mix() {
        let identity = Identity::from("local:1");
        let of = |name: &str| versions(&identity, &DatasetName::new(name).expect("a name"));
        let (short, long) = (of("a"), of("ab"));
        assert!(!long.starts_with(&short));
    }

    #[test]
    fn versions_stand_in_their_order() {
        let identity = Identity::from("local:1");
        let dataset = DatasetName::new("d").expect("a name");
        let rows: Vec<Bytes> = [(1, 0), (1, 1), (2, 0), (255, 0), (256, 0), (u64::MAX, 9)]
            .map(|(number, ordinal)| version(&identity, &dataset, number, ordinal))
            .into();
        assert!(rows.is_sorted());
        let end = after(&versions(&identity, &dataset));
        assert!(rows.iter().all(|row| *row < end));
    }

    #[test]
    fn what_an_identity_owns_stands_together_and_each_row_says_its_kind() {
        let (one, other) = (Identity::from("local:1"), Identity::from("local:12"));
        let dataset = DatasetName::new("d").expect("a name");
        let of = |identity: &Identity| [head(identity, &dataset), versions(identity, &dataset), owned(Kind::Patch, identity)];
        assert!(of(&one).iter().all(|row| row.starts_with(&people()) && of(&other).iter().all(|other| row < other)));
        for kind in Kind::ALL {
            let row = owned(kind, &one);
            assert!(Kind::ALL.iter().all(|other| other.is_of(&row) == (*other == kind)), "{kind:?}");
        }
        assert!(Kind::ALL.iter().all(|kind| !kind.is_of(b"") && !kind.is_of(b"#") && !kind.is_of(b"#\0\x05abc")));
    }

    #[test]
    fn the_end_of_a_prefix_is_right_at_the_last_byte() {
        assert_eq!(after(b"ab"), b"ac");
        assert_eq!(after(b"a\xff"), b"b");
        assert_eq!(
            Parts::after(&work(&Identity::from("x")), b"w").and_then(|mut parts| parts.name().map(str::to_owned)),
            Ok("x".to_owned())
        );
    }
}
