//! Devices that register and subscribe as Amazon Cognito's push sync has it: each has an id that the server makes, and begins with no dataset.

use driftless_protocol::{DatasetName, DeviceId, Registration};

use super::super::commit::Group;
use super::super::keys;
use super::super::row_source::RowSource;
use super::super::{Admission, DeviceBound, Identity, StoreError, rows};
use super::registrations::{RegisterOutcome, token_binding};
use super::rows::RegistrationRow;

/// A device that asks to be registered.
#[derive(Clone, Debug)]
pub struct NewCognitoDevice {
    pub registration: Registration,
    /// The id of its pool, which its wakes name.
    pub pool_id: String,
    /// Its id, unless the identity has a device with the same token.
    pub device: DeviceId,
    /// How many devices the identity may have.
    pub most_devices: usize,
}

/// What came of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CognitoRegistered {
    Device(DeviceId),
    NoIdentity,
    /// The identity has as many devices as its pool allows.
    TooManyDevices,
}

/// What came of a subscription, or of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeOutcome {
    Done,
    /// The identity has no such device, or it is not registered so.
    NoDevice,
    /// The device is not subscribed to the dataset.
    NotSubscribed,
    /// The device is subscribed to as many datasets as an identity may have.
    TooMany,
}

impl Group<'_> {
    /// Registers a device with its token. A device that has registered the same token before keeps its id and its datasets.
    pub fn register_cognito(&mut self, identity: &Identity, new: &NewCognitoDevice, now_ms: u64) -> Result<CognitoRegistered, StoreError> {
        let NewCognitoDevice { registration, pool_id, device, most_devices } = new;
        let Some(pool) = self.identity_row(identity)?.filter(|row| row.moved_to.is_none()).map(|row| row.pool) else {
            return Ok(CognitoRegistered::NoIdentity);
        };
        let bound: Option<(String, DeviceId)> = self.view.row(&token_binding(&pool, &registration.target))?;
        let known = bound.filter(|(owner, _)| owner == identity.as_str()).map(|(_, device)| device);
        if let Some(known) = known
            && let Some(row) = self.registration(identity, &known)?.filter(|row| row.cognito_pool.is_some())
        {
            let again = Registration { datasets: row.datasets, ..registration.clone() };
            return self.register_device(identity, &known, &again, pool_id, now_ms);
        }
        match self.admit(identity, device, &DeviceBound::without_sessions(*most_devices), now_ms)?.0 {
            Admission::Admitted => self.register_device(identity, device, registration, pool_id, now_ms),
            Admission::TooMany => Ok(CognitoRegistered::TooManyDevices),
            Admission::Revoked | Admission::TokenRefused { .. } => Ok(CognitoRegistered::NoIdentity),
        }
    }

    fn register_device(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        registration: &Registration,
        pool_id: &str,
        now_ms: u64,
    ) -> Result<CognitoRegistered, StoreError> {
        Ok(match self.register_as(identity, device, registration, Some(pool_id.to_owned()), now_ms)? {
            RegisterOutcome::Done => CognitoRegistered::Device(device.clone()),
            RegisterOutcome::NoIdentity => CognitoRegistered::NoIdentity,
        })
    }

    /// Adds a dataset to those that wake a device, of which it has at most so many. Doing it twice changes nothing.
    pub fn subscribe(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        dataset: &DatasetName,
        most: usize,
    ) -> Result<SubscribeOutcome, StoreError> {
        let Some((row, mut datasets)) = self.subscriptions(identity, device)? else { return Ok(SubscribeOutcome::NoDevice) };
        if datasets.contains(dataset) {
            return Ok(SubscribeOutcome::Done);
        }
        if datasets.len() >= most {
            return Ok(SubscribeOutcome::TooMany);
        }
        datasets.push(dataset.clone());
        self.put_subscriptions(identity, device, row, datasets)
    }

    /// Takes a dataset from those that wake a device.
    pub fn unsubscribe(&mut self, identity: &Identity, device: &DeviceId, dataset: &DatasetName) -> Result<SubscribeOutcome, StoreError> {
        let Some((row, mut datasets)) = self.subscriptions(identity, device)? else { return Ok(SubscribeOutcome::NoDevice) };
        let before = datasets.len();
        datasets.retain(|known| known != dataset);
        if datasets.len() == before {
            return Ok(SubscribeOutcome::NotSubscribed);
        }
        self.put_subscriptions(identity, device, row, datasets)
    }

    fn subscriptions(&mut self, identity: &Identity, device: &DeviceId) -> Result<Option<(RegistrationRow, Vec<DatasetName>)>, StoreError> {
        if !self.has_identity(identity)? || !self.is_admitted(identity, device)? {
            return Ok(None);
        }
        let row = self.registration(identity, device)?.filter(|row| row.cognito_pool.is_some());
        Ok(row.map(|mut row| {
            let datasets = row.datasets.take().unwrap_or_default();
            (row, datasets)
        }))
    }

    fn put_subscriptions(
        &mut self,
        identity: &Identity,
        device: &DeviceId,
        row: RegistrationRow,
        datasets: Vec<DatasetName>,
    ) -> Result<SubscribeOutcome, StoreError> {
        let row = RegistrationRow { datasets: Some(datasets), ..row };
        self.view.decide(vec![(keys::registration(identity, device), Some(rows::encode(&row)?))]);
        Ok(SubscribeOutcome::Done)
    }
}
