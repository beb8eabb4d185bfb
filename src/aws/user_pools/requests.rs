//! What the operations have in common: their bodies, their answers, and the question whether the caller may.

use bytes::Bytes;
use http::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::faults::fault;
use crate::access::{AccessOperation, ArnScope};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::aws::service::AwsService;
use crate::aws::services::AwsServices;
use crate::store::UserPoolId;

/// The body of a call.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    json::read_body(AwsService::CognitoIdp, body)
}

/// An answer with members.
pub(super) fn answered<T: Serialize>(call: &AwsCall, value: &T) -> Result<Response<Bytes>, AwsError> {
    json::answer(call.wire, value, call.id)
}

/// An answer without members.
pub(super) fn done(call: &AwsCall) -> AwsAnswer {
    answered(call, &serde_json::json!({}))
}

/// Asks the policies about an operation on a pool. Whether the pool is there is told only to who may ask: of one that is not, the ARN is one of the
/// caller's own account.
pub(super) async fn check_pool<I: AccessOperation>(services: &AwsServices, call: &AwsCall, input: &I, pool: &str) -> Result<(), AwsError> {
    let caller = call.signed()?;
    let account = match services.user_pools.owner(pool).await {
        Ok(account) => account,
        Err(crate::users::UserFault::NoResource(_)) => match caller.account() {
            Some(account) => account.clone(),
            None => return Err(AwsError::access_denied(call.wire, "The caller has no account")),
        },
        Err(why) => return Err(fault(call.wire, why)),
    };
    let region = UserPoolId::parse(pool).map_or_else(|| services.region.clone(), |pool| pool.region().to_owned());
    call.check(services.accounts(), input, &ArnScope { region, account }).await
}

/// The ARN of a user pool.
pub(super) fn pool_arn(pool: &str, scope: &ArnScope) -> String {
    format!("arn:aws:cognito-idp:{}:{}:userpool/{pool}", scope.region, scope.account)
}
