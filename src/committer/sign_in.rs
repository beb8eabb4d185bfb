//! Decides a sign-in: the identity of a login, and whether its device is let in.

use super::job::SignInRequest;
use crate::store::{Admission, Group, Identity, LoginKey, StoreError};

pub(super) fn decide(group: &mut Group<'_>, request: &SignInRequest, now_ms: u64) -> Result<(Identity, Admission), StoreError> {
    let login = LoginKey { pool: &request.pool, issuer: &request.issuer, subject: &request.subject };
    let new_identity = if group.is_free(&request.new_identity)? { &request.new_identity } else { &request.fallback_identity };
    let identity = group.identity(login, new_identity, now_ms)?;
    // The token was verified before. What an operator has refused since is not let in, and leaves no device behind.
    if let Some(until_s) = group.refused_until(login, &identity, request.issued_s)? {
        return Ok((identity, Admission::TokenRefused { until_s }));
    }
    let admission = group.admit(&identity, &request.device, request.max_devices, now_ms)?;
    Ok((identity, admission))
}
