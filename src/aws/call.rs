//! What is known of a call when its operation is done: who calls, and in which circumstances.

use bytes::Bytes;
use http::Response;

use super::answer::AwsRequestId;
use super::error::AwsError;
use super::service::AwsWire;
use crate::access::{AccessOperation, Accounts, ArnScope, Caller, RequestContext, ResourcePolicy, SessionLimits, SignedCaller};
use crate::committer::Unavailable;

/// What comes of a call.
pub type AwsAnswer = Result<Response<Bytes>, AwsError>;

/// A call whose signature was checked, or that has none.
#[derive(Debug)]
pub struct AwsCall {
    pub wire: AwsWire,
    /// [`Caller::Anonymous`] if the request is not signed.
    pub caller: Caller,
    /// What the caller's session is limited to.
    pub limits: SessionLimits,
    /// The context keys that every operation has: the time, the address, whether TLS is used.
    pub context: RequestContext,
    pub id: AwsRequestId,
}

impl AwsCall {
    /// The caller of an operation that must be signed.
    pub fn signed(&self) -> Result<&Caller, AwsError> {
        match self.caller {
            Caller::Anonymous => Err(AwsError::of_signature(self.wire, &super::sigv4::SignatureFault::Missing)),
            _ => Ok(&self.caller),
        }
    }

    /// The caller with what its session is limited to, of an operation that must be signed.
    pub fn signed_caller(&self) -> Result<SignedCaller, AwsError> {
        Ok(SignedCaller { caller: self.signed()?.clone(), limits: self.limits.clone() })
    }

    /// Whether the caller may do an operation with this input, in its own account's policies. Anonymous callers are refused.
    pub async fn check<I: AccessOperation>(&self, accounts: &Accounts, input: &I, scope: &ArnScope) -> Result<(), AwsError> {
        let signed = self.signed_caller()?;
        let checked = accounts.check(&signed, input, scope, self.context.clone(), ResourcePolicy::None).await;
        checked.map_err(|why| self.unavailable(why))?.map_err(|denied| AwsError::access_denied(self.wire, denied.message))
    }

    /// The store cannot be used now.
    pub fn unavailable(&self, _: Unavailable) -> AwsError {
        AwsError::unavailable(self.wire)
    }
}
