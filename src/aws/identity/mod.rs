//! Amazon Cognito Identity (identity pools). Source: "Amazon Cognito Federated Identities API Reference".

mod access;
mod federate;
mod input;
mod pools;
mod roles;

use serde::Serialize;

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::json;
use super::service::AwsService;
use super::services::AwsServices;

/// Does a call.
pub(super) async fn answer(services: &AwsServices, call: &AwsCall, operation: &str, body: &[u8]) -> AwsAnswer {
    let context = IdentityContext { services, call, body };
    match operation {
        "GetId" => federate::get_id(&context).await,
        "GetCredentialsForIdentity" => federate::credentials(&context).await,
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

/// A call and its body.
struct IdentityContext<'a> {
    services: &'a AwsServices,
    call: &'a AwsCall,
    body: &'a [u8],
}

impl IdentityContext<'_> {
    fn input<T: serde::de::DeserializeOwned>(&self) -> Result<T, AwsError> {
        json::read_body(AwsService::CognitoIdentity, self.body)
    }

    fn output<T: Serialize>(&self, value: &T) -> AwsAnswer {
        json::answer(self.call.wire, value, self.call.id)
    }

    fn error(&self, code: &'static str, message: impl Into<String>) -> AwsError {
        AwsError::new(self.call.wire, code, message)
    }

    fn invalid(&self, message: impl Into<String>) -> AwsError {
        self.error("InvalidParameterException", message)
    }
}
