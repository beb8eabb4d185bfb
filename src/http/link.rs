//! A device proves a second login of its user: both lead to one identity from then on.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use driftless_protocol::RefusalCode;
use serde::Deserialize;

use super::HttpState;
use super::datasets::{bad_request, enter, read};
use super::error::{Error, granted};
use crate::committer::Unavailable;

#[derive(Deserialize)]
struct Link {
    token: String,
}

/// `POST /v1/identity/link`.
pub(super) async fn link(State(rooms): State<HttpState>, headers: HeaderMap, body: Body) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    // What it was is not said again: it is a token.
    let Ok(Link { token }) = serde_json::from_slice(&read(body).await?) else {
        return Err(bad_request("send the second login as: {\"token\":\"...\"}".to_owned()));
    };
    let login = rooms.door.verify(&token).await?;
    if login.pool != who.pool.name {
        let (id, dataset, message) = (None, None, "the second login is of another pool".to_owned());
        return Err(Error::Refused { id, dataset, code: RefusalCode::OtherIdentity, message });
    }
    let signed = rooms.admin.link_or_merge(who.identity, login.issuer.to_string(), login.subject).await?;
    // An identity that went between the two looks: whoever asks again meets things as they are.
    let signed = signed.map_err(|_| Unavailable::Now)?;
    Ok(granted(&serde_json::json!({ "identity": signed.identity.as_str(), "merged": signed.merged })))
}
