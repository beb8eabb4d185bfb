//! Whose datasets a call is for, and who writes.

use driftless_protocol::DeviceId;
use driftless_protocol::limits::RESERVED_DEVICE_PREFIX;

use super::refusal::{invalid, not_found};
use crate::access::{AccessOperation, ArnScope, Caller};
use crate::aws::call::AwsCall;
use crate::aws::error::AwsError;
use crate::aws::rest::SyncCall;
use crate::aws::services::AwsServices;
use crate::identity::PoolDetails;
use crate::store::Identity;
use crate::sync::Principal;

/// The longest id of a pool or an identity (IdentityPoolId and IdentityId of the service's model).
const MAX_ID_CHARS: usize = 55;

/// The identity of a call's path, after it was found that the caller may do what it asks. Its device is the caller's name as a writer.
pub(super) async fn principal<I: AccessOperation>(
    services: &AwsServices,
    call: &AwsCall,
    sync_call: &SyncCall,
    ask: &I,
) -> Result<Principal, AwsError> {
    let caller = call.signed()?;
    check_id("identityPoolId", &sync_call.identity_pool_id)?;
    check_id("identityId", &sync_call.identity_id)?;
    call.check(services.accounts(), ask, &scope(services, call, &sync_call.identity_pool_id).await?).await?;
    let pool = services.pools.by_id(&sync_call.identity_pool_id);
    let pool = pool.ok_or_else(|| not_found(format!("IdentityPool '{}' not found.", sync_call.identity_pool_id)))?;
    let identity = Identity::from(sync_call.identity_id.as_str());
    let principal = Principal { pool, identity, device: writer(caller)? };
    match services.sync.identity_exists(&principal).await.map_err(|why| call.unavailable(why))? {
        true => Ok(principal),
        false => Err(not_found(format!("Identity '{}' not found.", sync_call.identity_id))),
    }
}

/// Where the ARNs of a pool point to: its account. A pool that is not there is one of the caller's, so that others learn nothing.
async fn scope(services: &AwsServices, call: &AwsCall, pool: &str) -> Result<ArnScope, AwsError> {
    let account = match services.federation.pools.find(pool).await.map_err(|why| call.unavailable(why))? {
        Ok(PoolDetails { account: Some(account), .. }) => Some(account),
        Ok(_) => return services.declared_scope(call).await,
        Err(_) => call.signed()?.account().cloned(),
    };
    let account = account.ok_or_else(|| AwsError::internal(call.wire))?;
    Ok(ArnScope { region: services.region.clone(), account })
}

/// The same identity, with one of its devices as the writer if it has that device.
pub(super) async fn with_device(
    services: &AwsServices,
    call: &AwsCall,
    principal: Principal,
    device: Option<&str>,
) -> Result<Principal, AwsError> {
    let Some(device) = device.and_then(|device| DeviceId::new(device).ok()) else { return Ok(principal) };
    // The names of the server's own writers are no devices.
    if device.as_str().starts_with(RESERVED_DEVICE_PREFIX) {
        return Ok(principal);
    }
    let as_device = Principal { device, ..principal.clone() };
    let is_device = services.sync.is_device(&as_device).await.map_err(|why| call.unavailable(why))?;
    Ok(if is_device { as_device } else { principal })
}

/// The name of a caller as a writer: its identity if it is one, else its account, behind the mark of a writer that is no device.
fn writer(caller: &Caller) -> Result<DeviceId, AwsError> {
    let name = match (caller.pool_identity(), caller.account()) {
        (Some(identity), _) => identity.identity.to_owned(),
        (None, Some(account)) => account.to_string(),
        (None, None) => String::new(),
    };
    DeviceId::new(&format!("{RESERVED_DEVICE_PREFIX}{name}")).map_err(|_| invalid("The caller's name cannot be a writer's"))
}

/// A writer's name as answers show it: without the mark.
pub(super) fn shown(device: &DeviceId) -> String {
    let name = device.as_str();
    name.strip_prefix(RESERVED_DEVICE_PREFIX).unwrap_or(name).to_owned()
}

/// `[\w-]+:[0-9a-f-]+`, of 1 to 55 characters.
fn check_id(member: &str, id: &str) -> Result<(), AwsError> {
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| b"0123456789abcdef-".contains(&byte));
    match id.split_once(':') {
        Some((region, rest)) if id.len() <= MAX_ID_CHARS && is_word(region) && is_hex(rest) => Ok(()),
        _ => Err(invalid(format!(
            "Value at '{member}' failed to satisfy constraint: it must match [\\w-]+:[0-9a-f-]+ and have 1 to 55 characters"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AccountId, Federation, IDENTITY_PROVIDER, RoleSession};

    #[test]
    fn ids_are_checked_as_the_model_says() {
        for id in ["us-east-1:0c1b", "local:1-2", "a_b:f"] {
            assert!(check_id("identityId", id).is_ok(), "{id}");
        }
        for id in ["", ":", "a:", ":a", "a:g", "a:B", "a b:1", "a:1:2", "../a:1", &format!("a:{}", "0".repeat(54))] {
            assert_eq!(check_id("identityId", id).map_err(|error| error.code()), Err("InvalidParameterException"), "{id}");
        }
    }

    #[test]
    fn a_writer_is_the_identity_or_the_account() {
        let account = AccountId::parse("123456789012").expect("digits");
        let root = writer(&Caller::Root { account: account.clone() }).expect("a name");
        assert_eq!((root.as_str(), shown(&root).as_str()), ("~123456789012", "123456789012"));
        let claims = vec![("aud".to_owned(), vec!["local:a".to_owned()]), ("sub".to_owned(), vec!["local:b".to_owned()])];
        let provider = IDENTITY_PROVIDER.to_owned();
        let federation = Some(Federation { provider: provider.clone(), principal: provider, claims });
        let text = || "x".to_owned();
        let session = RoleSession { account, role_id: text(), path: text(), role: text(), session: text(), federation };
        assert_eq!(writer(&Caller::AssumedRole(session)).expect("a name").as_str(), "~local:b");
        assert_eq!(shown(&DeviceId::new("phone").expect("a name")), "phone");
    }
}
