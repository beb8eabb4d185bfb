//! Devices that register for pushes as Amazon Cognito's push sync has it.

use driftless_protocol::{DatasetName, DeviceId, Provider, PushTarget, Registration};
use uuid::Uuid;

use super::{Principal, SyncService};
use crate::committer::{JobOwner, Unavailable};
use crate::push::RegistrationRejected;
use crate::store::{CognitoRegistered, Group, NewCognitoDevice, SubscribeOutcome};

/// Why a device was not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CognitoRegisterError {
    /// The pool has no app of this provider, or several.
    NoApp,
    BadToken(String),
    NoIdentity,
    TooManyDevices,
    Unavailable(Unavailable),
}

impl SyncService {
    /// Registers a device of the principal's identity with its token, for no dataset yet; returns its id when that is durable.
    pub async fn register_cognito(&self, who: &Principal, provider: Provider, token: &str) -> Result<DeviceId, CognitoRegisterError> {
        let target = PushTarget::new(provider, Some(token), None).map_err(|why| CognitoRegisterError::BadToken(why.to_owned()))?;
        let app = self.push.only_app(&who.pool.name, provider).ok_or(CognitoRegisterError::NoApp)?;
        let registration = Registration { target, app, datasets: Some(Vec::new()), shown: false };
        self.push.check_registration(&who.pool.name, &registration).map_err(|rejected| match rejected {
            RegistrationRejected::UnknownApp(_) => CognitoRegisterError::NoApp,
            RegistrationRejected::BadTarget(why) => CognitoRegisterError::BadToken(why),
        })?;
        let device = DeviceId::new(&Uuid::new_v4().to_string()).map_err(|_| CognitoRegisterError::NoIdentity)?;
        let (pool_id, most_devices) = (who.pool.id().to_string(), who.pool.limits.devices);
        let (identity, new) = (who.identity.clone(), NewCognitoDevice { registration, pool_id, device, most_devices });
        let decide = move |group: &mut Group<'_>, now_ms| Ok((group.register_cognito(&identity, &new, now_ms)?, Vec::new()));
        match self.committer.transact(JobOwner::Identity(who.identity.clone()), decide).await {
            Ok(CognitoRegistered::Device(device)) => Ok(device),
            Ok(CognitoRegistered::NoIdentity) => Err(CognitoRegisterError::NoIdentity),
            Ok(CognitoRegistered::TooManyDevices) => Err(CognitoRegisterError::TooManyDevices),
            Err(why) => Err(CognitoRegisterError::Unavailable(why)),
        }
    }

    /// Subscribes the principal's device to a dataset: changes of it that another device makes wake it.
    pub async fn subscribe_cognito(&self, who: &Principal, dataset: DatasetName) -> Result<SubscribeOutcome, Unavailable> {
        let (identity, device, most) = (who.identity.clone(), who.device.clone(), who.pool.limits.datasets);
        let decide = move |group: &mut Group<'_>, _| Ok((group.subscribe(&identity, &device, &dataset, most)?, Vec::new()));
        self.committer.transact(JobOwner::Identity(who.identity.clone()), decide).await
    }

    /// Ends a subscription.
    pub async fn unsubscribe_cognito(&self, who: &Principal, dataset: DatasetName) -> Result<SubscribeOutcome, Unavailable> {
        let (identity, device) = (who.identity.clone(), who.device.clone());
        let decide = move |group: &mut Group<'_>, _| Ok((group.unsubscribe(&identity, &device, &dataset)?, Vec::new()));
        self.committer.transact(JobOwner::Identity(who.identity.clone()), decide).await
    }
}
