//! A device's push registration.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use driftless_protocol::{Codec, Provider, ServerMessage};
use serde_json::json;

use super::error::{HttpError, ok_json};
use super::request::read_body;
use super::state::HttpState;
use crate::sync::{Principal, RegisterError};

/// `PUT /v1/push`.
pub(super) async fn register(
    State(state): State<HttpState>,
    Extension(principal): Extension<Principal>,
    body: Body,
) -> Result<Response, HttpError> {
    let registration = Codec::Json.decode_registration(&read_body(body).await?)?;
    let (provider, app) = (registration.target.provider(), registration.app.clone());
    match state.sync.register(&principal, registration).await {
        Ok(()) => Ok(ok_json(&ServerMessage::Registered { provider, app })),
        Err(RegisterError::Rejected(why)) => {
            let (code, message) = why.refusal();
            Err(HttpError::Refused { id: None, dataset: None, code, message })
        }
        Err(RegisterError::Unavailable(why)) => Err(why.into()),
    }
}

/// `GET /v1/push`.
pub(super) async fn registration(
    State(state): State<HttpState>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, HttpError> {
    let response = match state.sync.registered(&principal).await? {
        Some((provider, app)) => ok_json(&ServerMessage::Registered { provider, app }),
        None => ok_json(&ServerMessage::Unregistered),
    };
    Ok(response)
}

/// `GET /v1/push/keys`: the keys that browsers subscribe with.
pub(super) async fn keys(State(state): State<HttpState>, Extension(principal): Extension<Principal>) -> Response {
    let key = |(app, key): (String, String)| json!({ "provider": Provider::Webpush, "app": app, "public_key": key });
    let keys: Vec<_> = state.sync.application_server_keys(&principal).into_iter().map(key).collect();
    ok_json(&json!({ "keys": keys }))
}

/// `DELETE /v1/push`.
pub(super) async fn unregister(State(state): State<HttpState>, Extension(principal): Extension<Principal>) -> Result<Response, HttpError> {
    state.sync.unregister(&principal).await?;
    Ok(ok_json(&ServerMessage::Unregistered))
}
