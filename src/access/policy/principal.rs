//! The principals of a statement. Source: "AWS JSON policy elements: Principal" and "NotPrincipal" in the IAM User Guide.

use crate::access::{AccountId, Arn, Caller};

/// How a statement names a caller that it allows, the least direct first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrincipalScope {
    /// By its account: this leaves the decision to the policies of that account.
    Account,
    /// By the role or user that the caller's session was made from: what limits the session limits the grant.
    Underlying,
    /// Itself, or everyone: nothing but an explicit deny limits the grant.
    Direct,
}

/// The name of a principal that is resolved to an id when a policy is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalName<'a> {
    /// A user by its path (with a slash at both ends) and name.
    User { account: &'a str, path: &'a str, name: &'a str },
    /// A role. The ARN of a role's session does not tell the role's path.
    Role { account: &'a str, path: Option<&'a str>, name: &'a str },
    /// A user or role by its id.
    Id(&'a str),
}

/// A principal as a policy names it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PolicyPrincipal {
    Everyone,
    Account(AccountId),
    /// A user or a role.
    Id(String),
    /// A session of the role with this id.
    Session {
        role_id: String,
        session: String,
    },
    FederatedUser {
        arn: String,
    },
    /// A user, role or session by its ARN, in a policy whose principals are not resolved. It allows nobody, because the name may be another's by now; it
    /// denies who has the name.
    Unresolved {
        arn: String,
    },
    Provider(String),
    Service(String),
}

/// The principals of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PrincipalList(pub(super) Vec<PolicyPrincipal>);

impl PolicyPrincipal {
    /// Reads a value of `"AWS"`; `None` if it is none. Parts of a principal cannot be wildcards.
    pub(super) fn parse_aws(text: &str) -> Option<PolicyPrincipal> {
        if text == "*" {
            return Some(PolicyPrincipal::Everyone);
        }
        if let Some(account) = AccountId::parse(text) {
            return Some(PolicyPrincipal::Account(account));
        }
        if let Some((role_id, session)) = text.split_once(':').filter(|(id, _)| is_id(id)) {
            return is_name(session).then(|| PolicyPrincipal::Session { role_id: role_id.to_owned(), session: session.to_owned() });
        }
        if is_id(text) {
            return Some(PolicyPrincipal::Id(text.to_owned()));
        }
        let arn = Arn::parse(text).filter(|arn| arn.partition == "aws" && arn.region.is_empty())?;
        let account = AccountId::parse(arn.account)?;
        let has_names = arn.resource.split('/').skip(1).all(is_name);
        match (arn.service, arn.resource.split_once('/')) {
            ("iam", None) if arn.resource == "root" => Some(PolicyPrincipal::Account(account)),
            ("sts", Some(("federated-user", name))) if has_names && !name.contains('/') => {
                Some(PolicyPrincipal::FederatedUser { arn: text.to_owned() })
            }
            ("iam", Some(("user" | "role", _))) if has_names => Some(PolicyPrincipal::Unresolved { arn: text.to_owned() }),
            ("sts", Some(("assumed-role", name))) if has_names && name.split('/').count() == 2 => {
                Some(PolicyPrincipal::Unresolved { arn: text.to_owned() })
            }
            _ => None,
        }
    }

    /// How the principal names a caller; `None` if it does not.
    fn scope(&self, caller: &Caller) -> Option<PrincipalScope> {
        let (found, scope) = match (self, caller) {
            (PolicyPrincipal::Everyone, _) => (true, PrincipalScope::Direct),
            (PolicyPrincipal::Account(account), _) => (caller.account() == Some(account), PrincipalScope::Account),
            (PolicyPrincipal::Id(id), Caller::User(user)) => (*id == user.id, PrincipalScope::Direct),
            (PolicyPrincipal::Id(id), Caller::AssumedRole(session)) => (*id == session.role_id, PrincipalScope::Underlying),
            (PolicyPrincipal::Id(id), Caller::FederatedUser { user: Some(user), .. }) => (*id == user.id, PrincipalScope::Underlying),
            (PolicyPrincipal::Session { role_id, session }, Caller::AssumedRole(caller)) => {
                (*role_id == caller.role_id && *session == caller.session, PrincipalScope::Direct)
            }
            (PolicyPrincipal::FederatedUser { arn }, Caller::FederatedUser { .. }) => (*arn == caller.arn(), PrincipalScope::Direct),
            (PolicyPrincipal::Provider(name), Caller::WebIdentity { provider }) => (name == provider, PrincipalScope::Direct),
            (PolicyPrincipal::Service(service), Caller::Service { name }) => (service == name, PrincipalScope::Direct),
            _ => return None,
        };
        found.then_some(scope)
    }

    /// Whether the principal names a caller by an ARN that is not resolved.
    fn has_name_of(&self, caller: &Caller) -> bool {
        let PolicyPrincipal::Unresolved { arn } = self else { return false };
        match caller {
            Caller::AssumedRole(session) => *arn == session.arn() || *arn == session.role_arn(),
            Caller::FederatedUser { user: Some(user), .. } => *arn == user.arn(),
            _ => *arn == caller.arn(),
        }
    }
}

impl PrincipalList {
    /// The most direct way in which the list names a caller.
    pub(super) fn scope(&self, caller: &Caller) -> Option<PrincipalScope> {
        self.0.iter().filter_map(|principal| principal.scope(caller)).max()
    }

    /// Whether the list names the tokens of a provider.
    pub(super) fn has_provider(&self, name: &str) -> bool {
        self.0.iter().any(|principal| matches!(principal, PolicyPrincipal::Provider(provider) if provider == name))
    }

    /// Whether a statement that denies is about a caller.
    pub(super) fn names(&self, caller: &Caller) -> bool {
        self.0.iter().any(|principal| principal.scope(caller).is_some() || principal.has_name_of(caller))
    }

    /// Whether `NotPrincipal` leaves a caller out. AWS may check the account, then the role or user, then the session, and each of them has to be listed:
    /// "When you use NotPrincipal with Deny, you must also specify the account ARN of the not-denied principal."
    pub(super) fn exempts(&self, caller: &Caller) -> bool {
        let lists = |scope| self.0.iter().any(|principal| principal.scope(caller) == Some(scope));
        if self.0.contains(&PolicyPrincipal::Everyone) {
            return true;
        }
        match caller {
            Caller::Root { .. } => lists(PrincipalScope::Account),
            Caller::User(_) | Caller::FederatedUser { user: None, .. } => lists(PrincipalScope::Account) && lists(PrincipalScope::Direct),
            Caller::AssumedRole(_) | Caller::FederatedUser { user: Some(_), .. } => {
                lists(PrincipalScope::Account) && lists(PrincipalScope::Underlying) && lists(PrincipalScope::Direct)
            }
            Caller::WebIdentity { .. } | Caller::Service { .. } | Caller::Anonymous => lists(PrincipalScope::Direct),
        }
    }
}

/// The user, role or id that a value of `"AWS"` names, and the session behind it; `None` for accounts, federated users and everyone, which have no id.
pub(super) fn name_of(text: &str) -> Option<(PrincipalName<'_>, Option<&str>)> {
    if let Some((id, session)) = text.split_once(':').filter(|(id, _)| is_id(id)) {
        return Some((PrincipalName::Id(id), Some(session)));
    }
    if is_id(text) {
        return Some((PrincipalName::Id(text), None));
    }
    let Arn { account, resource, .. } = Arn::parse(text)?;
    let (kind, rest) = resource.split_at_checked(resource.find('/')?)?;
    let (path, name) = rest.split_at_checked(rest.rfind('/')? + 1)?;
    match kind {
        "user" => Some((PrincipalName::User { account, path, name }, None)),
        "role" => Some((PrincipalName::Role { account, path: Some(path), name }, None)),
        "assumed-role" => Some((PrincipalName::Role { account, path: None, name: path.trim_matches('/') }, Some(name))),
        _ => None,
    }
}

/// The unique id of a user or a role: "Unique identifiers" in "IAM identifiers".
fn is_id(text: &str) -> bool {
    let is_kind = text.starts_with("AIDA") || text.starts_with("AROA");
    is_kind && text.len() > 4 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// One part of a path, or a name: the characters of the models of IAM and STS, without wildcards.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?/:${}\"'\\".contains(&byte))
}
