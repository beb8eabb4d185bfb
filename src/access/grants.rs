//! The policies that bear on a caller's request, read from the store, and the question put to them.

use std::sync::Arc;

use super::grants_cache::{KeptGrants, KeptPolicy, managed, parsed};
use super::policy::PolicyKind;
use super::session::{SessionLimits, SignedCaller};
use super::shared::Accounts;
use super::{
    AccessDecision, AccessOperation, AccessRequest, ArnScope, Caller, Grants, OperationPolicy, RequestContext, ResourcePolicy, evaluate,
};
use crate::committer::{ReadOwner, Unavailable};
use crate::store::{AccountId, Store};

/// AWS's message to a caller who may not do what it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDenied {
    pub message: String,
}

/// Everything that bears on a caller, whatever it asks.
#[derive(Clone, Debug, Default)]
pub struct CallerGrants {
    kept: Arc<KeptGrants>,
    session: Option<Vec<KeptPolicy>>,
}

impl CallerGrants {
    /// The decision on a request of this caller.
    pub fn decide(&self, request: &AccessRequest<'_>, resource: ResourcePolicy<'_>) -> AccessDecision {
        let grants = Grants {
            identity: self.kept.identity.iter().map(KeptPolicy::named).collect(),
            boundary: self.kept.boundary.as_ref().map(KeptPolicy::named),
            session: self.session.as_ref().map(|policies| policies.iter().map(KeptPolicy::named).collect()),
            resource,
        };
        evaluate(request, &grants)
    }
}

impl Accounts {
    /// Whether a caller may do an operation with this input. `context` has the keys that every operation has; `resource` is the resource's own policy.
    pub async fn check<I: AccessOperation>(
        &self,
        signed: &SignedCaller,
        input: &I,
        scope: &ArnScope,
        context: RequestContext,
        resource: ResourcePolicy<'_>,
    ) -> Result<Result<(), AccessDenied>, Unavailable> {
        match I::POLICY {
            OperationPolicy::NotAsked(_) => Ok(Ok(())),
            OperationPolicy::Asked(ask) => self.check_request(signed, &ask.request(&signed.caller, input, scope, context), resource).await,
        }
    }

    /// Whether a request is allowed.
    pub async fn check_request(
        &self,
        signed: &SignedCaller,
        request: &AccessRequest<'_>,
        resource: ResourcePolicy<'_>,
    ) -> Result<Result<(), AccessDenied>, Unavailable> {
        let grants = self.grants(signed).await?;
        Ok(match grants.decide(request, resource) {
            AccessDecision::Allowed(_) => Ok(()),
            AccessDecision::Denied(why) => Err(AccessDenied { message: why.message(request) }),
        })
    }

    /// The policies of a caller, as they are now.
    pub async fn grants(&self, signed: &SignedCaller) -> Result<CallerGrants, Unavailable> {
        let (account, id) = match &signed.caller {
            Caller::User(user) | Caller::FederatedUser { user: Some(user), .. } => (user.account.clone(), user.id.clone()),
            Caller::AssumedRole(session) => (session.account.clone(), session.role_id.clone()),
            Caller::Root { account } | Caller::FederatedUser { account, user: None, .. } => {
                let session = self.session_policies(account, &signed.limits).await?;
                return Ok(CallerGrants { kept: Arc::default(), session });
            }
            Caller::WebIdentity { .. } | Caller::Service { .. } | Caller::Anonymous => return Ok(CallerGrants::default()),
        };
        let (cache, of) = (self.grants_cache.clone(), account.clone());
        let kept = self.reader.read(ReadOwner::Server, move |store| cache.get(store, &of, &id)).await?;
        let session = self.session_policies(&account, &signed.limits).await?;
        Ok(CallerGrants { kept, session })
    }

    /// The policies that a session was made with; `None`: it was made without.
    async fn session_policies(&self, account: &AccountId, limits: &SessionLimits) -> Result<Option<Vec<KeptPolicy>>, Unavailable> {
        if !limits.is_limited {
            return Ok(None);
        }
        let (account, arns, text) = (account.clone(), limits.policy_arns.clone(), limits.policy.clone());
        let read = move |store: &Store| {
            let mut policies = Vec::new();
            if let Some(text) = text {
                policies.push(parsed(PolicyKind::Session, "session policy", &text)?);
            }
            for arn in &arns {
                policies.extend(managed(store, &account, arn)?);
            }
            Ok(policies)
        };
        self.reader.read(ReadOwner::Server, read).await.map(Some)
    }
}
