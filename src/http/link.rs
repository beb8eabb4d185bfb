//! A device presents a second login of its user; from then on both logins lead to one identity.
//!
//! Both tokens must be fresh. A link is for good, so a token that was stolen for a moment must not suffice for one: neither as the token that
//! names the identity, to which the thief would link a login of theirs, nor as the second one, into whose identity the thief's own would be merged.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use driftless_protocol::{RefusalCode, limits};
use serde::Deserialize;

use super::error::{HttpError, LinkToken, ok_json};
use super::request::{bad_request, read_body};
use super::state::HttpState;
use crate::admin::{DeviceLinkRequest, SecondSignIn};
use crate::committer::Unavailable;
use crate::limits::ClientAddress;
use crate::session::{AuthError, AuthenticatedDevice, login_token};
use crate::store::LinkObstacle;

#[derive(Deserialize)]
struct LinkBody {
    token: String,
}

/// `POST /v1/identity/link`.
pub(super) async fn link(
    State(state): State<HttpState>,
    Extension(device): Extension<AuthenticatedDevice>,
    Extension(client): Extension<ClientAddress>,
    body: Body,
) -> Result<Response, HttpError> {
    // The parser's error is dropped: it could quote the token.
    let Ok(LinkBody { token }) = serde_json::from_slice(&read_body(body).await?) else {
        return Err(bad_request("send the second login as: {\"token\":\"...\"}".to_owned()));
    };
    let AuthenticatedDevice { principal, login: first, .. } = device;
    let second = state.authenticator.verify(&token, &principal, &client).await.map_err(|error| LinkToken::Second.refused(error))?;
    if second.pool != principal.pool.name {
        let (id, dataset, message) = (None, None, "the second login belongs to another pool".to_owned());
        return Err(HttpError::Refused { id, dataset, code: RefusalCode::OtherIdentity, message });
    }
    for (login, which) in [(&first, LinkToken::First), (&second, LinkToken::Second)] {
        if !state.authenticator.is_fresh(login, &principal.pool) {
            return Err(HttpError::TokenNotFresh { which, within_s: principal.pool.link_fresh_s });
        }
    }
    let (authenticator, pool) = (state.authenticator, Arc::clone(&principal.pool.name));
    let (first, second) = (login_token(&first), login_token(&second));
    let request = DeviceLinkRequest { pool, identity: principal.identity, device: principal.device, first, second };
    let signed = state.admin.link_or_merge(request).await?;
    // The identity was erased or merged after it was authenticated. A retry meets the new state.
    match signed.map_err(|_| Unavailable::Now)? {
        SecondSignIn::SignedIn { identity, merged } => Ok(ok_json(&serde_json::json!({ "identity": identity.as_str(), "merged": merged }))),
        SecondSignIn::TooManyLogins => Err(too_many_logins()),
        SecondSignIn::Refused(LinkObstacle::Moved) => Err(Unavailable::Now.into()),
        SecondSignIn::Refused(LinkObstacle::DeviceRevoked) => Err(AuthError::Revoked.into()),
        SecondSignIn::Refused(LinkObstacle::FirstRefused { until_s }) => {
            Err(LinkToken::First.refused(authenticator.token_revoked(until_s)))
        }
        SecondSignIn::Refused(LinkObstacle::SecondRefused { until_s }) => {
            Err(LinkToken::Second.refused(authenticator.token_revoked(until_s)))
        }
    }
}

pub(super) fn too_many_logins() -> HttpError {
    HttpError::NotPossible(format!("an identity has at most {} logins", limits::LOGINS_PER_IDENTITY))
}
