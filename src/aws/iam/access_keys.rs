//! Operations on access keys: of a user, or of the account's root if it signs and names no user.

use super::iam_call::{IamCall, IamResultElements, date, listed, whole};
use crate::access::{AccountRefused, UserKey};
use crate::aws::error::AwsError;
use crate::aws::query::xml::XmlElement;
use crate::store::AccessKeyStatus;

/// What the root is called in the answers.
const ROOT: &str = "root";

fn status_text(status: AccessKeyStatus) -> &'static str {
    match status {
        AccessKeyStatus::Active => "Active",
        AccessKeyStatus::Inactive => "Inactive",
    }
}

fn key_elements(key: &UserKey) -> Vec<XmlElement> {
    let mut elements = vec![
        XmlElement::text("UserName", &key.user),
        XmlElement::text("AccessKeyId", &key.id),
        XmlElement::text("Status", status_text(key.status)),
    ];
    elements.extend(key.secret.as_ref().map(|secret| XmlElement::text("SecretAccessKey", secret.expose())));
    elements.push(date("CreateDate", key.made_ms));
    elements
}

/// What a change of the root's keys came to.
fn root_done<T>(iam: &IamCall<'_>, result: crate::access::AccountResult<T>) -> Result<T, AwsError> {
    let wire = iam.call.wire;
    result.map_err(|why| iam.call.unavailable(why))?.map_err(|why| match why {
        AccountRefused::TooManyKeys => AwsError::new(wire, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"),
        AccountRefused::NoKey => AwsError::new(wire, "NoSuchEntity", "The Access Key cannot be found."),
        other => AwsError::new(wire, "NoSuchEntity", other.to_string()),
    })
}

pub(super) async fn create(iam: &IamCall<'_>) -> IamResultElements {
    let accounts = iam.services.accounts();
    let key = match iam.user_name() {
        Some(user) => iam.done(accounts.create_user_key(iam.account, user).await)?,
        None => {
            let made = root_done(iam, accounts.add_root_key(iam.account.clone()).await)?;
            let made_ms = iam.services.clock().unix_ms();
            UserKey { user: ROOT.to_owned(), id: made.id, status: AccessKeyStatus::Active, made_ms, secret: Some(made.secret) }
        }
    };
    Ok(Some(vec![XmlElement::parent("AccessKey", key_elements(&key))]))
}

pub(super) async fn list(iam: &IamCall<'_>) -> IamResultElements {
    let accounts = iam.services.accounts();
    let keys = match iam.user_name() {
        Some(user) => iam.done(accounts.user_keys(iam.account, user).await)?,
        None => {
            let keys = root_done(iam, accounts.root_keys(iam.account.clone()).await)?;
            let shown = |key: crate::store::AccessKey| UserKey {
                user: ROOT.to_owned(),
                id: key.id,
                status: key.status,
                made_ms: key.made_ms,
                secret: None,
            };
            keys.into_iter().map(shown).collect()
        }
    };
    Ok(Some(listed("AccessKeyMetadata", whole(keys), |key| key_elements(&key))))
}

pub(super) async fn update(iam: &IamCall<'_>) -> IamResultElements {
    let status = match iam.required("Status")? {
        "Active" => AccessKeyStatus::Active,
        "Inactive" => AccessKeyStatus::Inactive,
        _ => return Err(AwsError::new(iam.call.wire, "ValidationError", "The parameter Status must be Active or Inactive")),
    };
    let (accounts, id) = (iam.services.accounts(), iam.required("AccessKeyId")?);
    match iam.user_name() {
        Some(user) => iam.done(accounts.set_user_key_status(iam.account, user, id, status).await)?,
        None => root_done(iam, accounts.set_root_key_status(iam.account.clone(), id.to_owned(), status).await)?,
    }
    Ok(None)
}

pub(super) async fn delete(iam: &IamCall<'_>) -> IamResultElements {
    let (accounts, id) = (iam.services.accounts(), iam.required("AccessKeyId")?);
    match iam.user_name() {
        Some(user) => iam.done(accounts.delete_user_key(iam.account, user, id).await)?,
        None => root_done(iam, accounts.delete_root_key(iam.account.clone(), id.to_owned()).await)?,
    }
    Ok(None)
}
