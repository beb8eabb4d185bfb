//! Operations on the policies of a user, group or role.

use super::iam_call::{IamCall, IamResultElements, document, listed, whole};
use crate::access::MOST_ITEMS;
use crate::aws::error::AwsError;
use crate::aws::query::xml::XmlElement;
use crate::store::PrincipalKind;

fn member(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "UserName",
        PrincipalKind::Group => "GroupName",
        PrincipalKind::Role => "RoleName",
    }
}

fn name<'a>(iam: &IamCall<'a>, kind: PrincipalKind) -> Result<&'a str, AwsError> {
    iam.required(member(kind))
}

pub(super) async fn attach(iam: &IamCall<'_>, kind: PrincipalKind) -> IamResultElements {
    iam.done(iam.services.accounts().attach_policy(iam.account, kind, name(iam, kind)?, iam.required("PolicyArn")?).await)?;
    Ok(None)
}

pub(super) async fn detach(iam: &IamCall<'_>, kind: PrincipalKind) -> IamResultElements {
    iam.done(iam.services.accounts().detach_policy(iam.account, kind, name(iam, kind)?, iam.required("PolicyArn")?).await)?;
    Ok(None)
}

pub(super) async fn attached(iam: &IamCall<'_>, kind: PrincipalKind) -> IamResultElements {
    let arns = iam.done(iam.services.accounts().attached_policies(iam.account, kind, name(iam, kind)?).await)?;
    let element = |arn: String| {
        let policy = arn.rsplit('/').next().unwrap_or_default().to_owned();
        vec![XmlElement::text("PolicyName", policy), XmlElement::text("PolicyArn", arn)]
    };
    Ok(Some(listed("AttachedPolicies", whole(arns), element)))
}

pub(super) async fn put(iam: &IamCall<'_>, kind: PrincipalKind) -> IamResultElements {
    let (policy, text) = (iam.required("PolicyName")?, iam.required("PolicyDocument")?);
    iam.done(iam.services.accounts().put_inline_policy(iam.account, kind, name(iam, kind)?, policy, text).await)?;
    Ok(None)
}

pub(super) async fn get(iam: &IamCall<'_>, kind: PrincipalKind) -> IamResultElements {
    let found = iam.services.accounts().inline_policy(iam.account, kind, name(iam, kind)?, iam.required("PolicyName")?).await;
    let found = iam.done(found)?;
    let principal = XmlElement::text(member(kind), found.principal);
    Ok(Some(vec![principal, XmlElement::text("PolicyName", found.name), document("PolicyDocument", &found.document)]))
}

pub(super) async fn list(iam: &IamCall<'_>, kind: PrincipalKind) -> IamResultElements {
    let names = iam.done(iam.services.accounts().inline_policies(iam.account, kind, name(iam, kind)?).await)?;
    debug_assert!(names.len() <= MOST_ITEMS);
    Ok(Some(vec![XmlElement::texts("PolicyNames", names), XmlElement::text("IsTruncated", "false")]))
}

pub(super) async fn delete(iam: &IamCall<'_>, kind: PrincipalKind) -> IamResultElements {
    let policy = iam.required("PolicyName")?;
    iam.done(iam.services.accounts().delete_inline_policy(iam.account, kind, name(iam, kind)?, policy).await)?;
    Ok(None)
}
