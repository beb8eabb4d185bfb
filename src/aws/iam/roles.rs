//! Operations on roles.

use super::iam_call::{IamCall, IamResultElements, boundary_element, date, document, listed, tag_elements};
use crate::access::{NewRole, RoleRecord};
use crate::aws::query::xml::XmlElement;

fn role_elements(found: &RoleRecord) -> Vec<XmlElement> {
    let role = &found.role;
    let mut elements = vec![
        XmlElement::text("Path", &role.path),
        XmlElement::text("RoleName", &role.name),
        XmlElement::text("RoleId", &role.id),
        XmlElement::text("Arn", &found.arn),
        date("CreateDate", role.made_ms),
        document("AssumeRolePolicyDocument", &found.trust),
    ];
    elements.extend(role.description.as_ref().map(|text| XmlElement::text("Description", text)));
    elements.push(XmlElement::text("MaxSessionDuration", role.max_session_s.to_string()));
    elements.extend(boundary_element(role.boundary.as_ref()));
    elements.extend(tag_elements(&role.tags));
    elements
}

pub(super) async fn create(iam: &IamCall<'_>) -> IamResultElements {
    let new = NewRole {
        name: iam.required("RoleName")?.to_owned(),
        path: iam.text("Path"),
        trust: iam.required("AssumeRolePolicyDocument")?.to_owned(),
        description: iam.text("Description"),
        max_session_s: iam.members.number("MaxSessionDuration")?,
        boundary: iam.text("PermissionsBoundary"),
        tags: iam.tags()?,
    };
    let role = iam.done(iam.services.accounts().create_role(iam.account, new).await)?;
    Ok(Some(vec![XmlElement::parent("Role", role_elements(&role))]))
}

pub(super) async fn get(iam: &IamCall<'_>) -> IamResultElements {
    let role = iam.done(iam.services.accounts().role(iam.account, iam.required("RoleName")?).await)?;
    Ok(Some(vec![XmlElement::parent("Role", role_elements(&role))]))
}

pub(super) async fn list(iam: &IamCall<'_>) -> IamResultElements {
    let (prefix, marker, most) = iam.page()?;
    let page = iam.done(iam.services.accounts().roles(iam.account, prefix, marker, most).await)?;
    Ok(Some(listed("Roles", page, |role| role_elements(&role))))
}

pub(super) async fn delete(iam: &IamCall<'_>) -> IamResultElements {
    iam.done(iam.services.accounts().delete_role(iam.account, iam.required("RoleName")?).await)?;
    Ok(None)
}

pub(super) async fn update_trust(iam: &IamCall<'_>) -> IamResultElements {
    let (role, trust) = (iam.required("RoleName")?, iam.required("PolicyDocument")?);
    iam.done(iam.services.accounts().update_trust(iam.account, role, trust).await)?;
    Ok(None)
}
