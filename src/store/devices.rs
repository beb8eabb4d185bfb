//! Devices of an identity: who is known, what they wrote last, what they acknowledged.

use driftless_protocol::{DatasetName, DeviceId};

use super::commit::Group;
use super::engine::Batch;
use super::rows::{self, AckRow, DeviceRow, PatchRow};
use super::{Identity, Store, StoreError, keys};

/// Whether a device may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is known, now at the latest.
    Admitted,
    /// The identity has as many devices as its pool allows.
    TooMany,
}

impl Store {
    /// Whether a device was here before.
    pub fn knows(&self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        Ok(self.engine.get(&[keys::device(identity, device)])?.pop().flatten().is_some())
    }

    /// The highest patch number of a device, 0 if none.
    pub fn newest_patch(&self, identity: &Identity, device: &DeviceId) -> Result<u64, StoreError> {
        let prefix = keys::patches(identity, device);
        let mut newest = 0;
        for (_, row) in self.engine.scan(&prefix, &keys::after(&prefix), usize::MAX)? {
            newest = newest.max(rows::decode::<PatchRow>(&row)?.id);
        }
        Ok(newest)
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
