//! What the operations that give credentials have in common.

use crate::access::{AssumeRefused, AssumeResult, AssumedRole, RoleAsk, TemporaryCredentials};
use crate::aws::call::AwsCall;
use crate::aws::error::AwsError;
use crate::aws::query::QueryCall;
use crate::aws::query::xml::XmlElement;
use crate::aws::service::AwsWire;
use crate::aws::timestamp;

/// What both ways to a role read of their form.
pub(super) fn role_ask(form: &QueryCall) -> Result<RoleAsk, AwsError> {
    let members = form.members();
    let arns = members.list("PolicyArns")?;
    Ok(RoleAsk {
        role_arn: members.required("RoleArn")?.to_owned(),
        session_name: members.required("RoleSessionName")?.to_owned(),
        duration_s: members.number("DurationSeconds")?,
        policy: members.text("Policy").map(str::to_owned),
        policy_arns: arns.iter().map(|member| Ok(member.required("arn")?.to_owned())).collect::<Result<_, AwsError>>()?,
        external_id: None,
    })
}

pub(super) fn assumed_elements(assumed: &AssumedRole, ask: &RoleAsk) -> Vec<XmlElement> {
    let session = &assumed.session;
    let id = format!("{}:{}", session.role_id, session.session);
    let user = vec![XmlElement::text("AssumedRoleId", id), XmlElement::text("Arn", session.arn())];
    let mut elements = vec![credentials(&assumed.credentials), XmlElement::parent("AssumedRoleUser", user)];
    if ask.policy.is_some() || !ask.policy_arns.is_empty() {
        elements.push(XmlElement::text("PackedPolicySize", assumed.packed_policy_percent.to_string()));
    }
    elements
}

pub(super) fn credentials(given: &TemporaryCredentials) -> XmlElement {
    let expiration = timestamp::extended(i64::try_from(given.expires_ms / 1000).unwrap_or(i64::MAX));
    let parts = vec![
        XmlElement::text("AccessKeyId", &given.access_key_id),
        XmlElement::text("SecretAccessKey", given.secret.expose()),
        XmlElement::text("SessionToken", &given.session_token),
        XmlElement::text("Expiration", expiration),
    ];
    XmlElement::parent("Credentials", parts)
}

pub(super) fn done<T>(call: &AwsCall, result: AssumeResult<T>) -> Result<T, AwsError> {
    let wire = call.wire;
    result.map_err(|why| call.unavailable(why))?.map_err(|refused| refused_error(wire, refused))
}

pub(super) fn refused_error(wire: AwsWire, refused: AssumeRefused) -> AwsError {
    match refused {
        AssumeRefused::Denied(message) => AwsError::access_denied(wire, message),
        AssumeRefused::Invalid(message) => AwsError::new(wire, "ValidationError", message),
        AssumeRefused::Policy(error) => AwsError::new(wire, error.code, error.message),
        AssumeRefused::PolicyTooLarge => {
            AwsError::new(wire, "PackedPolicyTooLarge", "The policies of the session take more space than a session token has")
        }
    }
}
