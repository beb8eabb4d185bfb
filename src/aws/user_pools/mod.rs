//! Amazon Cognito user pools (cognito-idp). Source: "Amazon Cognito user pools API Reference".
//!
//! An operation of administrators is signed, and asks about its pool; one of users is not signed, and proves itself by what it sends.

mod admin;
mod clients;
mod faults;
mod pool_shape;
mod pools;
mod self_service;
mod shapes;
mod sign_in;
mod sign_up;

use bytes::Bytes;
use http::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer;
use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::json;
use super::service::{AwsService, AwsWire};
use super::services::AwsServices;
use crate::access::{AccessOperation, ArnScope};
use crate::store::UserPoolId;

pub(super) use faults::fault;

/// Does a call.
pub(super) async fn answer(services: &AwsServices, call: &AwsCall, operation: &str, body: &[u8]) -> AwsAnswer {
    match operation {
        "CreateUserPool" => pools::create(services, call, body).await,
        "DescribeUserPool" => pools::describe(services, call, body).await,
        "DeleteUserPool" => pools::delete(services, call, body).await,
        "ListUserPools" => pools::list(services, call, body).await,
        "CreateUserPoolClient" => clients::create(services, call, body).await,
        "DescribeUserPoolClient" => clients::describe(services, call, body).await,
        "DeleteUserPoolClient" => clients::delete(services, call, body).await,
        "ListUserPoolClients" => clients::list(services, call, body).await,
        "SignUp" => sign_up::sign_up(services, call, body).await,
        "ConfirmSignUp" => sign_up::confirm(services, call, body).await,
        "ResendConfirmationCode" => sign_up::resend(services, call, body).await,
        "ForgotPassword" => sign_up::forgot(services, call, body).await,
        "ConfirmForgotPassword" => sign_up::confirm_forgot(services, call, body).await,
        "InitiateAuth" => sign_in::initiate(services, call, body).await,
        "RespondToAuthChallenge" => sign_in::respond(services, call, body).await,
        "GetTokensFromRefreshToken" => sign_in::refresh(services, call, body).await,
        "RevokeToken" => sign_in::revoke(services, call, body).await,
        "AdminInitiateAuth" => sign_in::admin_initiate(services, call, body).await,
        "AdminRespondToAuthChallenge" => sign_in::admin_respond(services, call, body).await,
        "GetUser" => self_service::get_user(services, call, body).await,
        "UpdateUserAttributes" => self_service::update_attributes(services, call, body).await,
        "ChangePassword" => self_service::change_password(services, call, body).await,
        "GlobalSignOut" => self_service::global_sign_out(services, call, body).await,
        "DeleteUser" => self_service::delete_user(services, call, body).await,
        "AdminCreateUser" => admin::create_user(services, call, body).await,
        "AdminGetUser" => admin::get_user(services, call, body).await,
        "AdminSetUserPassword" => admin::set_password(services, call, body).await,
        "ListUsers" => admin::list_users(services, call, body).await,
        _ => Err(AwsError::unknown_operation(call.wire, operation, None)),
    }
}

/// The document of a path such as `/local_AbCdEfGhI/.well-known/jwks.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PoolDocument {
    Keys(UserPoolId),
    Discovery(UserPoolId),
}

impl PoolDocument {
    pub(super) fn of_path(path: &str) -> Option<PoolDocument> {
        let (pool, document) = path.strip_prefix('/')?.split_once('/')?;
        let pool = UserPoolId::parse(pool)?;
        match document {
            ".well-known/jwks.json" => Some(PoolDocument::Keys(pool)),
            ".well-known/openid-configuration" => Some(PoolDocument::Discovery(pool)),
            _ => None,
        }
    }

    pub(super) async fn answer(&self, services: &AwsServices, id: answer::AwsRequestId) -> AwsAnswer {
        let document = match self {
            PoolDocument::Keys(pool) => services.user_pools.jwks(pool.as_str()).await,
            PoolDocument::Discovery(pool) => services.user_pools.discovery(pool.as_str()).await,
        };
        let document = document.map_err(|why| fault(AwsWire::Json, why))?;
        Ok(answer::with_body(document.into_bytes(), http::HeaderValue::from_static("application/json"), AwsWire::Json, id))
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, AwsError> {
    json::read_body(AwsService::CognitoIdp, body)
}

fn answered<T: Serialize>(call: &AwsCall, value: &T) -> Result<Response<Bytes>, AwsError> {
    json::answer(call.wire, value, call.id)
}

/// An answer without members.
fn done(call: &AwsCall) -> AwsAnswer {
    answered(call, &serde_json::json!({}))
}

/// Asks the policies about an operation on a pool. Whether the pool is there is told only to who may ask: of one that is not, the ARN is one of the
/// caller's own account.
async fn check_pool<I: AccessOperation>(services: &AwsServices, call: &AwsCall, input: &I, pool: &str) -> Result<(), AwsError> {
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

fn pool_arn(pool: &str, scope: &ArnScope) -> String {
    format!("arn:aws:cognito-idp:{}:{}:userpool/{pool}", scope.region, scope.account)
}
