//! Operations on users.

use super::iam_call::{IamCall, IamResultElements, boundary_element, date, listed, tag_elements};
use crate::access::{AccountId, NewUser};
use crate::aws::query::xml::XmlElement;
use crate::store::IamUser;

pub(super) fn user_elements(account: &AccountId, user: &IamUser) -> Vec<XmlElement> {
    let arn = format!("arn:aws:iam::{account}:user{}{}", user.path, user.name);
    let mut elements = vec![
        XmlElement::text("Path", &user.path),
        XmlElement::text("UserName", &user.name),
        XmlElement::text("UserId", &user.id),
        XmlElement::text("Arn", arn),
        date("CreateDate", user.made_ms),
    ];
    elements.extend(boundary_element(user.boundary.as_ref()));
    elements.extend(tag_elements(&user.tags));
    elements
}

pub(super) async fn create(iam: &IamCall<'_>) -> IamResultElements {
    let new = NewUser {
        name: iam.required("UserName")?.to_owned(),
        path: iam.text("Path"),
        boundary: iam.text("PermissionsBoundary"),
        tags: iam.tags()?,
    };
    let user = iam.done(iam.services.accounts().create_user(iam.account, new).await)?;
    Ok(Some(vec![XmlElement::parent("User", user_elements(iam.account, &user))]))
}

/// Without a name it is the caller: for the root a user that has no name.
pub(super) async fn get(iam: &IamCall<'_>) -> IamResultElements {
    let elements = match iam.user_name() {
        Some(name) => user_elements(iam.account, &iam.done(iam.services.accounts().user(iam.account, name).await)?),
        None => {
            let account = iam.account;
            vec![XmlElement::text("UserId", account.to_string()), XmlElement::text("Arn", format!("arn:aws:iam::{account}:root"))]
        }
    };
    Ok(Some(vec![XmlElement::parent("User", elements)]))
}

pub(super) async fn list(iam: &IamCall<'_>) -> IamResultElements {
    let (prefix, marker, most) = iam.page()?;
    let page = iam.done(iam.services.accounts().users(iam.account, prefix, marker, most).await)?;
    Ok(Some(listed("Users", page, |user| user_elements(iam.account, &user))))
}

pub(super) async fn delete(iam: &IamCall<'_>) -> IamResultElements {
    iam.done(iam.services.accounts().delete_user(iam.account, iam.required("UserName")?).await)?;
    Ok(None)
}
