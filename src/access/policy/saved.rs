//! What is stored of a policy with principals: users and roles by id, so that the policy means those who were there when it was saved.
//! Source: "AWS JSON policy elements: Principal", the notes on deleting and recreating users and roles.

use super::document::{PolicyDocument, read_json};
use super::error::PolicyError;
use super::json::PolicyJson;
use super::kind::PolicyKind;
use super::principal::{PolicyPrincipal, PrincipalName, name_of};
use crate::access::Arn;
use crate::access::arn::root_arn;

/// The text of a trust policy or bucket policy to store: compact, with the ids of users and roles in place of their ARNs and an account's ARN in place of its
/// digits. `id_of` gives the id (`AIDA...`, `AROA...`) of a name, or whether an id is in use, in any account. A principal that is not there is refused,
/// as AWS does: `Invalid principal in policy`.
pub fn resolve_principals(
    kind: PolicyKind,
    text: &str,
    mut id_of: impl FnMut(PrincipalName<'_>) -> Option<String>,
) -> Result<String, PolicyError> {
    kind.check_size(text)?;
    let mut json = read_json(kind, text)?;
    PolicyDocument::of(kind, &json)?;
    for_each_principal(&mut json, |principal| {
        if let Some(PolicyPrincipal::Account(account)) = PolicyPrincipal::parse_aws(principal) {
            *principal = root_arn(&account);
            return Ok(());
        }
        let Some((name, session)) = name_of(principal) else { return Ok(()) };
        let invalid = || kind.malformed(&format!("Invalid principal in policy: \"AWS\":\"{principal}\""));
        let id = id_of(name).ok_or_else(invalid)?;
        *principal = session.map_or(id.clone(), |session| format!("{id}:{session}"));
        Ok(())
    })?;
    written(kind, &json)
}

/// The text of a stored policy to show: `arn_of` gives the ARN that the user or role with an id has now. The id of one that was deleted is shown as it is.
pub fn show_principals(kind: PolicyKind, stored: &str, mut arn_of: impl FnMut(&str) -> Option<String>) -> Result<String, PolicyError> {
    let mut json = read_json(kind, stored)?;
    for_each_principal(&mut json, |principal| {
        let Some((PrincipalName::Id(id), session)) = name_of(principal) else { return Ok(()) };
        let Some(arn) = arn_of(id) else { return Ok(()) };
        *principal = match session {
            None => arn,
            Some(session) => session_arn(&arn, session).unwrap_or_else(|| principal.clone()),
        };
        Ok(())
    })?;
    written(kind, &json)
}

/// The ARN of a role's session, from the role's.
fn session_arn(role: &str, session: &str) -> Option<String> {
    let arn = Arn::parse(role)?;
    let (_, name) = arn.resource.rsplit_once('/')?;
    Some(format!("arn:aws:sts::{}:assumed-role/{name}/{session}", arn.account))
}

fn written(kind: PolicyKind, json: &PolicyJson) -> Result<String, PolicyError> {
    serde_json::to_string(json).map_err(|error| kind.malformed(&error.to_string()))
}

/// Visits the values of `"AWS"` in all principals.
fn for_each_principal(json: &mut PolicyJson, mut visit: impl FnMut(&mut String) -> Result<(), PolicyError>) -> Result<(), PolicyError> {
    let PolicyJson::Object(document) = json else { return Ok(()) };
    let lists = document.iter_mut().filter(|(name, _)| name == "Statement").map(|(_, list)| match list {
        PolicyJson::List(items) => items.as_mut_slice(),
        one => std::slice::from_mut(one),
    });
    for statement in lists.flatten() {
        let PolicyJson::Object(members) = statement else { continue };
        let principals = members.iter_mut().filter(|(name, _)| name == "Principal" || name == "NotPrincipal");
        for (_, principal) in principals {
            let PolicyJson::Object(kinds) = principal else { continue };
            for (_, values) in kinds.iter_mut().filter(|(name, _)| name == "AWS") {
                match values {
                    PolicyJson::Text(text) => visit(text)?,
                    PolicyJson::List(items) => {
                        for item in items {
                            if let PolicyJson::Text(text) = item {
                                visit(text)?;
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
