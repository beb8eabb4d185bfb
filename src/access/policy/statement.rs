//! One statement of a policy, and whether it applies to a request.

use super::condition::Condition;
use super::effect::Effect;
use super::operand::Operand;
use super::operator::{SetQualifier, ValueTest};
use super::pattern::{LetterCase, Pattern, characters};
use super::principal::{PrincipalList, PrincipalScope};
use super::work::MatchContext;
use crate::access::{AccessRequest, Caller};

/// The provider by which trust policies name the identities of all identity pools.
const IDENTITY_POOLS: &str = "cognito-identity.amazonaws.com";

/// The key with the id of the identity pool, in lower case.
const IDENTITY_POOL_KEY: &str = "cognito-identity.amazonaws.com:aud";

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyStatement {
    pub sid: Option<String>,
    pub effect: Effect,
    pub(super) actions: PatternList,
    /// `None` in a trust policy, whose resource is the role.
    pub(super) resources: Option<PatternList>,
    /// `None` in the policies of a caller.
    pub(super) principals: Option<PrincipalElement>,
    pub(super) conditions: Vec<Condition>,
}

/// `Action` or `Resource`, and their opposites.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PatternList {
    Any(Vec<Pattern>),
    /// `NotAction`, `NotResource`
    NoneOf(Vec<Pattern>),
}

/// `Principal` or `NotPrincipal`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PrincipalElement {
    Principal(PrincipalList),
    NotPrincipal(PrincipalList),
}

impl PolicyStatement {
    /// Whether the statement applies to the action, the resource and the context. Principals are asked for apart.
    pub(in crate::access) fn applies(&self, request: &AccessRequest<'_>, context: &MatchContext<'_>) -> bool {
        // Names of actions are not case-sensitive; a resource is compared as a whole, so a `*` reaches over colons and slashes.
        self.actions.covers(request.action, context, LetterCase::Ignored, self.effect)
            && self.resources.as_ref().is_none_or(|resources| resources.covers(&request.resource, context, LetterCase::Exact, self.effect))
            && self.conditions.iter().all(|condition| condition.holds(context, self.effect))
    }

    /// How a statement of a resource's policy that allows names the caller; `None` if it does not.
    pub(in crate::access) fn allowed_principal(&self, caller: &Caller) -> Option<PrincipalScope> {
        match self.principals.as_ref()? {
            PrincipalElement::Principal(list) => list.scope(caller),
            PrincipalElement::NotPrincipal(_) => None,
        }
    }

    /// Whether a statement of a resource's policy that denies is about the caller.
    ///
    /// "The NotPrincipal element with a Deny effect will always deny any IAM principal that has a permissions boundary policy attached, regardless of the
    /// values specified in the NotPrincipal element."
    pub(in crate::access) fn denies_principal(&self, caller: &Caller, has_boundary: bool) -> bool {
        match &self.principals {
            Some(PrincipalElement::Principal(list)) => list.names(caller),
            Some(PrincipalElement::NotPrincipal(list)) => has_boundary || !list.exempts(caller),
            None => false,
        }
    }

    /// Whether the statement names the identities of all pools, without a condition that says which pool. One pool's guests would get the role that is
    /// meant for another pool's. Source: "Identity-provider controls for shared OIDC providers" in the IAM User Guide.
    pub(super) fn trusts_any_identity_pool(&self) -> bool {
        let Some(PrincipalElement::Principal(list)) = &self.principals else { return false };
        let says_which = |condition: &Condition| {
            let operator = condition.operator;
            // A condition that holds without the key, or that leaves out some pools only, names none.
            let needs_value = !operator.is_negated && !operator.if_exists && operator.qualifier != SetQualifier::ForAllValues;
            let is_text = matches!(operator.test, ValueTest::Text(_));
            condition.key == IDENTITY_POOL_KEY && needs_value && is_text && condition.operands.iter().all(Operand::names_something)
        };
        list.has_provider(IDENTITY_POOLS) && !self.conditions.iter().any(says_which)
    }
}

impl PatternList {
    /// Whether the element covers a text.
    ///
    /// A pattern with a variable that has no value "will not match any resource" (IAM User Guide, "Policy variables with no value"), for `Deny` as for
    /// `Allow`. Of `NotResource` that means that the statement covers the resource. In a `Deny` we follow AWS; in an `Allow` the statement does not apply:
    /// it would allow everything because one value is missing.
    fn covers(&self, text: &str, context: &MatchContext<'_>, case: LetterCase, effect: Effect) -> bool {
        context.spend(text.len());
        let text = &characters(text, case);
        match self {
            PatternList::Any(patterns) => patterns.iter().any(|pattern| pattern.matches(text, context, case) == Some(true)),
            PatternList::NoneOf(patterns) => {
                let otherwise = effect == Effect::Allow;
                !patterns.iter().any(|pattern| pattern.matches(text, context, case).unwrap_or(otherwise))
            }
        }
    }
}
