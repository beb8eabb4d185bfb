//! Amazon Cognito user pools (cognito-idp). Source: "Amazon Cognito user pools API Reference".
//!
//! An operation of administrators is signed, and asks about its pool; one of users is not signed, and proves itself by what it sends.

mod admin;
mod clients;
mod document;
mod faults;
mod pool_shape;
mod pools;
mod requests;
mod self_service;
mod shapes;
mod sign_in;
mod sign_up;

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::services::AwsServices;

pub(super) use document::PoolDocument;

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
