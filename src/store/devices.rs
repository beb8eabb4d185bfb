//! The devices of an identity: whether they may sign in, the newest patch of each, and what each has acknowledged.

use driftless_protocol::{DatasetName, DeviceId};

use super::commit::Group;
use super::engine::{Batch, Bytes};
use super::rows::{self, AckRow, DeviceRow, PatchRow};
use super::{Identity, Store, StoreError, keys};

/// Whether a device may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; the store knows it from now on.
    Admitted,
    /// It is new, and the identity has as many devices as its pool allows.
    TooMany,
    Revoked,
    /// The login's tokens that were issued until then are refused, in seconds since 1970 (UTC).
    TokenRefused {
        until_s: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    pub device: DeviceId,
    /// When it signed in for the first time, in milliseconds since 1970 (UTC).
    pub first_seen_ms: u64,
    /// When it was revoked, in milliseconds since 1970 (UTC).
    pub revoked_ms: Option<u64>,
}

impl Store {
    /// Whether a known device may sign in; `None`: the device is unknown.
    pub fn device_admission(&self, identity: &Identity, device: &DeviceId) -> Result<Option<Admission>, StoreError> {
        self.engine.get(&keys::device(identity, device))?.map(|row| admission(&row)).transpose()
    }

    /// The devices of an identity, in the order of their ids' lengths, then of their ids.
    pub fn devices(&self, identity: &Identity) -> Result<Vec<DeviceInfo>, StoreError> {
        let prefix = keys::devices(identity);
        let rows = self.engine.scan(&prefix, &keys::prefix_end(&prefix), usize::MAX)?;
        let one = |(key, row): &(Bytes, Bytes)| {
            let DeviceRow { first_seen_ms, revoked_ms } = rows::decode(row)?;
            Ok(DeviceInfo { device: keys::KeyParts::after(key, &prefix)?.device()?, first_seen_ms, revoked_ms })
        };
        rows.iter().map(one).collect()
    }

    /// The highest patch number of a device; 0 if it has written nothing.
    pub fn newest_patch_id(&self, identity: &Identity, device: &DeviceId) -> Result<u64, StoreError> {
        let prefix = keys::patches(identity, device);
        let mut newest = 0;
        for (_, row) in self.engine.scan(&prefix, &keys::prefix_end(&prefix), usize::MAX)? {
            newest = newest.max(rows::decode::<PatchRow>(&row)?.id);
        }
        Ok(newest)
    }

    /// The version of a dataset that a device has acknowledged; 0 if none.
    pub fn acknowledged_version(&self, identity: &Identity, device: &DeviceId, dataset: &DatasetName) -> Result<u64, StoreError> {
        let row = self.engine.get(&keys::ack(identity, device, dataset))?;
        Ok(row.map(|row| rows::decode::<AckRow>(&row)).transpose()?.map_or(0, |row| row.version))
    }
}

impl Group<'_> {
    /// Adds a device to an identity that has fewer than `most`, unless the device is known.
    pub fn admit(&mut self, identity: &Identity, device: &DeviceId, most: usize, now_ms: u64) -> Result<Admission, StoreError> {
        let key = keys::device(identity, device);
        if let Some(row) = self.view.get(&key)? {
            return admission(&row);
        }
        if self.view.scan(&keys::devices(identity))?.len() >= most {
            return Ok(Admission::TooMany);
        }
        let row = rows::encode(&DeviceRow { first_seen_ms: now_ms, revoked_ms: None })?;
        self.view.decide(Batch { preconditions: vec![(key.clone(), None)], rows: vec![(key, Some(row))] });
        Ok(Admission::Admitted)
    }

    pub(super) fn is_revoked(&self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        let row = self.view.get(&keys::device(identity, device))?;
        Ok(row.map(|row| admission(&row)).transpose()? == Some(Admission::Revoked))
    }

    /// Revokes a device, or with `None` lets it sign in again. Revoking deletes its push registration. False: the device is unknown.
    pub fn set_revoked(&mut self, identity: &Identity, device: &DeviceId, revoked_ms: Option<u64>) -> Result<bool, StoreError> {
        let key = keys::device(identity, device);
        let Some(row) = self.view.get(&key)? else { return Ok(false) };
        let row = rows::encode(&DeviceRow { revoked_ms, ..rows::decode(&row)? })?;
        self.view.decide(Batch { preconditions: Vec::new(), rows: vec![(key, Some(row))] });
        if revoked_ms.is_some() {
            self.unregister(identity, device)?;
        }
        Ok(true)
    }
}

fn admission(row: &[u8]) -> Result<Admission, StoreError> {
    let DeviceRow { revoked_ms, .. } = rows::decode(row)?;
    Ok(if revoked_ms.is_some() { Admission::Revoked } else { Admission::Admitted })
}
