//! Push registrations: one for each device, and each token with one device of its pool.

use aws_lc_rs::digest;
use driftless_protocol::{DeviceId, Provider, PushTarget, Registration};

use super::super::commit::Group;
use super::super::engine::Bytes;
use super::super::keys::RowKind;
use super::super::row_source::RowSource;
use super::super::{Identity, Store, StoreError, keys, rows};
use super::delivery_log::{DeliveryLogEntry, DeliveryStatus};
use super::rows::{DeadToken, RegistrationRow, TokenLoss};

/// The result of registering a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    Done,
    /// The identity does not exist, or the device is revoked or was forgotten.
    NoIdentity,
}

/// When a registered device was last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    pub identity: Identity,
    pub device: DeviceId,
    /// Milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// The key of the row that binds a token to a device. APNs' two environments are one family: a token belongs to one of them.
pub(super) fn token_binding(pool: &str, target: &PushTarget) -> Bytes {
    let family: &[u8] = match target.provider() {
        Provider::Apns | Provider::ApnsSandbox => b"apns",
        Provider::Fcm => b"fcm",
        Provider::Webpush => b"webpush",
    };
    keys::token_binding(pool, family, digest::digest(&digest::SHA256, target.address().as_bytes()).as_ref())
}

/// The key of the row that binds the token of a registration's row; `None`: the token is dead.
pub(in crate::store) fn token_binding_of(row: &[u8]) -> Result<Option<Bytes>, StoreError> {
    let row: RegistrationRow = rows::decode(row)?;
    Ok(row.target.map(|target| token_binding(&row.pool, &target)))
}

impl RegistrationRow {
    /// Whether it is kept, and not another one of the same device: it has a live token, or it is the later one.
    pub(super) fn comes_before(&self, other: &RegistrationRow) -> bool {
        (self.target.is_some(), self.registered_ms) > (other.target.is_some(), other.registered_ms)
    }
}

impl Store {
    /// The provider and the app of a device's registration, if it has one with a live token.
    pub fn live_registration(&self, identity: &Identity, device: &DeviceId) -> Result<Option<(Provider, String)>, StoreError> {
        let row = self.engine.row::<RegistrationRow>(&keys::registration(identity, device))?;
        Ok(row.filter(|row| row.target.is_some()).map(|row| (row.provider, row.app)))
    }

    /// The token that a registered device has no more, if it has none.
    pub fn lost_token(&self, identity: &Identity, device: &DeviceId) -> Result<Option<DeadToken>, StoreError> {
        let row = self.engine.row::<RegistrationRow>(&keys::registration(identity, device))?;
        Ok(row.filter(|row| row.target.is_none()).and_then(|row| row.dead))
    }

    /// Whether a device that connects has to be marked as seen: it is registered, and its identity has a debt, or the last mark is older
    /// than `after_ms`.
    pub fn should_mark_seen(&self, identity: &Identity, device: &DeviceId, after_ms: u64, now_ms: u64) -> Result<bool, StoreError> {
        let Some(row) = self.engine.row::<RegistrationRow>(&keys::registration(identity, device))? else { return Ok(false) };
        if row.seen_ms.saturating_add(after_ms) <= now_ms {
            return Ok(true);
        }
        let prefix = keys::of_identity(RowKind::Debt, identity);
        Ok(!self.engine.some_of(&prefix, 1)?.is_empty())
    }

    /// Up to `limit` registered devices after one of them, in the order of the store.
    pub fn registrations(&self, after: Option<&LastSeen>, limit: usize) -> Result<Vec<LastSeen>, StoreError> {
        let prefix = keys::of_kind(RowKind::Registration);
        let start = after.map_or(prefix.clone(), |last| keys::prefix_end(&keys::registration(&last.identity, &last.device)));
        let rows = self.engine.scan(&start, &keys::prefix_end(&prefix), limit)?;
        let one = |(key, row): &(Bytes, Bytes)| {
            let mut parts = keys::KeyParts::after(key, &prefix)?;
            let (identity, device) = (Identity::from(parts.name()?), parts.device()?);
            Ok(LastSeen { identity, device, at_ms: rows::decode::<RegistrationRow>(row)?.seen_ms })
        };
        rows.iter().map(one).collect()
    }
}

