//! Where a device is woken: registered, looked at, taken back.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use driftless_protocol::{Codec, ServerMessage};

use super::HttpState;
use super::datasets::{enter, read, told};
use super::error::{Error, granted};
use crate::sync::RegisterError;

/// `PUT /v1/push`.
pub(super) async fn register(State(rooms): State<HttpState>, headers: HeaderMap, body: Body) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    let registration = Codec::Json.decode_registration(&read(body).await?)?;
    let (provider, app) = (registration.target.provider(), registration.app.clone());
    match rooms.sync.register(&who, registration).await {
        Ok(()) => Ok(told(&who, granted(&ServerMessage::Registered { provider, app }))),
        Err(RegisterError::Rejected(why)) => {
            let (code, message) = why.refusal();
            Err(Error::Refused { id: None, dataset: None, code, message })
        }
        Err(RegisterError::Unavailable(why)) => Err(why.into()),
    }
}

/// `GET /v1/push`.
pub(super) async fn look(State(rooms): State<HttpState>, headers: HeaderMap) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    let answer = match rooms.sync.registered(&who).await? {
        Some((provider, app)) => granted(&ServerMessage::Registered { provider, app }),
        None => granted(&ServerMessage::Unregistered),
    };
    Ok(told(&who, answer))
}

/// `DELETE /v1/push`.
pub(super) async fn unregister(State(rooms): State<HttpState>, headers: HeaderMap) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    rooms.sync.unregister(&who).await?;
    Ok(told(&who, granted(&ServerMessage::Unregistered)))
}
