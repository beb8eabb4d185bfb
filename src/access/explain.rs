//! Why a user, role or root may do something or not, for operators: the same question that a request asks, with the policy and statement that decide.

use super::iam::{IamError, IamResult};
use super::session::SignedCaller;
use super::shared::Accounts;
use super::{
    AccessDecision, AccessRequest, AllowSource, Arn, Caller, DenialReason, ResourcePolicy, RoleSession, StatementSource, UserIdentity,
};
use crate::store::AccountId;

/// The name of the session in which a role is asked about.
const SESSION: &str = "explain";

/// What is asked.
#[derive(Clone, Debug)]
pub struct ExplainAsk {
    /// `root`, `user/NAME` or `role/NAME`, of the account.
    pub principal: String,
    pub action: String,
    pub resource: String,
    /// Context keys with their values, as `aws:SourceIp` and `192.0.2.1`. What is not named is not there.
    pub context: Vec<(String, String)>,
}

/// The decision in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    pub is_allowed: bool,
    pub why: String,
    /// The policy that decides, by its ARN or name, and the statement in it: its `Sid`, or its position from 0.
    pub policy: Option<(String, String)>,
}

impl Accounts {
    /// Decides a request that nobody makes. Policies of resources are not read: it says what the principal's own side allows.
    pub async fn explain(&self, account: &AccountId, ask: ExplainAsk) -> IamResult<Explanation> {
        let caller = match self.principal(account, &ask.principal).await? {
            Ok(caller) => caller,
            Err(error) => return Ok(Err(error)),
        };
        let mut context = caller.context();
        for (key, value) in &ask.context {
            context.set(key, value);
        }
        let owner = Arn::parse(&ask.resource).and_then(|arn| AccountId::parse(arn.account));
        let request = AccessRequest { caller: &caller, action: &ask.action, resource: ask.resource.clone(), owner, context };
        let signed = SignedCaller::unlimited(caller.clone());
        let decision = self.grants(&signed).await?.decide(&request, ResourcePolicy::None);
        Ok(Ok(explanation(&request, &decision)))
    }

    async fn principal(&self, account: &AccountId, name: &str) -> IamResult<Caller> {
        Ok(match name.split_once('/') {
            None if name == "root" => Ok(Caller::Root { account: account.clone() }),
            Some(("user", name)) => self.user(account, name).await?.map(|user| Caller::User(UserIdentity::of(account.clone(), &user))),
            Some(("role", name)) => self.role(account, name).await?.map(|found| {
                let (account, session) = (account.clone(), SESSION.to_owned());
                let role = found.role;
                Caller::AssumedRole(RoleSession { account, role_id: role.id, path: role.path, role: role.name, session, federation: None })
            }),
            _ => Err(IamError::unknown_principal()),
        })
    }
}

fn explanation(request: &AccessRequest<'_>, decision: &AccessDecision) -> Explanation {
    let place = |source: &StatementSource| (source.policy.clone(), source.sid.clone().unwrap_or_else(|| source.index.to_string()));
    match decision {
        AccessDecision::Allowed(source) => {
            let (why, policy) = match source {
                AllowSource::Root => ("the root of an account may do everything in it".to_owned(), None),
                AllowSource::Identity(source) => ("allowed by a policy of the principal".to_owned(), Some(place(source))),
                AllowSource::Resource(source) | AllowSource::Both(_, source) => {
                    ("allowed by the policy of the resource".to_owned(), Some(place(source)))
                }
            };
            Explanation { is_allowed: true, why, policy }
        }
        AccessDecision::Denied(reason) => {
            let policy = match reason {
                DenialReason::Explicit(source) => Some(place(source)),
                DenialReason::NoAllow(_) | DenialReason::TooMuchWork => None,
            };
            Explanation { is_allowed: false, why: reason.message(request), policy }
        }
    }
}