impl Group<'_> {
    /// Registers a device and replaces its earlier registration. If another device has the token, the token moves to this one.
    pub fn register(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        registration: &Registration,
        now_ms: u64,
    ) -> Result<RegisterOutcome, StoreError> {
        self.register_as(identity, device, registration, None, now_ms)
    }

    /// Registers a device whose wakes have the keys of Amazon Cognito's push sync, if the id of its pool is given.
    pub(super) fn register_as(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        registration: &Registration,
        cognito_pool: Option<String>,
        now_ms: u64,
    ) -> Result<RegisterOutcome, StoreError> {
        let Some(pool) = self.identity_row(identity)?.filter(|row| row.moved_to.is_none()).map(|row| row.pool) else {
            return Ok(RegisterOutcome::NoIdentity);
        };
        // The device may have been revoked or forgotten after its request was authenticated. Its session is about to be closed.
        if !self.is_admitted(identity, device)? {
            return Ok(RegisterOutcome::NoIdentity);
        }
        let Registration { target, app, datasets, shown } = registration.clone();
        let binding = token_binding(&pool, &target);
        if let Some(row) = self.view.get(&binding)? {
            let (owner, other): (String, DeviceId) = rows::decode(&row)?;
            let owner = Identity::from(owner.as_str());
            if (&owner, &other) != (identity, device) {
                self.take_token(&owner, &other, &target, identity, now_ms)?;
            }
        }
        let before = self.registration(identity, device)?;
        let is_same_token = before.is_some_and(|row| row.target.is_some_and(|old| old.address() == target.address()));
        self.unregister(identity, device)?;
        let provider = target.provider();
        let target = Some(target);
        let row = RegistrationRow {
            pool,
            provider,
            target,
            app,
            datasets,
            shown,
            registered_ms: now_ms,
            seen_ms: now_ms,
            dead: None,
            cognito_pool,
        };
        let mut budget = self.budget_row(identity, device)?;
        // Registering the same token again does not end the wait that a gateway has asked for.
        if !is_same_token {
            (budget.budget.failures, budget.budget.not_before_ms) = (0, 0);
        }
        let rows = vec![
            (keys::registration(identity, device), Some(rows::encode(&row)?)),
            (binding, Some(rows::encode(&(identity.as_str(), device))?)),
            (keys::push_budget(identity, device), Some(rows::encode(&budget)?)),
        ];
        self.view.decide(rows);
        self.add_push_targets(identity, 1)?;
        self.log_registration(identity, device, now_ms, format!("registered with {provider}"))?;
        Ok(RegisterOutcome::Done)
    }

    /// Deletes a device's registration and the binding of its token. The versions that it was woken for, its budget and its log stay.
    pub fn unregister(&mut self, identity: &Identity, device: &DeviceId) -> Result<(), StoreError> {
        // With its row a device has its registration under this identity.
        self.device_row(identity, device)?;
        self.delete_registration(identity, device)
    }

    fn delete_registration(&mut self, identity: &Identity, device: &DeviceId) -> Result<(), StoreError> {
        let key = keys::registration(identity, device);
        let Some(row) = self.view.row::<RegistrationRow>(&key)? else { return Ok(()) };
        let mut batch = vec![(key, None)];
        let is_live = row.target.is_some();
        batch.extend(row.target.map(|target| (token_binding(&row.pool, &target), None)));
        self.view.decide(batch);
        if is_live { self.add_push_targets(identity, -1) } else { Ok(()) }
    }

    /// Marks a registered device as seen: it gets a grace before its next wake, and its registration is not stale.
    pub fn mark_seen(&mut self, identity: &Identity, device: &DeviceId, now_ms: u64) -> Result<(), StoreError> {
        self.device_row(identity, device)?;
        let key = keys::registration(identity, device);
        let Some(row) = self.view.get(&key)? else { return Ok(()) };
        let row = rows::encode(&RegistrationRow { seen_ms: now_ms, ..rows::decode(&row)? })?;
        self.view.decide(vec![(key, Some(row))]);
        Ok(())
    }

    /// Deletes the registration of a device that was not seen after `since_ms`. Returns whether it did.
    pub fn drop_stale_registration(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        since_ms: u64,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        if self.registration(identity, device)?.is_none_or(|row| row.seen_ms > since_ms) {
            return Ok(false);
        }
        self.unregister(identity, device)?;
        self.log_registration(identity, device, now_ms, "the registration was dropped: the device was not seen for too long".to_owned())?;
        Ok(true)
    }

    /// Takes a token that its provider has declared dead from a device. The registration stays, with the reason, for an operator to see.
    ///
    /// I7: nothing happens unless the token is still the one that failed, and was not registered again after the provider's date
    /// `since_ms`.
    pub(super) fn mark_dead(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        failed: &PushTarget,
        since_ms: Option<u64>,
        dead: DeadToken,
    ) -> Result<(), StoreError> {
        let Some(row) = self.registration(identity, device)? else { return Ok(()) };
        let is_registered_since = since_ms.is_some_and(|since_ms| row.registered_ms > since_ms);
        if row.target.as_ref().is_none_or(|target| target.address() != failed.address()) || is_registered_since {
            return Ok(());
        }
        let binding = token_binding(&row.pool, failed);
        let row = RegistrationRow { target: None, dead: Some(dead), ..row };
        let rows = vec![(keys::registration(identity, device), Some(rows::encode(&row)?)), (binding, None)];
        self.view.decide(rows);
        self.add_push_targets(identity, -1)
    }

    /// Moves a registration to the other environment of its provider, if its token is still that of `target`.
    pub(super) fn switch_environment(&mut self, identity: &Identity, device: &DeviceId, target: &PushTarget) -> Result<(), StoreError> {
        let Some(row) = self.registration(identity, device)? else { return Ok(()) };
        if row.target.as_ref().is_some_and(|old| old.address() == target.address()) {
            let row = rows::encode(&RegistrationRow { provider: target.provider(), target: Some(target.clone()), ..row })?;
            self.view.decide(vec![(keys::registration(identity, device), Some(row))]);
        }
        Ok(())
    }

    /// Takes a token from the device that had it, because another device registers it. The registration stays without the token, so that
    /// its device is told.
    fn take_token(
        &mut self,
        owner: &Identity,
        device: &DeviceId,
        token: &PushTarget,
        new_owner: &Identity,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let whose = if owner == new_owner { "another device of the same user" } else { "a device of another user" };
        let reason = format!("{whose} registered the token");
        self.mark_dead(owner, device, token, None, DeadToken { at_ms: now_ms, reason: reason.clone(), loss: TokenLoss::Moved })?;
        self.log_registration(owner, device, now_ms, reason)
    }

    /// Whether a push can wake a device.
    pub(in crate::store) fn has_live_token(&self, identity: &Identity, device: &DeviceId) -> Result<bool, StoreError> {
        Ok(self.registration(identity, device)?.is_some_and(|row| row.target.is_some()))
    }

    pub(super) fn registration(&self, identity: &Identity, device: &DeviceId) -> Result<Option<RegistrationRow>, StoreError> {
        self.view.row(&keys::registration(identity, device))
    }

    fn log_registration(&mut self, identity: &Identity, device: &DeviceId, now_ms: u64, change: String) -> Result<(), StoreError> {
        let status = DeliveryStatus::Note(change);
        self.append_delivery_log(identity, device, DeliveryLogEntry::new(now_ms, None, status))
    }

    /// Moves the registration of a device of an identity that is merged into another one. If both have one, that with a live token stays, or the
    /// later one. A device that is revoked there has none.
    pub(in crate::store) fn move_registration(
        &mut self,
        from: &Identity,
        into: &Identity,
        device: &DeviceId,
        is_revoked: bool,
    ) -> Result<(), StoreError> {
        let Some(moved) = self.registration(from, device)? else { return Ok(()) };
        self.delete_registration(from, device)?;
        if is_revoked || self.registration(into, device)?.is_some_and(|there| there.comes_before(&moved)) {
            return Ok(());
        }
        self.delete_registration(into, device)?;
        let mut batch = vec![(keys::registration(into, device), Some(rows::encode(&moved)?))];
        if let Some(target) = &moved.target {
            batch.push((token_binding(&moved.pool, target), Some(rows::encode(&(into.as_str(), device))?)));
        }
        self.view.decide(batch);
        if moved.target.is_some() { self.add_push_targets(into, 1) } else { Ok(()) }
    }
}
