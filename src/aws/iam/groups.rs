//! Operations on groups and their users.

use super::iam_call::{IamCall, IamResultElements, date, listed, whole};
use super::users::user_elements;
use crate::access::AccountId;
use crate::aws::query::xml::XmlElement;
use crate::store::IamGroup;

fn group_elements(account: &AccountId, group: &IamGroup) -> Vec<XmlElement> {
    vec![
        XmlElement::text("Path", &group.path),
        XmlElement::text("GroupName", &group.name),
        XmlElement::text("GroupId", &group.id),
        XmlElement::text("Arn", format!("arn:aws:iam::{account}:group{}{}", group.path, group.name)),
        date("CreateDate", group.made_ms),
    ]
}

pub(super) async fn create(iam: &IamCall<'_>) -> IamResultElements {
    let made = iam.services.accounts().create_group(iam.account, iam.required("GroupName")?, iam.text("Path")).await;
    Ok(Some(vec![XmlElement::parent("Group", group_elements(iam.account, &iam.done(made)?))]))
}

pub(super) async fn get(iam: &IamCall<'_>) -> IamResultElements {
    let (_, marker, most) = iam.page()?;
    let found = iam.services.accounts().group(iam.account, iam.required("GroupName")?, marker, most).await;
    let (group, users) = iam.done(found)?;
    let mut result = vec![XmlElement::parent("Group", group_elements(iam.account, &group))];
    result.extend(listed("Users", users, |user| user_elements(iam.account, &user)));
    Ok(Some(result))
}

pub(super) async fn list(iam: &IamCall<'_>) -> IamResultElements {
    let (prefix, marker, most) = iam.page()?;
    let page = iam.done(iam.services.accounts().groups(iam.account, prefix, marker, most).await)?;
    Ok(Some(listed("Groups", page, |group| group_elements(iam.account, &group))))
}

pub(super) async fn of_user(iam: &IamCall<'_>) -> IamResultElements {
    let groups = iam.done(iam.services.accounts().groups_of_user(iam.account, iam.required("UserName")?).await)?;
    Ok(Some(listed("Groups", whole(groups), |group| group_elements(iam.account, &group))))
}

pub(super) async fn delete(iam: &IamCall<'_>) -> IamResultElements {
    iam.done(iam.services.accounts().delete_group(iam.account, iam.required("GroupName")?).await)?;
    Ok(None)
}

pub(super) async fn add_user(iam: &IamCall<'_>) -> IamResultElements {
    let (group, user) = (iam.required("GroupName")?, iam.required("UserName")?);
    iam.done(iam.services.accounts().add_to_group(iam.account, group, user).await)?;
    Ok(None)
}

pub(super) async fn remove_user(iam: &IamCall<'_>) -> IamResultElements {
    let (group, user) = (iam.required("GroupName")?, iam.required("UserName")?);
    iam.done(iam.services.accounts().remove_from_group(iam.account, group, user).await)?;
    Ok(None)
}
