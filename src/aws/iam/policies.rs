//! Operations on managed policies.

use super::iam_call::{IamCall, IamResultElements, date, document, listed, tag_elements};
use crate::access::{IamPage, NewPolicy, PolicyRecord};
use crate::aws::query::xml::XmlElement;

fn policy_elements(found: &PolicyRecord) -> Vec<XmlElement> {
    let PolicyRecord { arn, policy } = found;
    let mut elements = vec![
        XmlElement::text("PolicyName", &policy.name),
        XmlElement::text("PolicyId", &policy.id),
        XmlElement::text("Arn", arn),
        XmlElement::text("Path", &policy.path),
        XmlElement::text("DefaultVersionId", &policy.default_version),
        XmlElement::text("AttachmentCount", policy.attachments.to_string()),
        XmlElement::text("PermissionsBoundaryUsageCount", "0"),
        XmlElement::text("IsAttachable", "true"),
    ];
    elements.extend(policy.description.as_ref().map(|text| XmlElement::text("Description", text)));
    elements.extend([date("CreateDate", policy.made_ms), date("UpdateDate", policy.changed_ms)]);
    elements.extend(tag_elements(&policy.tags));
    elements
}

pub(super) async fn create(iam: &IamCall<'_>) -> IamResultElements {
    let new = NewPolicy {
        name: iam.required("PolicyName")?.to_owned(),
        path: iam.text("Path"),
        description: iam.text("Description"),
        document: iam.required("PolicyDocument")?.to_owned(),
        tags: iam.tags()?,
    };
    let policy = iam.done(iam.services.accounts().create_policy(iam.account, new).await)?;
    Ok(Some(vec![XmlElement::parent("Policy", policy_elements(&policy))]))
}

pub(super) async fn get(iam: &IamCall<'_>) -> IamResultElements {
    let policy = iam.done(iam.services.accounts().policy(iam.account, iam.required("PolicyArn")?).await)?;
    Ok(Some(vec![XmlElement::parent("Policy", policy_elements(&policy))]))
}

pub(super) async fn list(iam: &IamCall<'_>) -> IamResultElements {
    let (prefix, marker, most) = iam.page()?;
    let only_attached = iam.members.boolean("OnlyAttached")?.unwrap_or(false);
    // There are no policies of AWS's own here.
    let page = match iam.members.text("Scope") {
        Some("AWS") => IamPage { items: Vec::new(), marker: None },
        _ => iam.done(iam.services.accounts().policies(iam.account, prefix, only_attached, marker, most).await)?,
    };
    Ok(Some(listed("Policies", page, |policy| policy_elements(&policy))))
}

pub(super) async fn delete(iam: &IamCall<'_>) -> IamResultElements {
    iam.done(iam.services.accounts().delete_policy(iam.account, iam.required("PolicyArn")?).await)?;
    Ok(None)
}

pub(super) async fn version(iam: &IamCall<'_>) -> IamResultElements {
    let (arn, name) = (iam.required("PolicyArn")?, iam.required("VersionId")?);
    let (version, is_default) = iam.done(iam.services.accounts().policy_version(iam.account, arn, name).await)?;
    let elements = vec![
        document("Document", &version.document),
        XmlElement::text("VersionId", name),
        XmlElement::text("IsDefaultVersion", is_default.to_string()),
        date("CreateDate", version.made_ms),
    ];
    Ok(Some(vec![XmlElement::parent("PolicyVersion", elements)]))
}
