//! The devices of an identity: whether they may sign in, when they were seen, the newest patch of each, and what each has acknowledged.
//!
//! - Rows of a device are written only while its own row is there: a device that was forgotten leaves nothing behind, and writes nothing
//!   before it signs in again.
//! - An identity has as many devices as its pool allows, and at most [`REVOKED_DEVICES`] revoked ones, which do not count.

use driftless_protocol::{DatasetName, DeviceId};

use super::commit::Group;
use super::engine::{Bytes, RowBatch};
use super::eviction::{self, CountedDevice, PlaceDecision};
use super::keys::RowKind;
use super::row_source::RowSource;
use super::rows::{self, AckRow, DeviceRow, PatchRow};
use super::{Identity, Store, StoreError, keys, live_identity};

/// How long "last seen" of a device may be out of date, in milliseconds. It says which device was away the longest, of those that were away
/// for days; and a device that reconnects often, or asks over HTTP every minute, causes four writes a day.
pub const SEEN_PRECISION_MS: u64 = 6 * 3600 * 1000;

/// Revoked devices that an identity keeps: those that were revoked last. A forgotten one could sign in again as a new device, so the bound is
/// far above what a person loses in a life; it is there because each is a row that every new device reads.
pub const REVOKED_DEVICES: usize = 1000;

/// Whether a device may sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; the store knows it from now on.
    Admitted,
    /// It is new, and as many devices of the identity as its pool allows have a session now.
    TooMany,
    Revoked,
    /// The login's tokens that were issued until then are refused, in seconds since 1970 (UTC).
    TokenRefused {
        until_s: u64,
    },
}

/// How many devices an identity may have, and which of them make place for none.
pub struct DeviceBound<'a> {
    pub most: usize,
    /// Whether a device has a session now.
    pub is_live: &'a dyn Fn(&DeviceId) -> bool,
}

impl DeviceBound<'_> {
    /// For an identity none of whose devices has a session.
    pub fn without_sessions(most: usize) -> DeviceBound<'static> {
        DeviceBound { most, is_live: &|_| false }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    pub device: DeviceId,
    /// When it signed in for the first time, in milliseconds since 1970 (UTC).
    pub first_seen_ms: u64,
    /// When it was last seen, up to 6 hours out of date, in milliseconds since 1970 (UTC).
    pub seen_ms: u64,
    /// When it was revoked, in milliseconds since 1970 (UTC).
    pub revoked_ms: Option<u64>,
}

impl Store {
    /// Whether a known device may sign in; `None`: the device is unknown.
    pub fn device_admission(&self, identity: &Identity, device: &DeviceId) -> Result<Option<Admission>, StoreError> {
        Ok(live_identity::device_row(&*self.engine, identity, device)?.map(|row| admission(&row)))
    }

    /// Since when the store has what an admitted device did, in milliseconds since 1970 (UTC); `None`: it has nothing.
    pub fn known_since_ms(&self, identity: &Identity, device: &DeviceId) -> Result<Option<u64>, StoreError> {
        Ok(self.device_row(identity, device)?.filter(|row| row.revoked_ms.is_none()).map(|row| row.known_since_ms))
    }

    /// Whether a device that is here now has to be marked as seen: it is admitted, and the last mark is older than 6 hours.
    pub fn should_mark_device_seen(&self, identity: &Identity, device: &DeviceId, now_ms: u64) -> Result<bool, StoreError> {
        Ok(self.device_row(identity, device)?.is_some_and(|row| is_mark_due(&row, now_ms)))
    }

    fn device_row(&self, identity: &Identity, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        self.engine.row(&keys::device(identity, device))
    }

    /// The devices of an identity, in the order of their ids' lengths, then of their ids.
    pub fn devices(&self, identity: &Identity) -> Result<Vec<DeviceInfo>, StoreError> {
        let one = |(name, row): (Bytes, Bytes)| {
            let DeviceRow { first_seen_ms, known_since_ms: _, seen_ms, revoked_ms } = rows::decode(&row)?;
            Ok(DeviceInfo { device: keys::KeyParts::after(&name, &[])?.device()?, first_seen_ms, seen_ms, revoked_ms })
        };
        self.device_rows(identity)?.into_iter().map(one).collect()
    }

    /// The highest patch number of a device; 0 if it has written nothing.
    pub fn newest_patch_id(&self, identity: &Identity, device: &DeviceId) -> Result<u64, StoreError> {
        let prefix = keys::of_device(RowKind::Patch, identity, device);
        let mut newest = 0;
        for (_, row) in self.engine.all_of(&prefix)? {
            newest = newest.max(rows::decode::<PatchRow>(&row)?.id);
        }
        Ok(newest)
    }

    /// The version of a dataset that a device has acknowledged; 0 if none.
    pub fn acknowledged_version(&self, identity: &Identity, device: &DeviceId, dataset: &DatasetName) -> Result<u64, StoreError> {
        Ok(self.engine.row::<AckRow>(&keys::ack(identity, device, dataset))?.map_or(0, |row| row.version))
    }
}

