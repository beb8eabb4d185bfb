//! The acts of a session as plain requests, for an app that a push woke and that has seconds to sync.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use driftless_protocol::{ClientMessage, Codec, DatasetName, DecodeError, DeviceId, Epoch, Position, RefusalCode, ServerMessage, limits};
use serde::Deserialize;

use super::error::{self, Error};
use super::{HttpState, error::granted};
use crate::committer::Unavailable;
use crate::session::AuthenticatedDevice;
use crate::store::{Decision, ReadPosition, VersionsPage, VersionsRead, WholeVersions};
use crate::sync::{AckError, Principal, WriteRequest};

/// How long a body may take to arrive: the largest is there in 17 seconds at a megabit a second.
const BODY_DEADLINE: Duration = Duration::from_secs(20);

/// The header that names the device.
const DEVICE: &str = "driftless-device";

/// The header that names the identity: in answers, and in requests of a device that knows it.
const IDENTITY: &str = "driftless-identity";

/// `GET /v1/datasets`.
pub(super) async fn list(State(rooms): State<HttpState>, headers: HeaderMap) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    let datasets = rooms.sync.list(&who).await?;
    Ok(told(&who, granted(&ServerMessage::Datasets { datasets })))
}

/// What a reader has, in the query.
#[derive(Deserialize)]
pub(super) struct Since {
    epoch: Option<Epoch>,
    version: Option<u64>,
    fresh_until: Option<u64>,
}

impl Since {
    fn seen(self) -> Result<Option<ReadPosition>, Error> {
        match self {
            Since { epoch: Some(epoch), version: Some(version), fresh_until } => {
                Ok(Some(ReadPosition { position: Position { epoch, version }, fresh_until: fresh_until.unwrap_or(0) }))
            }
            Since { epoch: None, version: None, fresh_until: None } => Ok(None),
            _ => Err(bad_request("epoch and version go together, and fresh_until goes with them".to_owned())),
        }
    }
}

/// `GET /v1/datasets/{dataset}/changes`: whole versions, of about a page.
pub(super) async fn changes(
    State(rooms): State<HttpState>,
    Path(dataset): Path<String>,
    since: Result<Query<Since>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    let dataset = named(&dataset)?;
    let seen = since.map_err(|error| bad_request(error.body_text()))?.0.seen()?;
    // A wake that is not put off is one too many, no loss.
    let _ = rooms.sync.mark_seen(&who).await;
    let (start, mut read) = rooms.sync.open(&who, &dataset, seen).await?;
    let mut versions = WholeVersions::new(start);
    let page = loop {
        match versions.add(read) {
            VersionsRead::Done(page) => break page,
            VersionsRead::Continue(cursor) => read = rooms.sync.changes(&who, &dataset, cursor).await?,
        }
    };
    let VersionsPage { from, to, reset, shared, more, fresh_until, records } = page;
    let epoch = rooms.sync.epoch().clone();
    Ok(told(&who, granted(&ServerMessage::Changes { dataset, epoch, from, to, reset, shared, more, fresh_until, records })))
}

/// `POST /v1/datasets/{dataset}/write`.
pub(super) async fn write(
    State(rooms): State<HttpState>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    let dataset = named(&dataset)?;
    let body = read(body).await?;
    let (id, writing) = match typed(&body, "write", &dataset)? {
        ClientMessage::Write { id, changes, offer, .. } => (id, WriteRequest { id, changes, offer }),
        _ => return Err(bad_request("not a write".to_owned())),
    };
    let answer = rooms.sync.write(&who, dataset.clone(), writing, 0).await?;
    match answer.await.map_err(|_| Unavailable::Now)?? {
        Decision::Written { version, results, .. } | Decision::Repeated { version, results } => {
            Ok(told(&who, granted(&ServerMessage::Written { id, version, records: results })))
        }
        Decision::Conflict(records) => Ok(told(&who, error::conflict(&ServerMessage::Conflict { id, dataset, records }))),
        Decision::NoIdentity => Err(Unavailable::Now.into()),
        Decision::Refused(code, message) => Err(Error::Refused { id: Some(id), dataset: Some(dataset.to_string()), code, message }),
    }
}

/// `POST /v1/datasets/{dataset}/ack`.
pub(super) async fn ack(
    State(rooms): State<HttpState>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let who = enter(&rooms, &headers).await?.principal;
    let dataset = named(&dataset)?;
    let version = match typed(&read(body).await?, "ack", &dataset)? {
        ClientMessage::Ack { version, .. } => version,
        _ => return Err(bad_request("not an acknowledgement".to_owned())),
    };
    match rooms.sync.acknowledge(&who, dataset.clone(), version).await {
        Ok(()) => Ok(told(&who, granted(&serde_json::json!({ "acknowledged": version })))),
        Err(AckError::Unavailable(why)) => Err(why.into()),
        Err(AckError::Ahead(head)) => Err(Error::Refused {
            id: None,
            dataset: Some(dataset.to_string()),
            code: RefusalCode::AheadOfServer,
            message: format!("the newest version is {head}"),
        }),
    }
}

/// An answer that says whose data it is about: a device whose identity was merged into another has positions that mean nothing here.
pub(super) fn told(who: &Principal, mut answer: Response) -> Response {
    if let Ok(identity) = HeaderValue::from_str(who.identity.as_str()) {
        answer.headers_mut().insert(IDENTITY, identity);
    }
    answer
}

pub(super) async fn enter(rooms: &HttpState, headers: &HeaderMap) -> Result<AuthenticatedDevice, Error> {
    let token = bearer(headers).ok_or(Error::Anonymous("send the token as: Authorization: Bearer <token>"))?;
    let device = headers.get(DEVICE).and_then(|value| value.to_str().ok()).and_then(|value| DeviceId::new(value).ok());
    // Such ids are the server's own writers'.
    let device = device.filter(|device| !device.as_str().starts_with(limits::RESERVED_DEVICE_PREFIX));
    let device = device.ok_or(Error::NoDevice)?;
    let entry = rooms.door.authenticate(token, device).await?;
    // What it has and wants to write belongs to somebody that it is no longer.
    let was = headers.get(IDENTITY).filter(|was| was.as_bytes() != entry.principal.identity.as_str().as_bytes());
    match was {
        None => Ok(entry),
        Some(_) => Err(Error::Refused {
            id: None,
            dataset: None,
            code: RefusalCode::OtherIdentity,
            message: format!("the token leads to {}, another identity than Driftless-Identity names", entry.principal.identity),
        }),
    }
}

/// What a request has to show.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

pub(super) fn named(dataset: &str) -> Result<DatasetName, Error> {
    DatasetName::new(dataset).map_err(|error| Error::Refused {
        id: None,
        dataset: None,
        code: RefusalCode::BadName,
        message: error.to_string(),
    })
}

pub(super) fn bad_request(message: String) -> Error {
    Error::Refused { id: None, dataset: None, code: RefusalCode::BadRequest, message }
}

/// A whole body.
pub(super) async fn read(body: Body) -> Result<Bytes, Error> {
    match tokio::time::timeout(BODY_DEADLINE, to_bytes(body, limits::MESSAGE_BYTES)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Error::Body("the body is over 2 MiB, or broke off")),
        Err(_) => Err(Error::Late("the body did not come within 20 seconds")),
    }
}

/// A body is a message whose `type` and `dataset` the path has said already.
fn typed(body: &[u8], kind: &str, dataset: &DatasetName) -> Result<ClientMessage, DecodeError> {
    Codec::Json.decode_client_as(body, kind, dataset)
}
