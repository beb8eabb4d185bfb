//! The outcome of a request, and AWS's words for it. Source: "Troubleshoot access denied error messages" in the IAM User Guide.

use super::{AccessRequest, Caller};

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessDecision {
    Allowed(AllowSource),
    Denied(DenialReason),
}

/// What allowed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowSource {
    /// The caller is the root of the resource's account.
    Root,
    /// A statement of the caller's own policies.
    Identity(StatementSource),
    /// A statement of the resource's policy, alone.
    Resource(StatementSource),
    /// Both sides: what the caller's side rests on, and the statement of the resource's policy. Across accounts, and for roles.
    Both(Box<AllowSource>, StatementSource),
}

/// Why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenialReason {
    /// A statement with the effect `Deny` applies.
    Explicit(StatementSource),
    /// No policy of this type allows it.
    NoAllow(PolicyType),
    /// To compare the policies with the request takes more work than one request may take.
    TooMuchWork,
}

/// A statement, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementSource {
    pub policy_type: PolicyType,
    /// The name of the policy, as the grants gave it: an ARN, or the name of an inline policy.
    pub policy: String,
    pub sid: Option<String>,
    /// The position of the statement in its policy, from 0.
    pub index: usize,
}

/// The types of policies that bear on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyType {
    Identity,
    Boundary,
    Session,
    Resource,
    Trust,
}

impl PolicyType {
    /// The name in AWS's messages.
    fn name(self) -> &'static str {
        match self {
            PolicyType::Identity => "identity-based policy",
            PolicyType::Boundary => "permissions boundary",
            PolicyType::Session => "session policy",
            PolicyType::Resource => "resource-based policy",
            PolicyType::Trust => "role trust policy",
        }
    }

    /// The name with the article that AWS's messages have.
    fn name_with_article(self) -> &'static str {
        match self {
            PolicyType::Identity => "an identity-based policy",
            PolicyType::Boundary => "a permissions boundary",
            PolicyType::Session => "a session policy",
            PolicyType::Resource => "a resource-based policy",
            PolicyType::Trust => "the role trust policy",
        }
    }
}

impl AccessDecision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, AccessDecision::Allowed(_))
    }
}

impl DenialReason {
    /// AWS's message. It names the type of the policy but not the policy, which only the log may tell: the caller of another account must not learn it.
    pub fn message(&self, request: &AccessRequest<'_>) -> String {
        let action = request.action;
        if let Caller::WebIdentity { .. } = request.caller {
            return format!("Not authorized to perform {action}");
        }
        let caller = request.caller.arn();
        let on = if request.resource == "*" { String::new() } else { format!(" on resource: {}", request.resource) };
        let why = match self {
            DenialReason::Explicit(source) => format!("with an explicit deny in {}", source.policy_type.name_with_article()),
            DenialReason::NoAllow(policy_type) => format!("because no {} allows the {action} action", policy_type.name()),
            DenialReason::TooMuchWork => "because its policies take too much work to evaluate".to_owned(),
        };
        format!("User: {caller} is not authorized to perform: {action}{on} {why}")
    }
}
