//! AWS Security Token Service. Source: "AWS Security Token Service API Reference".

use bytes::Bytes;
use http::Response;

use super::answer::AwsRequestId;
use super::query;
use super::query::xml::XmlElement;
use super::service::AwsService;
use crate::access::Caller;

/// The operations that are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StsOperation {
    /// Who signed the request. It needs no policy: everybody who can sign may ask.
    GetCallerIdentity,
}

impl StsOperation {
    /// The operation of a form's `Action`.
    pub fn of_action(action: &str) -> Option<StsOperation> {
        match action {
            "GetCallerIdentity" => Some(StsOperation::GetCallerIdentity),
            _ => None,
        }
    }

    /// Does what a caller asks.
    pub fn answer(self, caller: &Caller, id: AwsRequestId) -> Response<Bytes> {
        match self {
            StsOperation::GetCallerIdentity => {
                let account = caller.account().map(ToString::to_string).unwrap_or_default();
                let (user_id, arn) = (user_id(caller), caller.arn());
                let result = vec![XmlElement::text("UserId", user_id), XmlElement::text("Account", account), XmlElement::text("Arn", arn)];
                query::answer(AwsService::Sts, "GetCallerIdentityResponse", Some(("GetCallerIdentityResult", result)), id)
            }
        }
    }
}

/// The `UserId` of a caller ("GetCallerIdentity"): a root's is its account.
fn user_id(caller: &Caller) -> String {
    match caller {
        Caller::Root { account } => account.to_string(),
        Caller::User(user) => user.id.clone(),
        Caller::AssumedRole(session) => format!("{}:{}", session.role_id, session.session),
        Caller::FederatedUser { account, name, .. } => format!("{account}:{name}"),
        // They sign nothing.
        Caller::WebIdentity { .. } | Caller::Service { .. } | Caller::Anonymous => String::new(),
    }
}
