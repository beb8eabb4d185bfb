//! Who makes a request, with the names that policies know the caller by.
//! Source: "IAM identifiers" and "Principal key values" (policy variables) in the IAM User Guide.

use serde::{Deserialize, Serialize};

use super::arn::root_arn;
use super::{AccountId, RequestContext};

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The owner of an account. Everything in the account is allowed to it unless a policy denies it.
    Root {
        account: AccountId,
    },
    User(UserIdentity),
    AssumedRole(RoleSession),
    /// A session of GetFederationToken, made by a user, or by the account's root if there is no user.
    FederatedUser {
        account: AccountId,
        name: String,
        user: Option<UserIdentity>,
    },
    /// Somebody with a token of a provider, who has no account: the callers of AssumeRoleWithWebIdentity and AssumeRoleWithSAML. The provider's name is the
    /// one that a trust policy names: `cognito-identity.amazonaws.com`, or the ARN of the provider.
    WebIdentity {
        provider: String,
    },
    /// A service of this server, by the name that policies know: `cognito-sync.amazonaws.com`.
    Service {
        name: String,
    },
    /// Nobody signed the request.
    Anonymous,
}

/// A user. The path begins and ends with a slash; the id (`AIDA...`) is never used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdentity {
    pub account: AccountId,
    pub id: String,
    pub path: String,
    pub name: String,
}

/// A session of a role. The path begins and ends with a slash; the id (`AROA...`) is never used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSession {
    pub account: AccountId,
    pub role_id: String,
    pub path: String,
    pub role: String,
    pub session: String,
    /// Whose token the session was given for; `None` if a user or another role took it.
    pub federation: Option<Federation>,
}

/// What a provider's token said of somebody who took a role with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Federation {
    /// What stands before the colon of the context keys: `cognito-identity.amazonaws.com`, or the issuer without its scheme.
    pub provider: String,
    /// The provider as a trust policy names it: the same name, or the provider's ARN.
    pub principal: String,
    /// The claims that policies may ask for, as `sub`, `aud` and `amr`, each with its values.
    pub claims: Vec<(String, Vec<String>)>,
}

/// The provider's name of the identities of this server's own identity pools.
pub const IDENTITY_PROVIDER: &str = "cognito-identity.amazonaws.com";

impl Federation {
    /// The only value of a claim.
    pub fn claim(&self, name: &str) -> Option<&str> {
        match self.claims.iter().find(|(claim, _)| claim == name)?.1.as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// An identity of an identity pool, as a session of its credentials names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolIdentity<'a> {
    pub pool: &'a str,
    pub identity: &'a str,
}

impl UserIdentity {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:user{}{}", self.account, self.path, self.name)
    }
}

impl RoleSession {
    /// The session's ARN, as GetCallerIdentity gives it: without the role's path.
    pub fn arn(&self) -> String {
        format!("arn:aws:sts::{}:assumed-role/{}/{}", self.account, self.role, self.session)
    }

    pub fn role_arn(&self) -> String {
        format!("arn:aws:iam::{}:role{}{}", self.account, self.path, self.role)
    }
}

impl Caller {
    /// The account that the caller belongs to.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Caller::Root { account } | Caller::FederatedUser { account, .. } => Some(account),
            Caller::User(user) => Some(&user.account),
            Caller::AssumedRole(session) => Some(&session.account),
            Caller::WebIdentity { .. } | Caller::Service { .. } | Caller::Anonymous => None,
        }
    }

    /// The caller as AWS's messages name it: the ARN if it has one.
    pub fn arn(&self) -> String {
        match self {
            Caller::Root { account } => root_arn(account),
            Caller::User(user) => user.arn(),
            Caller::AssumedRole(session) => session.arn(),
            Caller::FederatedUser { account, name, .. } => format!("arn:aws:sts::{account}:federated-user/{name}"),
            Caller::WebIdentity { provider } => provider.clone(),
            Caller::Service { name } => name.clone(),
            Caller::Anonymous => "anonymous".to_owned(),
        }
    }

    /// The identity whose credentials signed the request, if they are an identity's.
    pub fn pool_identity(&self) -> Option<PoolIdentity<'_>> {
        let Caller::AssumedRole(session) = self else { return None };
        let federation = session.federation.as_ref().filter(|federation| federation.provider == IDENTITY_PROVIDER)?;
        Some(PoolIdentity { pool: federation.claim("aud")?, identity: federation.claim("sub")? })
    }

    /// The context keys that follow from who calls. A federated user and a role's session have no `aws:username`.
    pub fn context(&self) -> RequestContext {
        let mut context = RequestContext::default();
        let (kind, id) = match self {
            Caller::Root { account } => ("Account", account.to_string()),
            Caller::User(user) => ("User", user.id.clone()),
            Caller::AssumedRole(session) => ("AssumedRole", format!("{}:{}", session.role_id, session.session)),
            Caller::FederatedUser { account, name, .. } => ("FederatedUser", format!("{account}:{name}")),
            Caller::Anonymous => ("Anonymous", "anonymous".to_owned()),
            Caller::Service { name } => {
                context.set("aws:PrincipalIsAWSService", "true");
                context.set("aws:PrincipalServiceName", name);
                return context;
            }
            Caller::WebIdentity { .. } => return context,
        };
        context.set("aws:PrincipalType", kind);
        context.set("aws:userid", &id);
        if let Some(account) = self.account() {
            context.set("aws:PrincipalIsAWSService", "false");
            context.set("aws:PrincipalAccount", account.as_str());
            // Of a session it is the role's ARN, so that a policy can name all sessions of a role.
            let arn = if let Caller::AssumedRole(session) = self { session.role_arn() } else { self.arn() };
            context.set("aws:PrincipalArn", &arn);
        }
        if let Caller::User(user) = self {
            context.set("aws:username", &user.name);
        }
        if let Caller::AssumedRole(RoleSession { federation: Some(federation), .. }) = self {
            context.set("aws:FederatedProvider", &federation.principal);
            for (claim, values) in &federation.claims {
                context.set_all(&format!("{}:{claim}", federation.provider), values.iter().cloned());
            }
        }
        context
    }
}
