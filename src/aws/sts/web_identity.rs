//! AssumeRoleWithWebIdentity: a role for a provider's token.

use super::role::{assumed_elements, refused_error, role_ask};
use crate::aws::call::AwsCall;
use crate::aws::error::AwsError;
use crate::aws::query::QueryCall;
use crate::aws::query::xml::XmlElement;
use crate::aws::services::AwsServices;
use crate::identity::{WebIdentityRefused, WebIdentitySession};

pub(super) async fn assume(services: &AwsServices, call: &AwsCall, form: &QueryCall) -> Result<Vec<XmlElement>, AwsError> {
    let members = form.members();
    let error = |code, text: &str| AwsError::new(call.wire, code, text);
    if members.text("ProviderId").is_some() {
        return Err(error("InvalidIdentityToken", "The opaque tokens of Facebook and Amazon are not taken here yet"));
    }
    let (ask, token) = (role_ask(form)?, members.required("WebIdentityToken")?);
    let no_keys = || {
        let text = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation \
                    for requirements";
        error("IDPCommunicationError", text)
    };
    let web = services.web_identities.as_ref().ok_or_else(no_keys)?;
    let assumed = web.assume(&ask, token, call.context.clone()).await.map_err(|why| call.unavailable(why))?;
    let session = assumed.map_err(|refused| match refused {
        WebIdentityRefused::Token(why) => error("InvalidIdentityToken", &why),
        WebIdentityRefused::Expired => error("ExpiredTokenException", "Token expired: the current time must be before its expiration"),
        WebIdentityRefused::ProviderUnavailable => no_keys(),
        WebIdentityRefused::Role(refused) => refused_error(call.wire, refused),
    })?;
    let WebIdentitySession { assumed, subject, audience, provider } = session;
    let mut elements = assumed_elements(&assumed, &ask);
    elements.extend([
        XmlElement::text("SubjectFromWebIdentityToken", subject),
        XmlElement::text("Provider", provider),
        XmlElement::text("Audience", audience),
    ]);
    Ok(elements)
}
