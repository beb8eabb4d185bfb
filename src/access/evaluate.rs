//! Decides a request from the policies that bear on it.
//! Source: "How AWS enforcement code logic evaluates requests", "Cross-account policy evaluation logic" and "Permissions boundaries" (IAM User Guide).

use super::decision::{AccessDecision, AllowSource, DenialReason, PolicyType, StatementSource};
use super::policy::{Effect, MatchContext, PolicyDocument, PrincipalScope};
use super::{AccessRequest, Caller};

/// The policies that bear on a request.
#[derive(Clone, Debug, Default)]
pub struct Grants<'a> {
    /// The caller's policies: of the user and its groups, or of the role.
    pub identity: Vec<NamedPolicy<'a>>,
    /// The boundary of the user or role; of a federated user, that of the user who made the session.
    pub boundary: Option<NamedPolicy<'a>>,
    /// The policies that the session was made with; one of them has to allow. `None`: the session has no such limit. A federated user's session
    /// without policies has the empty list, which allows nothing.
    pub session: Option<Vec<NamedPolicy<'a>>>,
    pub resource: ResourcePolicy<'a>,
}

/// A policy and the name by which the decision refers to it.
#[derive(Clone, Copy, Debug)]
pub struct NamedPolicy<'a> {
    pub name: &'a str,
    pub document: &'a PolicyDocument,
}

/// The policy of the resource.
#[derive(Clone, Copy, Debug, Default)]
pub enum ResourcePolicy<'a> {
    /// The resource has none, or its kind knows none.
    #[default]
    None,
    /// It can allow a caller of its own account alone.
    Policy(NamedPolicy<'a>),
    /// The trust policy of a role: it has to allow, whatever the caller's own policies say.
    Trust(NamedPolicy<'a>),
}

impl<'a> ResourcePolicy<'a> {
    fn policy_type(self) -> PolicyType {
        match self {
            ResourcePolicy::None | ResourcePolicy::Policy(_) => PolicyType::Resource,
            ResourcePolicy::Trust(_) => PolicyType::Trust,
        }
    }

    fn policy(self) -> Option<NamedPolicy<'a>> {
        match self {
            ResourcePolicy::None => None,
            ResourcePolicy::Policy(policy) | ResourcePolicy::Trust(policy) => Some(policy),
        }
    }
}

/// Decides a request. Pure. The work is at most the sum over all patterns of the policies of the pattern's length times the length of the text that it is
/// compared with, and at most four million comparisons of characters, after which the request is denied.
pub fn evaluate(request: &AccessRequest<'_>, grants: &Grants<'_>) -> AccessDecision {
    let evaluation = Evaluation { request, grants, context: MatchContext::new(&request.context) };
    let decided = evaluation.decide();
    if evaluation.context.is_exhausted() {
        return AccessDecision::Denied(DenialReason::TooMuchWork);
    }
    match decided {
        Ok(source) => AccessDecision::Allowed(source),
        Err(reason) => AccessDecision::Denied(reason),
    }
}

/// One request with its policies.
struct Evaluation<'a> {
    request: &'a AccessRequest<'a>,
    grants: &'a Grants<'a>,
    context: MatchContext<'a>,
}

