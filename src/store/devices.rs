//! Devices of an identity: who is known, what they wrote last, what they acknowledged.

use driftless_protocol::{DatasetName, DeviceId};

use super::commit::Group;
use super::engine::Batch;
use super::rows::{self, AckRow, DeviceRow, PatchRow};
use super::{Identity, Store, StoreError, keys, pieces};

/// Whether a device may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is known, now at the latest.
    Admitted,
    /// The identity has as many devices as its pool allows.
    TooMany,
}

/// What the store knows of a device at its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKnown {
    /// It was never here.
    No,
    /// It was here.
    Yes {
        /// Its highest applied patch number, 0 if none.
        patch: u64,
    },
}

impl Store {
    /// Whether a device is known, and its highest patch number.
    pub fn device(&self, identity: &Identity, device: &DeviceId) -> Result<DeviceKnown, StoreError> {
        if self.engine.get(&[keys::device(identity, device)])?.pop().flatten().is_none() {
            return Ok(DeviceKnown::No);
        }
        let prefix = keys::patches(identity, device);
        let mut patch = 0;
        for (key, row) in self.engine.scan(&prefix, &keys::after(&prefix), usize::MAX)? {
            // Only a slot's first piece says its number; a result in several pieces is decoded as far as that.
            if keys::last_number(&key) == Some(0) {
                patch = patch.max(patch_number(pieces::part(&row)?.1)?);
            }
        }
        Ok(DeviceKnown::Yes { patch })
    }

    /// The version that a device has acknowledged, 0 if none.
    pub fn acknowledged(&self, identity: &Identity, device: &DeviceId, dataset: &DatasetName) -> Result<u64, StoreError> {
        let row = self.engine.get(&[keys::ack(identity, device, dataset)])?.pop().flatten();
        Ok(row.map(|row| rows::decode::<AckRow>(&row)).transpose()?.map_or(0, |row| row.version))
    }
}

impl Group<'_> {
    /// Makes a device known, if there is room.
    pub fn admit(&mut self, identity: &Identity, device: &DeviceId, most: usize, now_ms: u64) -> Result<Admission, StoreError> {
        let key = keys::device(identity, device);
        if self.view.get(&key)?.is_some() {
            return Ok(Admission::Admitted);
        }
        if self.view.scan(&keys::devices(identity))?.len() >= most {
            return Ok(Admission::TooMany);
        }
        let row = rows::encode(&DeviceRow { first_seen_ms: now_ms })?;
        self.view.decide(Batch { guards: vec![(key.clone(), None)], rows: vec![(key, Some(row))] });
        Ok(Admission::Admitted)
    }
}

/// The number at the beginning of a [`PatchRow`], which may be cut.
fn patch_number(row: &[u8]) -> Result<u64, StoreError> {
    if let Ok(row) = rows::decode::<PatchRow>(row) {
        return Ok(row.id);
    }
    // A row of fields without names: one byte for their number, then the first of them.
    rows::decode_first(row.get(1..).unwrap_or_default())
}
