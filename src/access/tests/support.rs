//! Callers, policies, and a request with the policies that bear on it.

use crate::access::policy::{PolicyDocument, PolicyKind};
use crate::access::{
    AccessDecision, AccessRequest, AccountId, Caller, DenialReason, Grants, NamedPolicy, PolicyType, RequestContext, ResourcePolicy,
    RoleSession, UserIdentity, evaluate,
};

pub const OWN: &str = "111111111111";
pub const OTHER: &str = "222222222222";
pub const OBJECT: &str = "arn:aws:s3:::app/key";

pub fn account(digits: &str) -> AccountId {
    AccountId::parse(digits).expect("twelve digits")
}

pub fn ann() -> UserIdentity {
    UserIdentity { account: account(OWN), id: "AIDAANN".to_owned(), path: "/staff/".to_owned(), name: "ann".to_owned() }
}

pub fn user() -> Caller {
    Caller::User(ann())
}

pub fn root() -> Caller {
    Caller::Root { account: account(OWN) }
}

pub fn role_session() -> Caller {
    Caller::AssumedRole(RoleSession {
        account: account(OWN),
        role_id: "AROAREADER".to_owned(),
        path: "/apps/".to_owned(),
        role: "reader".to_owned(),
        session: "s1".to_owned(),
        federation: None,
    })
}

pub fn federated_user() -> Caller {
    Caller::FederatedUser { account: account(OWN), name: "bob".to_owned(), user: Some(ann()) }
}

pub fn web_identity(provider: &str) -> Caller {
    Caller::WebIdentity { provider: provider.to_owned() }
}

pub fn parse(kind: PolicyKind, text: &str) -> PolicyDocument {
    PolicyDocument::parse(kind, text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// A document of these statements, in version 2012-10-17.
pub fn document(statements: &[impl AsRef<str>]) -> String {
    let statements: Vec<&str> = statements.iter().map(AsRef::as_ref).collect();
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

/// A statement of a caller's policy.
pub fn statement(effect: &str, action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"}}"#)
}

pub fn allow_all() -> String {
    statement("Allow", "*", "*")
}

/// A statement of a bucket's policy on the objects of `app`, for a principal in JSON.
pub fn bucket_statement(effect: &str, principal: &str, action: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Principal":{principal},"Action":"{action}","Resource":"arn:aws:s3:::app/*"}}"#)
}

/// A statement of a trust policy.
pub fn trust_statement(effect: &str, principal: &str, action: &str) -> String {
    format!(r#"{{"Effect":"{effect}","Principal":{principal},"Action":"{action}"}}"#)
}

/// A request, and the policies that bear on it.
pub struct AccessCase {
    pub caller: Caller,
    pub action: String,
    pub resource: String,
    pub owner: AccountId,
    pub context: RequestContext,
    pub identity: Vec<PolicyDocument>,
    pub boundary: Option<PolicyDocument>,
    pub session: Option<Vec<PolicyDocument>>,
    pub bucket: Option<PolicyDocument>,
    pub trust: Option<PolicyDocument>,
}

impl AccessCase {
    /// The request is about a resource of the account [`OWN`].
    pub fn new(caller: Caller, action: &str, resource: &str) -> AccessCase {
        let context = caller.context();
        AccessCase {
            caller,
            action: action.to_owned(),
            resource: resource.to_owned(),
            owner: account(OWN),
            context,
            identity: Vec::new(),
            boundary: None,
            session: None,
            bucket: None,
            trust: None,
        }
    }

    pub fn owned_by(mut self, digits: &str) -> Self {
        self.owner = account(digits);
        self
    }

    pub fn key(mut self, key: &str, values: &[&str]) -> Self {
        self.context.set_all(key, values.iter().map(|value| (*value).to_owned()));
        self
    }

    pub fn identity(mut self, statement: impl AsRef<str>) -> Self {
        self.identity.push(parse(PolicyKind::Managed, &document(&[statement])));
        self
    }

    pub fn boundary(mut self, statement: impl AsRef<str>) -> Self {
        self.boundary = Some(parse(PolicyKind::Managed, &document(&[statement])));
        self
    }

    pub fn session(mut self, statements: &[String]) -> Self {
        self.session = Some(statements.iter().map(|one| parse(PolicyKind::Session, &document(&[one]))).collect());
        self
    }

    pub fn bucket(mut self, statement: impl AsRef<str>) -> Self {
        self.bucket = Some(parse(PolicyKind::Bucket, &document(&[statement])));
        self
    }

    pub fn trust(mut self, statement: impl AsRef<str>) -> Self {
        self.trust = Some(parse(PolicyKind::Trust, &document(&[statement])));
        self
    }

    fn request(&self) -> AccessRequest<'_> {
        AccessRequest {
            caller: &self.caller,
            action: &self.action,
            resource: self.resource.clone(),
            owner: Some(self.owner.clone()),
            context: self.context.clone(),
        }
    }

    pub fn decide(&self) -> AccessDecision {
        let named = |document| NamedPolicy { name: "policy", document };
        let resource = match (&self.trust, &self.bucket) {
            (Some(trust), _) => ResourcePolicy::Trust(named(trust)),
            (None, Some(bucket)) => ResourcePolicy::Policy(named(bucket)),
            (None, None) => ResourcePolicy::None,
        };
        let grants = Grants {
            identity: self.identity.iter().map(named).collect(),
            boundary: self.boundary.as_ref().map(named),
            session: self.session.as_ref().map(|policies| policies.iter().map(named).collect()),
            resource,
        };
        evaluate(&self.request(), &grants)
    }

    pub fn is_allowed(&self) -> bool {
        self.decide().is_allowed()
    }

    /// The type of the policy that does not allow the request.
    pub fn missing(&self) -> Option<PolicyType> {
        match self.decide() {
            AccessDecision::Denied(DenialReason::NoAllow(policy_type)) => Some(policy_type),
            _ => None,
        }
    }

    /// The type of the policy that denies the request.
    pub fn denied_by(&self) -> Option<PolicyType> {
        match self.decide() {
            AccessDecision::Denied(DenialReason::Explicit(source)) => Some(source.policy_type),
            _ => None,
        }
    }

    /// AWS's words for a request that is denied.
    pub fn message(&self) -> String {
        match self.decide() {
            AccessDecision::Denied(reason) => reason.message(&self.request()),
            AccessDecision::Allowed(source) => panic!("allowed by {source:?}"),
        }
    }
}
