//! Names, paths and tags as IAM allows them. Source: the patterns of IAM's model, and "IAM and AWS STS quotas".

use super::error::IamError;
use crate::access::Arn;
use crate::store::IamTag;

/// Tags of one entity.
pub const MAX_TAGS: usize = 50;

/// Characters of a path, with both slashes.
const MAX_PATH: usize = 512;

/// Characters of a name: users and roles have 64, groups and policies 128.
#[derive(Clone, Copy)]
pub(super) enum NameKind {
    User,
    Group,
    Role,
    Policy,
}

impl NameKind {
    fn bound(self) -> usize {
        match self {
            NameKind::User | NameKind::Role => 64,
            NameKind::Group | NameKind::Policy => 128,
        }
    }

    fn member(self) -> &'static str {
        match self {
            NameKind::User => "userName",
            NameKind::Group => "groupName",
            NameKind::Role => "roleName",
            NameKind::Policy => "policyName",
        }
    }
}

/// The key of a name, if it is one.
pub(super) fn key_of(kind: NameKind, name: &str) -> Result<String, IamError> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let is_name = !name.is_empty() && name.len() <= kind.bound() && name.chars().all(is_letter);
    let wrong = || {
        IamError::invalid(format!(
            "The specified value for {} is invalid. It must contain 1 to {} alphanumeric characters and/or the following: +=,.@_-",
            kind.member(),
            kind.bound()
        ))
    };
    is_name.then(|| name.to_ascii_lowercase()).ok_or_else(wrong)
}

/// The key of the policy that an ARN names.
pub(in crate::access) fn policy_key(arn: &str) -> Result<String, IamError> {
    let invalid =
        || IamError::input(format!("ARN {} is not valid.", arn.chars().filter(|c| !c.is_control()).take(200).collect::<String>()));
    let parsed = Arn::parse(arn).filter(|arn| arn.service == "iam" && arn.region.is_empty()).ok_or_else(invalid)?;
    let path = parsed.resource.strip_prefix("policy/").ok_or_else(invalid)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    key_of(NameKind::Policy, name).map_err(|_| invalid())
}

/// The key of the role that an ARN names.
pub(in crate::access) fn role_key(arn: &str) -> Option<String> {
    let parsed = Arn::parse(arn)?;
    let name = parsed.resource.strip_prefix("role/")?.rsplit('/').next()?;
    key_of(NameKind::Role, name).ok()
}

/// A path; without one it is `/`. It begins and ends with a slash and has characters from `!` to DEL.
pub fn parse_path(path: Option<&str>) -> Result<String, IamError> {
    let path = path.unwrap_or("/");
    let is_path =
        path.len() <= MAX_PATH && path.starts_with('/') && path.ends_with('/') && path.bytes().all(|b| (b'!'..=0x7f).contains(&b));
    is_path
        .then(|| path.to_owned())
        .ok_or_else(|| IamError::invalid("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."))
}

/// Tags within their bounds, each key once without regard to case.
pub(super) fn check_tags(tags: &[IamTag]) -> Result<(), IamError> {
    if tags.len() > MAX_TAGS {
        return Err(IamError::quota("TagsPerEntity", MAX_TAGS));
    }
    for (at, tag) in tags.iter().enumerate() {
        let (key, value) = (tag.key.chars().count(), tag.value.chars().count());
        if !(1..=128).contains(&key) || value > 256 {
            return Err(IamError::invalid("A tag's key has 1 to 128 characters and its value up to 256"));
        }
        if tags[..at].iter().any(|other| other.key.eq_ignore_ascii_case(&tag.key)) {
            return Err(IamError::input("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
    }
    Ok(())
}

/// A text of a description, up to 1,000 characters.
pub(super) fn check_description(description: Option<&str>) -> Result<(), IamError> {
    let is_fit =
        description.is_none_or(|text| text.chars().count() <= 1000 && !text.chars().any(|c| c.is_control() && !"\t\n\r".contains(c)));
    is_fit.then_some(()).ok_or_else(|| IamError::invalid("A description has up to 1,000 characters and no control characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_those_of_the_model() {
        assert_eq!(key_of(NameKind::User, "Ann+=,.@_-1").as_deref(), Ok("ann+=,.@_-1"));
        for name in ["", "a b", "a/b", "ä", "a*", &"a".repeat(65)] {
            assert_eq!(key_of(NameKind::Role, name).map_err(|error| error.code), Err("ValidationError"), "{name}");
        }
        assert!(key_of(NameKind::Policy, &"a".repeat(128)).is_ok());
        assert_eq!((parse_path(None).as_deref(), parse_path(Some("/a/b/")).as_deref()), (Ok("/"), Ok("/a/b/")));
        for path in ["", "a/", "/a", "/a b/", &format!("/{}/", "a".repeat(511))] {
            assert!(parse_path(Some(path)).is_err(), "{path}");
        }
        let tag = |key: &str| IamTag { key: key.to_owned(), value: String::new() };
        assert_eq!(check_tags(&[tag("a"), tag("A")]).map_err(|error| error.code), Err("InvalidInput"));
        assert_eq!(check_tags(&vec![tag("a"); 51]).map_err(|error| error.code), Err("LimitExceeded"));
    }
}
