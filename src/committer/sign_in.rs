//! Decides a sign-in: the identity of a login, and whether its device is let in.

use driftless_protocol::DeviceId;

use super::job::SignInRequest;
use crate::hub::Hub;
use crate::store::{Admission, DeviceBound, Group, Identity, LoginKey, StoreError};

/// What a sign-in decided.
pub(super) struct DecidedSignIn {
    pub identity: Identity,
    pub admission: Admission,
    /// The devices that were forgotten to make place for this one.
    pub forgotten: Vec<DeviceId>,
}

/// The hub says which devices have a session. A session is in the hub before it looks whether its device is known: one that the hub does not
/// have yet finds that its device was forgotten, or is told by the notice of it.
pub(super) fn decide(group: &mut Group<'_>, request: &SignInRequest, hub: &Hub, now_ms: u64) -> Result<DecidedSignIn, StoreError> {
    let login = LoginKey { pool: &request.pool, issuer: &request.issuer, subject: &request.subject };
    let new_identity = if group.is_free(&request.new_identity)? { &request.new_identity } else { &request.fallback_identity };
    let identity = group.identity(login, new_identity, now_ms)?;
    // The token was verified before. What an operator has refused since is not let in, and leaves no device behind.
    if let Some(until_s) = group.refused_until(login, &identity, request.issued_s)? {
        return Ok(DecidedSignIn { identity, admission: Admission::TokenRefused { until_s }, forgotten: Vec::new() });
    }
    let Some(device) = &request.device else {
        return Ok(DecidedSignIn { identity, admission: Admission::Admitted, forgotten: Vec::new() });
    };
    let is_live = |device: &DeviceId| hub.has_session(identity.as_str(), device);
    let bound = DeviceBound { most: request.max_devices, is_live: &is_live };
    let (admission, forgotten) = group.admit(&identity, device, &bound, now_ms)?;
    Ok(DecidedSignIn { identity, admission, forgotten })
}
