//! AWS Security Token Service. Source: "AWS Security Token Service API Reference".

mod role;
mod web_identity;

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::query::xml::XmlElement;
use super::query::{self, QueryCall};
use super::service::AwsService;
use super::services::AwsServices;
use crate::access::Caller;
use role::{assumed_elements, credentials, done, role_ask};

macro_rules! sts_operations {
    ($($name:ident),* $(,)?) => {
        /// The operations that are answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum StsOperation { $($name),* }

        impl StsOperation {
            /// The operation of a form's `Action`.
            pub(super) fn of_action(action: &str) -> Option<StsOperation> {
                match action {
                    $(stringify!($name) => Some(StsOperation::$name),)*
                    _ => None,
                }
            }

            /// The elements of its answer.
            fn elements(self) -> (&'static str, &'static str) {
                match self { $(StsOperation::$name => (concat!(stringify!($name), "Response"), concat!(stringify!($name), "Result"))),* }
            }
        }
    };
}

// What each asks about: AssumeRole the caller's policies and the role's trust policy, AssumeRoleWithWebIdentity the trust policy and a provider's token
// (`access::assume`); the others need no policy, because
// "no permissions are required" to learn who one is, whose a key is, and to get a session of one's own ("GetCallerIdentity", "GetAccessKeyInfo",
// "GetSessionToken").
sts_operations!(GetCallerIdentity, AssumeRole, AssumeRoleWithWebIdentity, GetSessionToken, GetAccessKeyInfo);

impl StsOperation {
    /// Does what a caller asks.
    pub(super) async fn answer(self, services: &AwsServices, call: &AwsCall, form: &QueryCall) -> AwsAnswer {
        let result = match self {
            StsOperation::GetCallerIdentity => caller_identity(call.signed()?),
            StsOperation::AssumeRole => assume_role(services, call, form).await?,
            StsOperation::AssumeRoleWithWebIdentity => web_identity::assume(services, call, form).await?,
            StsOperation::GetSessionToken => session_token(services, call, form).await?,
            StsOperation::GetAccessKeyInfo => access_key_info(services, call, form).await?,
        };
        let (response, result_name) = self.elements();
        Ok(query::answer(AwsService::Sts, response, Some((result_name, result)), call.id))
    }
}

fn caller_identity(caller: &Caller) -> Vec<XmlElement> {
    let account = caller.account().map(ToString::to_string).unwrap_or_default();
    vec![XmlElement::text("UserId", user_id(caller)), XmlElement::text("Account", account), XmlElement::text("Arn", caller.arn())]
}

async fn assume_role(services: &AwsServices, call: &AwsCall, form: &QueryCall) -> Result<Vec<XmlElement>, AwsError> {
    let mut ask = role_ask(form)?;
    ask.external_id = form.members().text("ExternalId").map(str::to_owned);
    let signed = call.signed_caller()?;
    let assumed = done(call, services.accounts().assume_role(&signed, &ask, call.context.clone()).await)?;
    Ok(assumed_elements(&assumed, &ask))
}

async fn session_token(services: &AwsServices, call: &AwsCall, form: &QueryCall) -> Result<Vec<XmlElement>, AwsError> {
    let members = form.members();
    if members.text("SerialNumber").is_some() || members.text("TokenCode").is_some() {
        return Err(AwsError::access_denied(call.wire, "MultiFactorAuthentication failed: there are no MFA devices here"));
    }
    let signed = call.signed_caller()?;
    let made = services.accounts().session_token(&signed, members.number("DurationSeconds")?).await;
    Ok(vec![credentials(&done(call, made)?)])
}

async fn access_key_info(services: &AwsServices, call: &AwsCall, form: &QueryCall) -> Result<Vec<XmlElement>, AwsError> {
    call.signed()?;
    let members = form.members();
    let id = members.required("AccessKeyId")?;
    let account = services.accounts().account_of_key(id).await.map_err(|why| call.unavailable(why))?;
    let account = account.ok_or_else(|| AwsError::new(call.wire, "ValidationError", "Invalid AccessKeyId"))?;
    Ok(vec![XmlElement::text("Account", account.to_string())])
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
