//! AWS Security Token Service. Source: "AWS Security Token Service API Reference".

use super::call::{AwsAnswer, AwsCall};
use super::query::xml::XmlElement;
use super::query::{self, QueryCall};
use super::service::AwsService;
use super::services::AwsServices;
use crate::access::Caller;

/// The operations that are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StsOperation {
    /// Who signed the request. It needs no policy: everybody who can sign may ask.
    GetCallerIdentity,
}

impl StsOperation {
    /// The operation of a form's `Action`.
    pub(super) fn of_action(action: &str) -> Option<StsOperation> {
        match action {
            "GetCallerIdentity" => Some(StsOperation::GetCallerIdentity),
            _ => None,
        }
    }

    /// Does what a caller asks.
    pub(super) async fn answer(self, _: &AwsServices, call: &AwsCall, _: &QueryCall) -> AwsAnswer {
        let caller = call.signed()?;
        match self {
            StsOperation::GetCallerIdentity => {
                let account = caller.account().map(ToString::to_string).unwrap_or_default();
                let (user_id, arn) = (user_id(caller), caller.arn());
                let result = vec![XmlElement::text("UserId", user_id), XmlElement::text("Account", account), XmlElement::text("Arn", arn)];
                Ok(query::answer(AwsService::Sts, "GetCallerIdentityResponse", Some(("GetCallerIdentityResult", result)), call.id))
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
