//! RegisterDevice, SubscribeToDataset, UnsubscribeFromDataset: only an identity's own credentials may do them, and only for that identity.

use driftless_protocol::limits::RESERVED_DEVICE_PREFIX;
use driftless_protocol::{DeviceId, Provider};
use serde::{Deserialize, Serialize};

use super::asks;
use super::list_records::dataset_name;
use super::refusal::{error, invalid, not_found};
use super::subject::principal;
use crate::access::Caller;
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::aws::rest::SyncCall;
use crate::aws::service::AwsService;
use crate::aws::services::AwsServices;
use crate::store::SubscribeOutcome;
use crate::sync::{CognitoRegisterError, Principal};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterInput {
    platform: Option<String>,
    token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RegisterOutput {
    device_id: String,
}

/// An output without members.
#[derive(Serialize)]
struct NoMembers {}

pub(super) async fn register(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall, body: &[u8]) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::RegisterDevice(sync_call)).await?;
    check_own(call.signed()?, sync_call)?;
    let RegisterInput { platform, token } = json::read_body(AwsService::CognitoSync, body)?;
    let provider = provider(platform.as_deref().unwrap_or_default())?;
    let token = token.ok_or_else(|| invalid("Token is missing"))?;
    // The client of iOS writes the token in capitals.
    let token = if provider == Provider::Fcm { token } else { token.to_ascii_lowercase() };
    let device = services.sync.register_cognito(&who, provider, &token).await.map_err(|why| match why {
        CognitoRegisterError::NoApp => {
            error("InvalidConfigurationException", "The identity pool has not one push application of this platform")
        }
        CognitoRegisterError::BadToken(why) => invalid(why),
        CognitoRegisterError::NoIdentity => not_found(format!("Identity '{}' not found.", sync_call.identity_id)),
        CognitoRegisterError::TooManyDevices => error("TooManyRequestsException", "The identity has as many devices as its pool allows"),
        CognitoRegisterError::Unavailable(why) => call.unavailable(why),
    })?;
    json::answer(call.wire, &RegisterOutput { device_id: device.as_str().to_owned() }, call.id)
}

pub(super) async fn subscribe(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::SubscribeToDataset(sync_call)).await?;
    let (dataset, who) = (dataset_name(sync_call)?, of_own_device(call, sync_call, who)?);
    let state = services.sync.dataset_state(&who, &dataset).await.map_err(|why| call.unavailable(why))?;
    if !state.exists() {
        return Err(not_found(format!("Dataset '{}' doesn't exist for identity '{}'.", sync_call.dataset_name, sync_call.identity_id)));
    }
    let outcome = services.sync.subscribe_cognito(&who, dataset).await.map_err(|why| call.unavailable(why))?;
    subscribed(call, outcome)
}

pub(super) async fn unsubscribe(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::UnsubscribeFromDataset(sync_call)).await?;
    let (dataset, who) = (dataset_name(sync_call)?, of_own_device(call, sync_call, who)?);
    let outcome = services.sync.unsubscribe_cognito(&who, dataset).await.map_err(|why| call.unavailable(why))?;
    subscribed(call, outcome)
}

fn subscribed(call: &AwsCall, outcome: SubscribeOutcome) -> AwsAnswer {
    match outcome {
        SubscribeOutcome::Done => json::answer(call.wire, &NoMembers {}, call.id),
        SubscribeOutcome::NoDevice => Err(not_found("The device is not registered")),
        SubscribeOutcome::NotSubscribed => Err(not_found("The device is not subscribed to the dataset")),
        SubscribeOutcome::TooMany => {
            Err(error("TooManyRequestsException", "The device is subscribed to as many datasets as the pool allows"))
        }
    }
}

/// The principal with the device of the path.
fn of_own_device(call: &AwsCall, sync_call: &SyncCall, who: Principal) -> Result<Principal, AwsError> {
    check_own(call.signed()?, sync_call)?;
    let device = DeviceId::new(&sync_call.device_id).ok().filter(|device| !device.as_str().starts_with(RESERVED_DEVICE_PREFIX));
    let device = device.ok_or_else(|| invalid("Value at 'deviceId' failed to satisfy constraint: it must have 1 to 256 characters"))?;
    Ok(Principal { device, ..who })
}

/// Checks that the caller is the identity of the path.
fn check_own(caller: &Caller, sync_call: &SyncCall) -> Result<(), AwsError> {
    match caller.pool_identity() {
        Some(own) if own.pool == sync_call.identity_pool_id && own.identity == sync_call.identity_id => Ok(()),
        Some(_) => Err(error("NotAuthorizedException", "The credentials are of another identity")),
        None => Err(error("NotAuthorizedException", "Only credentials of the identity itself may do this")),
    }
}

fn provider(platform: &str) -> Result<Provider, AwsError> {
    match platform {
        "APNS" => Ok(Provider::Apns),
        "APNS_SANDBOX" => Ok(Provider::ApnsSandbox),
        "GCM" => Ok(Provider::Fcm),
        "ADM" => Err(error("InvalidConfigurationException", "The identity pool has no push application of this platform")),
        _ => Err(invalid("Value at 'platform' failed to satisfy constraint: it must be one of APNS, APNS_SANDBOX, GCM, ADM")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::access::{AccountId, Federation, IDENTITY_PROVIDER, RoleSession};
    use crate::aws::head::AwsRequestHead;

    fn session(pool: &str, identity: &str, provider: &str) -> Caller {
        let claims = vec![("aud".to_owned(), vec![pool.to_owned()]), ("sub".to_owned(), vec![identity.to_owned()])];
        let federation = Some(Federation { provider: provider.to_owned(), principal: provider.to_owned(), claims });
        let (account, text) = (AccountId::parse("123456789012").expect("digits"), || "x".to_owned());
        Caller::AssumedRole(RoleSession { account, role_id: text(), path: text(), role: text(), session: text(), federation })
    }

    #[test]
    fn only_the_identity_itself_may() {
        let path = "/identitypools/local%3Aa/identity/local%3Ab/device";
        let head = AwsRequestHead { method: "POST", path, query: "", headers: &HeaderMap::new() };
        let call = SyncCall::read(&head).expect("a call");
        assert!(check_own(&session("local:a", "local:b", IDENTITY_PROVIDER), &call).is_ok());
        let account = AccountId::parse("123456789012").expect("digits");
        for other in [
            session("local:a", "local:c", IDENTITY_PROVIDER),
            session("local:c", "local:b", IDENTITY_PROVIDER),
            session("local:b", "local:a", IDENTITY_PROVIDER),
            session("local:a", "local:b", "accounts.google.com"),
            Caller::Root { account },
            Caller::Anonymous,
        ] {
            assert_eq!(check_own(&other, &call).map_err(|error| error.code()), Err("NotAuthorizedException"), "{other:?}");
        }
    }

    #[test]
    fn each_platform_has_its_provider() {
        assert_eq!(
            ["APNS", "APNS_SANDBOX", "GCM"].map(|name| provider(name).ok()),
            [Some(Provider::Apns), Some(Provider::ApnsSandbox), Some(Provider::Fcm)]
        );
        assert_eq!(provider("ADM").map_err(|error| error.code()), Err("InvalidConfigurationException"));
        assert_eq!(provider("gcm").map_err(|error| error.code()), Err("InvalidParameterException"));
    }
}
