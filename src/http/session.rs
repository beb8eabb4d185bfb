//! `GET /v1/session`: what the `welcome` of a session says, for an app that opens no socket.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::error::{HttpError, ok_json};
use super::state::HttpState;
use crate::committer::Unavailable;
use crate::session::AuthenticatedDevice;

/// The members of `welcome` that belong to a socket.
const OF_A_SOCKET: [&str; 2] = ["session", "heartbeat_s"];

pub(super) async fn session(
    State(state): State<HttpState>,
    Extension(device): Extension<AuthenticatedDevice>,
) -> Result<Response, HttpError> {
    // `None`: the identity was erased or merged after it was authenticated. A retry meets the new state.
    let welcome = state.sessions.welcome(&device).await?.ok_or(Unavailable::Now)?;
    let mut welcome = serde_json::to_value(welcome).map_err(|_| Unavailable::Now)?;
    if let Some(members) = welcome.as_object_mut() {
        OF_A_SOCKET.iter().for_each(|name| drop(members.remove(*name)));
    }
    Ok(ok_json(&welcome))
}