impl Evaluation<'_> {
    fn decide(&self) -> Result<AllowSource, DenialReason> {
        if let Some(source) = self.explicit_deny() {
            return Err(DenialReason::Explicit(source));
        }
        let resource_type = self.grants.resource.policy_type();
        let granted = self.resource_allow();
        let Some(account) = self.request.caller.account() else {
            // Without an account there are no policies of the caller: the resource's policy decides alone.
            let (_, source) = granted.ok_or(DenialReason::NoAllow(resource_type))?;
            return Ok(AllowSource::Resource(source));
        };
        let is_same_account = self.request.owner.as_ref().is_none_or(|owner| owner == account);
        match (granted, self.grants.resource) {
            (Some((PrincipalScope::Direct, source)), _) if is_same_account => Ok(AllowSource::Resource(source)),
            (Some((PrincipalScope::Underlying, source)), _) if is_same_account => {
                // The role or user behind the session is named: what limits the session limits this grant.
                self.check_limits()?;
                Ok(AllowSource::Resource(source))
            }
            (Some((_, source)), _) => Ok(AllowSource::Both(Box::new(self.callers_side()?), source)),
            (None, ResourcePolicy::Trust(_)) => Err(DenialReason::NoAllow(PolicyType::Trust)),
            (None, ResourcePolicy::None | ResourcePolicy::Policy(_)) if is_same_account => self.callers_side(),
            (None, ResourcePolicy::None | ResourcePolicy::Policy(_)) => {
                // Who lacks the right on its own side is told that, and nothing of the other account's policy.
                self.callers_side()?;
                Err(DenialReason::NoAllow(PolicyType::Resource))
            }
        }
    }

    /// The caller's own policies and all that limits them.
    fn callers_side(&self) -> Result<AllowSource, DenialReason> {
        let source = match self.request.caller {
            // A federated user that root made has root's rights, which its session policies limit.
            Caller::Root { .. } | Caller::FederatedUser { user: None, .. } => AllowSource::Root,
            _ => {
                let allowed = self.allow(PolicyType::Identity, &self.grants.identity);
                AllowSource::Identity(allowed.ok_or(DenialReason::NoAllow(PolicyType::Identity))?)
            }
        };
        self.check_limits()?;
        Ok(source)
    }

    /// The boundary and the session's policies.
    fn check_limits(&self) -> Result<(), DenialReason> {
        let boundary = self.grants.boundary.as_ref().map(|policy| (PolicyType::Boundary, std::slice::from_ref(policy)));
        let session = self.grants.session.as_ref().map(|policies| (PolicyType::Session, policies.as_slice()));
        for (policy_type, policies) in boundary.into_iter().chain(session) {
            self.allow(policy_type, policies).ok_or(DenialReason::NoAllow(policy_type))?;
        }
        Ok(())
    }

    /// The first statement that denies the request, in whatever policy.
    fn explicit_deny(&self) -> Option<StatementSource> {
        let Grants { identity, boundary, session, .. } = self.grants;
        let session = session.as_deref().unwrap_or_default();
        let own =
            [(PolicyType::Identity, identity.as_slice()), (PolicyType::Boundary, boundary.as_slice()), (PolicyType::Session, session)];
        own.into_iter().find_map(|(policy_type, policies)| self.first(policy_type, policies, Effect::Deny)).or_else(|| self.resource_deny())
    }

    fn allow(&self, policy_type: PolicyType, policies: &[NamedPolicy<'_>]) -> Option<StatementSource> {
        self.first(policy_type, policies, Effect::Allow)
    }

    /// The first statement of the caller's policies that applies with this effect.
    fn first(&self, policy_type: PolicyType, policies: &[NamedPolicy<'_>], effect: Effect) -> Option<StatementSource> {
        policies.iter().find_map(|policy| {
            let mut statements = policy.document.statements().iter().enumerate();
            let (index, _) =
                statements.find(|(_, statement)| statement.effect == effect && statement.applies(self.request, &self.context))?;
            Some(source(policy_type, *policy, index))
        })
    }

    /// The first statement of the resource's policy that denies the request.
    fn resource_deny(&self) -> Option<StatementSource> {
        let policy = self.grants.resource.policy()?;
        let has_boundary = self.grants.boundary.is_some();
        let mut statements = policy.document.statements().iter().enumerate();
        let (index, _) = statements.find(|(_, statement)| {
            statement.effect == Effect::Deny
                && statement.denies_principal(self.request.caller, has_boundary)
                && statement.applies(self.request, &self.context)
        })?;
        Some(source(self.grants.resource.policy_type(), policy, index))
    }

    /// The statement of the resource's policy that allows the request to the caller most directly.
    fn resource_allow(&self) -> Option<(PrincipalScope, StatementSource)> {
        let policy = self.grants.resource.policy()?;
        let statements = policy.document.statements().iter().enumerate().filter(|(_, statement)| statement.effect == Effect::Allow);
        let mut best: Option<(PrincipalScope, usize)> = None;
        for (index, statement) in statements {
            let Some(scope) = statement.allowed_principal(self.request.caller) else { continue };
            if best.is_none_or(|(found, _)| scope > found) && statement.applies(self.request, &self.context) {
                best = Some((scope, index));
            }
        }
        best.map(|(scope, index)| (scope, source(self.grants.resource.policy_type(), policy, index)))
    }
}

fn source(policy_type: PolicyType, policy: NamedPolicy<'_>, index: usize) -> StatementSource {
    let sid = policy.document.statements().get(index).and_then(|statement| statement.sid.clone());
    StatementSource { policy_type, policy: policy.name.to_owned(), sid, index }
}
