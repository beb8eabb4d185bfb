//! The policies that bear on a caller's request, read from the store, and the question put to them.

use super::{
    AccessDecision, AccessOperation, Accounts, ArnScope, Caller, Grants, OperationPolicy, RequestContext, ResourcePolicy, evaluate,
};
use crate::committer::Unavailable;

/// AWS's message to a caller who may not do what it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessDenied {
    pub message: String,
}

impl Accounts {
    /// Whether a caller may do an operation with this input. `context` has the keys that every operation has; `resource` is the resource's own policy.
    pub async fn check<I: AccessOperation>(
        &self,
        caller: &Caller,
        input: &I,
        scope: &ArnScope,
        context: RequestContext,
        resource: ResourcePolicy<'_>,
    ) -> Result<Result<(), AccessDenied>, Unavailable> {
        let ask = match I::POLICY {
            OperationPolicy::NotAsked(_) => return Ok(Ok(())),
            OperationPolicy::Asked(ask) => ask,
        };
        let request = ask.request(caller, input, scope, context);
        let grants = Grants { resource, ..Grants::default() };
        Ok(match evaluate(&request, &grants) {
            AccessDecision::Allowed(_) => Ok(()),
            AccessDecision::Denied(why) => Err(AccessDenied { message: why.message(&request) }),
        })
    }
}
