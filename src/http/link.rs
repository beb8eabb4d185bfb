//! A device presents a second login of its user; from then on both logins lead to one identity.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use driftless_protocol::RefusalCode;
use serde::Deserialize;

use super::error::{HttpError, ok_json};
use super::request::{bad_request, read_body};
use super::state::HttpState;
use crate::committer::Unavailable;
use crate::sync::Principal;

#[derive(Deserialize)]
struct LinkBody {
    token: String,
}

/// `POST /v1/identity/link`.
pub(super) async fn link(
    State(state): State<HttpState>,
    Extension(principal): Extension<Principal>,
    body: Body,
) -> Result<Response, HttpError> {
    // The parser's error is dropped: it could quote the token.
    let Ok(LinkBody { token }) = serde_json::from_slice(&read_body(body).await?) else {
        return Err(bad_request("send the second login as: {\"token\":\"...\"}".to_owned()));
    };
    let login = state.authenticator.verify(&token).await?;
    if login.pool != principal.pool.name {
        let (id, dataset, message) = (None, None, "the second login belongs to another pool".to_owned());
        return Err(HttpError::Refused { id, dataset, code: RefusalCode::OtherIdentity, message });
    }
    let signed = state.admin.link_or_merge(principal.identity, login.issuer.to_string(), login.subject).await?;
    // The identity was erased or merged after it was authenticated. A retry meets the new state.
    let signed = signed.map_err(|_| Unavailable::Now)?;
    Ok(ok_json(&serde_json::json!({ "identity": signed.identity.as_str(), "merged": signed.merged })))
}
