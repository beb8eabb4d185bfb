//! Moves the devices of a merged identity to its target, each with its registration, patch slots, push budget and delivery log.
//!
//! A merge begins with a batch that moves no device: the target's row names the identity as one whose devices are yet to come. The first steps of
//! the job move them, a few at a time. Until then a device moves with the first transaction that concerns it: whatever decides on a device of an
//! identity looks at its row first ([`Group::device_row`]), and all of its rows move before that. So its patch slots are where its next patch looks for them,
//! and one that was revoked stays revoked.

use std::collections::BTreeMap;

use driftless_protocol::DeviceId;

use super::commit::Group;
use super::engine::{Bytes, RowBatch};
use super::job_steps::STEP_BYTES;
use super::keys::RowKind;
use super::live_identity::{is_revoked_at, unmoved};
use super::row_source::RowSource;
use super::rows::{self, DeviceRow, PatchRow};
use super::{Identity, Store, StoreError, keys, push};

/// Identities whose devices are yet to come, for one target. Each is one more row that a write of the target looks for. A merge beyond that begins
/// after the others have moved their devices, which takes them a few steps.
pub(super) const UNMOVED_IDENTITIES: usize = 16;

/// Rows of devices that a step reads at a time: more than a step moves of devices with full slots.
const DEVICES_PER_READ: usize = 32;

impl Store {
    /// Whether rows of a device stand under an identity that is merged into this one: they move with the device's next transaction.
    pub fn is_device_unmoved(&self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        for from in unmoved(self.engine.row(&keys::identity(identity))?.as_ref()) {
            if self.engine.get(&keys::device(&from, device))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rows of an identity's devices, wherever they stand, by the devices' part of their keys.
    pub(super) fn device_rows(&self, identity: &Identity) -> Result<BTreeMap<Bytes, Bytes>, StoreError> {
        let mut found = BTreeMap::new();
        // The identity's own come last: those are what counts of a device that both have, and of one that moves meanwhile.
        for owner in unmoved(self.engine.row(&keys::identity(identity))?.as_ref()).iter().rev().chain([identity]) {
            let prefix = keys::devices(owner);
            found.extend(self.engine.all_of(&prefix)?.into_iter().map(|(key, row)| (key[prefix.len()..].to_vec(), row)));
        }
        Ok(found)
    }
}

impl Group<'_> {
    /// The row of a device. All rows of the device are under this identity then.
    pub(super) fn device_row(&mut self, identity: &Identity, device: &DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        for from in self.unmoved_identities(identity)? {
            self.move_device(&from, identity, device)?;
        }
        self.view.row(&keys::device(identity, device))
    }

    /// Moves some devices of the first of the identities whose devices are yet to come to `into`. False: there is none.
    pub(super) fn move_some_devices(&mut self, into: &Identity) -> Result<bool, StoreError> {
        let Some(from) = self.unmoved_identities(into)?.into_iter().next() else { return Ok(false) };
        let (prefix, before) = (keys::devices(&from), self.view.work_bytes());
        let some = self.view.some_of(&prefix, DEVICES_PER_READ)?;
        if some.is_empty() {
            self.end_of_devices(&from, into)?;
        }
        for (key, _) in some {
            let device = keys::KeyParts::after(&key, &prefix)?.device()?;
            self.device_row(into, &device)?;
            if self.view.work_bytes() - before >= STEP_BYTES {
                break;
            }
        }
        Ok(true)
    }

    fn end_of_devices(&mut self, from: &Identity, into: &Identity) -> Result<(), StoreError> {
        let Some(mut row) = self.identity_row(into)? else { return Ok(()) };
        row.devices_from.retain(|other| other != from.as_str());
        self.view.decide(vec![(keys::identity(into), Some(rows::encode(&row)?))]);
        self.identities.remove(into);
        Ok(())
    }

    /// Moves a device with what it owns, except for acknowledgements: those move with their dataset. Where both identities have a row, the
    /// target's stays; of two patch slots the one with the newer patch.
    fn move_device(&mut self, from: &Identity, into: &Identity, device: &DeviceId) -> Result<(), StoreError> {
        if self.view.get(&keys::device(from, device))?.is_none() {
            return Ok(());
        }
        let is_revoked = is_revoked_at(&self.view, into, device)?;
        self.move_registration(from, into, device, is_revoked)?;
        let mut batch = RowBatch::new();
        for kind in [RowKind::Device, RowKind::Patch, RowKind::PushBudget, RowKind::DeliveryLog] {
            let (old, new) = (keys::of_device(kind, from, device), keys::of_device(kind, into, device));
            for (key, row) in self.view.all_of(&old)? {
                let moved = [new.as_slice(), &key[old.len()..]].concat();
                let stays = match self.view.get(&moved)? {
                    Some(there) if kind == RowKind::Patch => rows::decode::<PatchRow>(&there)?.id >= rows::decode::<PatchRow>(&row)?.id,
                    there => there.is_some(),
                };
                if !stays {
                    // The versions for which the device was woken count the source's datasets; the target's have other versions.
                    let row = if kind == RowKind::PushBudget { push::without_woken(&row)? } else { row };
                    batch.push((moved, Some(row)));
                }
                batch.push((key, None));
            }
        }
        self.view.decide(batch);
        Ok(())
    }
}
