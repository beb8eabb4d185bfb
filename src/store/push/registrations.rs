//! Registrations: one for each device, and each token with one device of its pool.

use aws_lc_rs::digest;
use driftless_protocol::{DeviceId, Provider, PushTarget, Registration};

use super::super::commit::Group;
use super::super::engine::{Batch, Bytes};
use super::super::keys::Kind;
use super::super::{Identity, Store, StoreError, keys, rows};
use super::{DeliveryLogEntry, DeliveryStatus, PushRow};

/// What became of the wish to register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// It stands.
    Done,
    /// There is no such identity.
    NoIdentity,
}

/// A registered device, and when it was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// Whose.
    pub identity: Identity,
    /// Which device.
    pub device: DeviceId,
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// The row that says which device a token stands with. APNs' two environments are one family: a token belongs to one of them.
fn binding(pool: &str, target: &PushTarget) -> Bytes {
    let family: &[u8] = match target.provider() {
        Provider::Apns | Provider::ApnsSandbox => b"apns",
        Provider::Fcm => b"fcm",
        Provider::Webpush => b"webpush",
    };
    keys::binding(pool, family, digest::digest(&digest::SHA256, target.address().as_bytes()).as_ref())
}

/// The row of another kind that goes with a registration.
pub(in crate::store) fn bindings(row: &[u8]) -> Result<Option<Bytes>, StoreError> {
    let row: PushRow = rows::decode(row)?;
    Ok(row.target.map(|target| binding(&row.pool, &target)))
}

impl Store {
    /// Who a device's wakes go through, and for which app, if it is registered and its token is not dead.
    pub fn registered(&self, identity: &Identity, device: &DeviceId) -> Result<Option<(Provider, String)>, StoreError> {
        let row = self.engine.get(&keys::push(identity, device))?;
        let row = row.map(|row| rows::decode::<PushRow>(&row)).transpose()?;
        Ok(row.filter(|row| row.target.is_some()).map(|row| (row.provider, row.app)))
    }

    /// Whether a device that comes in has to be noted: it is registered, and something is owed to it or it was not seen for so long.
    pub fn is_to_be_seen(&self, identity: &Identity, device: &DeviceId, after_ms: u64, now_ms: u64) -> Result<bool, StoreError> {
        let Some(row) = self.engine.get(&keys::push(identity, device))? else { return Ok(false) };
        let row: PushRow = rows::decode(&row)?;
        if row.seen_ms.saturating_add(after_ms) <= now_ms {
            return Ok(true);
        }
        let prefix = keys::owned(Kind::Debt, identity);
        Ok(!self.engine.scan(&prefix, &keys::after(&prefix), 1)?.is_empty())
    }

    /// Registered devices after one of them, in the order of the store: up to `limit`.
    pub fn registrations(&self, after: Option<&LastSeen>, limit: usize) -> Result<Vec<LastSeen>, StoreError> {
        let prefix = keys::kind(Kind::Push);
        let start = after.map_or(prefix.clone(), |last| keys::after(&keys::push(&last.identity, &last.device)));
        let rows = self.engine.scan(&start, &keys::after(&prefix), limit)?;
        let one = |(key, row): &(Bytes, Bytes)| {
            let mut parts = keys::Parts::after(key, &prefix)?;
            let (identity, device) = (Identity::from(parts.name()?), parts.device()?);
            Ok(LastSeen { identity, device, at_ms: rows::decode::<PushRow>(row)?.seen_ms })
        };
        rows.iter().map(one).collect()
    }
}

