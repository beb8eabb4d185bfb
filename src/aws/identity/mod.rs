//! Amazon Cognito Identity (identity pools). Source: "Amazon Cognito Federated Identities API Reference".

mod access;
mod context;
mod federate;
mod input;
mod pools;
mod roles;

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::services::AwsServices;
use context::IdentityContext;

/// Does a call.
pub(super) async fn answer(services: &AwsServices, call: &AwsCall, operation: &str, body: &[u8]) -> AwsAnswer {
    let context = IdentityContext { services, call, body };
    match operation {
        "GetId" => federate::get_id(&context).await,
        "GetCredentialsForIdentity" => federate::credentials(&context).await,
        "GetOpenIdToken" => federate::open_id_token(&context).await,
        "UnlinkIdentity" => federate::unlink(&context).await,
        "DescribeIdentity" => federate::describe(&context).await,
        "CreateIdentityPool" => pools::create(&context).await,
        "DescribeIdentityPool" => pools::describe(&context).await,
        "UpdateIdentityPool" => pools::update(&context).await,
        "DeleteIdentityPool" => pools::delete(&context).await,
        "ListIdentityPools" => pools::list(&context).await,
        "SetIdentityPoolRoles" => roles::set(&context).await,
        "GetIdentityPoolRoles" => roles::get(&context).await,
        _ => Err(AwsError::unknown_operation(call.wire, operation, None)),
    }
}