impl Group<'_> {
    /// Adds a device to an identity, unless the device is known. Returns the devices that were forgotten to make place for it.
    pub fn admit(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        bound: &DeviceBound<'_>,
        now_ms: u64,
    ) -> Result<(Admission, Vec<DeviceId>), StoreError> {
        if let Some(row) = self.device_row(identity, device)? {
            return Ok((admission(&row), Vec::new()));
        }
        let forgotten = match eviction::make_place(self.counted_devices(identity, bound)?, bound.most) {
            PlaceDecision::Free => Vec::new(),
            PlaceDecision::Forget(devices) => devices,
            PlaceDecision::NoPlace => return Ok((Admission::TooMany, Vec::new())),
        };
        for device in &forgotten {
            self.forget_device(identity, device)?;
        }
        let key = keys::device(identity, device);
        let row = rows::encode(&DeviceRow { first_seen_ms: now_ms, known_since_ms: now_ms, seen_ms: now_ms, revoked_ms: None })?;
        self.view.decide(vec![(key, Some(row))]);
        Ok((Admission::Admitted, forgotten))
    }

    fn counted_devices(&self, identity: &Identity, bound: &DeviceBound<'_>) -> Result<Vec<CountedDevice>, StoreError> {
        let prefix = keys::devices(identity);
        let mut counted = Vec::new();
        for (key, row) in self.view.all_of(&prefix)? {
            let DeviceRow { seen_ms, revoked_ms: None, .. } = rows::decode(&row)? else { continue };
            let device = keys::KeyParts::after(&key, &prefix)?.device()?;
            counted.push(CountedDevice { device, seen_ms, is_registered: false, is_live: false });
        }
        // What else is read of each decides only who goes.
        if counted.len() >= bound.most {
            for one in &mut counted {
                one.is_registered = self.has_live_token(identity, &one.device)?;
                one.is_live = (bound.is_live)(&one.device);
            }
        }
        Ok(counted)
    }

    /// Forgets a device: its row and all other rows of its own are deleted. To the store it is a new device from then on, whether it was
    /// revoked or not. False: the device is unknown.
    pub fn forget_device(&mut self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        if self.device_row(identity, device)?.is_none() {
            return Ok(false);
        }
        self.unregister(identity, device)?;
        self.delete_of_device(identity, device, &RowKind::OWNED_BY_DEVICE)?;
        Ok(true)
    }

    /// Deletes a device's rows of some kinds: a slot or a dataset each, so a few hundred.
    fn delete_of_device(&mut self, identity: &Identity, device: &DeviceId, kinds: &[RowKind]) -> Result<(), StoreError> {
        let mut batch = RowBatch::new();
        for kind in kinds {
            batch.extend(self.view.all_of(&keys::of_device(*kind, identity, device))?.into_iter().map(|(key, _)| (key, None)));
        }
        self.view.decide(batch);
        Ok(())
    }

    /// Marks a known device as seen.
    pub fn mark_device_seen(&mut self, identity: &Identity, device: &DeviceId, now_ms: u64) -> Result<(), StoreError> {
        match self.device_row(identity, device)? {
            Some(row) if is_mark_due(&row, now_ms) => self.put_device(identity, device, &DeviceRow { seen_ms: now_ms, ..row }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a device is known, revoked or not.
    pub(super) fn is_known(&mut self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        Ok(self.device_row(identity, device)?.is_some())
    }

    /// Whether a known device is let in; `None`: the device is unknown.
    pub(super) fn device_admission(&mut self, identity: &Identity, device: &DeviceId) -> Result<Option<Admission>, StoreError> {
        Ok(self.device_row(identity, device)?.map(|row| admission(&row)))
    }

    /// Whether a device is known and not revoked.
    pub(super) fn is_admitted(&mut self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        Ok(self.device_admission(identity, device)? == Some(Admission::Admitted))
    }

    pub(super) fn is_revoked(&mut self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        Ok(self.device_admission(identity, device)? == Some(Admission::Revoked))
    }

    fn put_device(&mut self, identity: &Identity, device: &DeviceId, row: &DeviceRow) -> Result<(), StoreError> {
        let row = rows::encode(row)?;
        self.view.decide(vec![(keys::device(identity, device), Some(row))]);
        Ok(())
    }

    /// Revokes a device, or with `None` lets it sign in again. Revoking deletes all that the device owns but its row; once it is allowed it is
    /// told that it was forgotten. False: the device is unknown.
    pub fn set_revoked(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        revoked_ms: Option<u64>,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let Some(row) = self.device_row(identity, device)? else { return Ok(false) };
        let known_since_ms = if row.revoked_ms.is_some() && revoked_ms.is_none() { now_ms } else { row.known_since_ms };
        let seen_ms = if revoked_ms.is_none() { now_ms } else { row.seen_ms };
        self.put_device(identity, device, &DeviceRow { revoked_ms, known_since_ms, seen_ms, ..row })?;
        if revoked_ms.is_some() {
            self.unregister(identity, device)?;
            let owned: Vec<RowKind> = RowKind::OWNED_BY_DEVICE.into_iter().filter(|kind| *kind != RowKind::Device).collect();
            self.delete_of_device(identity, device, &owned)?;
            self.bound_revoked(identity)?;
        }
        Ok(true)
    }

    /// Forgets the devices that were revoked first, if more are revoked than an identity keeps.
    fn bound_revoked(&mut self, identity: &Identity) -> Result<(), StoreError> {
        let prefix = keys::devices(identity);
        let mut revoked = Vec::new();
        for (key, row) in self.view.all_of(&prefix)? {
            if let Some(at_ms) = rows::decode::<DeviceRow>(&row)?.revoked_ms {
                revoked.push((at_ms, keys::KeyParts::after(&key, &prefix)?.device()?));
            }
        }
        revoked.sort_by_key(|(at_ms, _)| *at_ms);
        for (_, device) in revoked.iter().take(revoked.len().saturating_sub(REVOKED_DEVICES)) {
            self.forget_device(identity, device)?;
        }
        Ok(())
    }
}

fn admission(row: &DeviceRow) -> Admission {
    if row.revoked_ms.is_some() { Admission::Revoked } else { Admission::Admitted }
}

fn is_mark_due(row: &DeviceRow, now_ms: u64) -> bool {
    row.revoked_ms.is_none() && row.seen_ms.saturating_add(SEEN_PRECISION_MS) <= now_ms
}