impl Group<'_> {
    /// Registers a device, in the place of what it registered before. A token that stands with another device moves here.
    pub fn register(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        registration: &Registration,
        now_ms: u64,
    ) -> Result<RegisterOutcome, StoreError> {
        let Some(pool) = self.identity_row(identity)?.filter(|row| row.moved_to.is_none()).map(|row| row.pool) else {
            return Ok(RegisterOutcome::NoIdentity);
        };
        // It may have been revoked after it was let in. Its session is about to be told.
        if self.is_revoked(identity, device)? {
            return Ok(RegisterOutcome::NoIdentity);
        }
        let Registration { target, app, datasets, shown } = registration.clone();
        let bound = binding(&pool, &target);
        if let Some(row) = self.view.get(&bound)? {
            let (owner, other): (String, DeviceId) = rows::decode(&row)?;
            let owner = Identity::from(owner.as_str());
            if (&owner, &other) != (identity, device) {
                self.unregister(&owner, &other)?;
                let told = DeliveryStatus::Changed("the token was registered by another device, and moved there".to_owned());
                self.log_wake(&owner, &other, DeliveryLogEntry::now(now_ms, None, told))?;
            }
        }
        let before = self.registration(identity, device)?;
        let same = before.is_some_and(|row| row.target.is_some_and(|old| old.address() == target.address()));
        self.unregister(identity, device)?;
        let provider = target.provider();
        let row =
            PushRow { pool, provider, target: Some(target), app, datasets, shown, registered_ms: now_ms, seen_ms: now_ms, dead: None };
        let mut purse = self.purse(identity, device)?;
        // A gateway's patience is not won back by registering the same again.
        if !same {
            (purse.purse.failures, purse.purse.not_before_ms) = (0, 0);
        }
        let rows = vec![
            (keys::push(identity, device), Some(rows::encode(&row)?)),
            (bound, Some(rows::encode(&(identity.as_str(), device))?)),
            (keys::purse(identity, device), Some(rows::encode(&purse)?)),
        ];
        self.view.decide(Batch { preconditions: Vec::new(), rows });
        self.count_pushes(identity, 1)?;
        self.log_wake(
            identity,
            device,
            DeliveryLogEntry::now(now_ms, None, DeliveryStatus::Changed(format!("registered with {provider}"))),
        )?;
        Ok(RegisterOutcome::Done)
    }

    /// Takes a device's registration away, and its token from it. What it was woken for, and its log, stay.
    pub fn unregister(&mut self, identity: &Identity, device: &DeviceId) -> Result<(), StoreError> {
        let key = keys::push(identity, device);
        let Some(row) = self.view.get(&key)? else { return Ok(()) };
        let row: PushRow = rows::decode(&row)?;
        let mut batch = Batch { preconditions: Vec::new(), rows: vec![(key, None)] };
        let live = row.target.is_some();
        batch.rows.extend(row.target.map(|target| (binding(&row.pool, &target), None)));
        self.view.decide(batch);
        if live { self.count_pushes(identity, -1) } else { Ok(()) }
    }

    /// A device came in: what waits for it is put off for a grace, and it is fresh again.
    pub fn seen(&mut self, identity: &Identity, device: &DeviceId, now_ms: u64) -> Result<(), StoreError> {
        let key = keys::push(identity, device);
        let Some(row) = self.view.get(&key)? else { return Ok(()) };
        let row = rows::encode(&PushRow { seen_ms: now_ms, ..rows::decode(&row)? })?;
        self.view.decide(Batch { preconditions: Vec::new(), rows: vec![(key, Some(row))] });
        Ok(())
    }

    /// Drops the registration of a device that was not seen since a moment.
    pub fn drop_unseen(&mut self, identity: &Identity, device: &DeviceId, since_ms: u64, now_ms: u64) -> Result<bool, StoreError> {
        let row = self.view.get(&keys::push(identity, device))?.map(|row| rows::decode::<PushRow>(&row)).transpose()?;
        if row.is_none_or(|row| row.seen_ms > since_ms) {
            return Ok(false);
        }
        self.unregister(identity, device)?;
        let told = DeliveryStatus::Changed("the registration was dropped: the device was not seen for too long".to_owned());
        self.log_wake(identity, device, DeliveryLogEntry::now(now_ms, None, told))?;
        Ok(true)
    }

    /// Takes a token from a device: its provider calls it dead. The registration stays, so that it can be seen (I7: only if it is still the
    /// token that failed, and was not registered again after the provider's date).
    pub(super) fn bury(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        failed: &PushTarget,
        since_ms: Option<u64>,
        dead: super::DeadToken,
    ) -> Result<bool, StoreError> {
        let key = keys::push(identity, device);
        let Some(row) = self.view.get(&key)? else { return Ok(false) };
        let row: PushRow = rows::decode(&row)?;
        let again = since_ms.is_some_and(|since_ms| row.registered_ms > since_ms);
        if row.target.as_ref().is_none_or(|target| target.address() != failed.address()) || again {
            return Ok(false);
        }
        let buried = PushRow { target: None, dead: Some(dead), ..row.clone() };
        let rows = vec![(key, Some(rows::encode(&buried)?)), (binding(&row.pool, failed), None)];
        self.view.decide(Batch { preconditions: Vec::new(), rows });
        self.count_pushes(identity, -1)?;
        Ok(true)
    }

    /// Turns a registration to the other environment of its provider.
    pub(super) fn turn(&mut self, identity: &Identity, device: &DeviceId, target: &PushTarget) -> Result<(), StoreError> {
        let key = keys::push(identity, device);
        let Some(row) = self.view.get(&key)? else { return Ok(()) };
        let row: PushRow = rows::decode(&row)?;
        if row.target.as_ref().is_some_and(|old| old.address() == target.address()) {
            let row = rows::encode(&PushRow { provider: target.provider(), target: Some(target.clone()), ..row })?;
            self.view.decide(Batch { preconditions: Vec::new(), rows: vec![(key, Some(row))] });
        }
        Ok(())
    }

    fn registration(&self, identity: &Identity, device: &DeviceId) -> Result<Option<PushRow>, StoreError> {
        self.view.get(&keys::push(identity, device))?.map(|row| rows::decode(&row)).transpose()
    }

    /// The registrations of an identity that is merged into another go over. Of two of one device the one that can be woken stays, or the later one.
    pub(in crate::store) fn move_registrations(&mut self, from: &Identity, into: &Identity) -> Result<(), StoreError> {
        let prefix = keys::owned(Kind::Push, from);
        for (key, row) in self.view.scan(&prefix)? {
            let device = keys::Parts::after(&key, &prefix)?.device()?;
            self.unregister(from, &device)?;
            let push: PushRow = rows::decode(&row)?;
            let there = self.registration(into, &device)?;
            let stays =
                there.is_some_and(|there| (there.target.is_some(), there.registered_ms) > (push.target.is_some(), push.registered_ms));
            if stays || self.is_revoked(into, &device)? {
                continue;
            }
            self.unregister(into, &device)?;
            let mut batch = Batch { preconditions: Vec::new(), rows: vec![(keys::push(into, &device), Some(row))] };
            if let Some(target) = &push.target {
                batch.rows.push((binding(&push.pool, target), Some(rows::encode(&(into.as_str(), &device))?)));
            }
            self.view.decide(batch);
            if push.target.is_some() {
                self.count_pushes(into, 1)?;
            }
        }
        Ok(())
    }
}
