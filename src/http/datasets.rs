//! The operations of a session as plain requests, for an app that was woken by a push and has only seconds to sync.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use driftless_protocol::{ClientMessage, Codec, DatasetName, DecodeError, Epoch, Position, RefusalCode, ServerMessage};
use serde::Deserialize;

use super::counted;
use super::error::{HttpError, conflict_json, ok_json};
use super::request::{PathDataset, UrlQuery, bad_request, read_body};
use super::state::HttpState;
use crate::committer::Unavailable;
use crate::session::AuthError;
use crate::store::{Decision, ReadPosition, VersionsPage, VersionsRead, WholeVersions};
use crate::sync::{AckError, Principal, WriteRequest, read_bytes};

/// `GET /v1/datasets`.
pub(super) async fn list(State(state): State<HttpState>, Extension(principal): Extension<Principal>) -> Result<Response, HttpError> {
    let datasets = state.sync.list(&principal).await?;
    Ok(ok_json(&ServerMessage::Datasets { datasets }))
}

/// The position of the client, in the query; without one it gets a snapshot.
#[derive(Deserialize)]
pub(super) struct SinceQuery {
    epoch: Option<Epoch>,
    version: Option<u64>,
    fresh_until: Option<u64>,
}

impl SinceQuery {
    fn position(self) -> Result<Option<ReadPosition>, HttpError> {
        match self {
            SinceQuery { epoch: Some(epoch), version: Some(version), fresh_until } => {
                Ok(Some(ReadPosition { position: Position { epoch, version }, fresh_until: fresh_until.unwrap_or(0) }))
            }
            SinceQuery { epoch: None, version: None, fresh_until: None } => Ok(None),
            _ => Err(bad_request("epoch and version must be sent together, and fresh_until only with them".to_owned())),
        }
    }
}

/// `GET /v1/datasets/{dataset}/changes`: whole versions, of about a page.
pub(super) async fn changes(
    State(state): State<HttpState>,
    Extension(principal): Extension<Principal>,
    PathDataset(dataset): PathDataset,
    UrlQuery(since): UrlQuery<SinceQuery>,
) -> Result<Response, HttpError> {
    let seen = since.position()?;
    // If marking the device seen fails, its wake is not postponed: one wake too many, nothing lost.
    let _ = state.sync.mark_seen(&principal).await;
    let (start, mut read) = state.sync.open(&principal, &dataset, seen).await?;
    let mut versions = WholeVersions::new(start);
    // One version can be larger than the answer's memory.
    let mut more = Vec::new();
    let page = loop {
        match versions.add(read) {
            VersionsRead::Done(page) => break page,
            VersionsRead::Continue(cursor) => {
                read = state.sync.changes(&principal, &dataset, cursor).await?;
                more.push(counted::take_more(&state, principal.identity.text(), read_bytes(&read))?);
            }
        }
    };
    let VersionsPage { from, to, reset, shared, more, fresh_until, records } = page;
    let epoch = state.sync.epoch().clone();
    Ok(ok_json(&ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until, records }))
}

/// `POST /v1/datasets/{dataset}/write`.
pub(super) async fn write(
    State(state): State<HttpState>,
    Extension(principal): Extension<Principal>,
    PathDataset(dataset): PathDataset,
    body: Body,
) -> Result<Response, HttpError> {
    let body = read_body(body).await?;
    let (id, request) = match decode(&body, "write", &dataset)? {
        ClientMessage::Write { id, changes, offer, .. } => (id, WriteRequest { id, changes, offer }),
        _ => return Err(bad_request("the body is not a write".to_owned())),
    };
    let decision = state.sync.write(&principal, dataset.clone(), request, 0).await?;
    match decision.await.map_err(|_| Unavailable::Now)?? {
        Decision::Written { version, results, .. } | Decision::Repeated { version, results } => {
            Ok(ok_json(&ServerMessage::Written { id, version, records: results }))
        }
        Decision::Conflict(records) => Ok(conflict_json(&ServerMessage::Conflict { id, dataset, records })),
        // A retry signs in again.
        Decision::NoIdentity | Decision::DeviceForgotten => Err(Unavailable::Now.into()),
        Decision::DeviceRevoked => Err(AuthError::Revoked.into()),
        Decision::Refused(code, message) => Err(HttpError::Refused { id: Some(id), dataset: Some(dataset.to_string()), code, message }),
    }
}

/// `POST /v1/datasets/{dataset}/ack`.
pub(super) async fn ack(
    State(state): State<HttpState>,
    Extension(principal): Extension<Principal>,
    PathDataset(dataset): PathDataset,
    body: Body,
) -> Result<Response, HttpError> {
    let version = match decode(&read_body(body).await?, "ack", &dataset)? {
        ClientMessage::Ack { version, .. } => version,
        _ => return Err(bad_request("the body is not an acknowledgement".to_owned())),
    };
    match state.sync.acknowledge(&principal, dataset.clone(), version).await {
        Ok(()) => Ok(ok_json(&serde_json::json!({ "acknowledged": version }))),
        Err(AckError::Unavailable(why)) => Err(why.into()),
        Err(AckError::Ahead(head)) => Err(HttpError::Refused {
            id: None,
            dataset: Some(dataset.to_string()),
            code: RefusalCode::AheadOfServer,
            message: format!("the newest version is {head}"),
        }),
    }
}

/// Decodes a body: the message without its `type` and `dataset`, which the path names.
fn decode(body: &[u8], kind: &str, dataset: &DatasetName) -> Result<ClientMessage, DecodeError> {
    Codec::Json.decode_client_as(body, kind, dataset)
}
