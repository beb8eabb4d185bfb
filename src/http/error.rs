//! Why a request failed, mapped to HTTP. The only file of this module with status codes.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use driftless_protocol::{Codec, DecodeError, RefusalCode, ServerMessage};
use serde::Serialize;

use crate::admin::NotFound;
use crate::committer::Unavailable;
use crate::session::AuthError;
use crate::store::VersionNotKept;

/// A request that was not granted.
#[derive(Debug)]
pub(super) enum HttpError {
    /// There is no bearer token.
    MissingToken,
    /// There is no valid device id.
    MissingDevice,
    /// The device could not be signed in.
    Auth(AuthError),
    /// A refusal of the protocol, sent as its message.
    Refused { id: Option<u64>, dataset: Option<String>, code: RefusalCode, message: String },
    /// The body is over the maximum size, or the connection broke while it was read.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The request is not a valid WebSocket handshake; how to make it one.
    BadHandshake(&'static str),
    /// The `Origin` is not one that may open a WebSocket.
    OriginNotAllowed,
    /// The admin API is disabled: no operator key is configured.
    AdminDisabled,
    /// The operator key is missing or wrong.
    WrongOperatorKey,
    /// An admin request is malformed; how.
    BadAdminRequest(String),
    /// What an admin request names does not exist.
    NotFound(NotFound),
    /// The same, with a text that says what does not exist.
    NotFoundBecause(String),
    /// The current state does not permit what an admin request asks.
    NotPossible(String),
}

impl From<NotFound> for HttpError {
    fn from(missing: NotFound) -> HttpError {
        HttpError::NotFound(missing)
    }
}

impl From<AuthError> for HttpError {
    fn from(error: AuthError) -> HttpError {
        HttpError::Auth(error)
    }
}

impl From<Unavailable> for HttpError {
    fn from(why: Unavailable) -> HttpError {
        match why {
            Unavailable::Now => HttpError::Auth(AuthError::Unavailable),
            Unavailable::ReadOnly => {
                let message = "the store is read-only: its disk is full or failing".to_owned();
                HttpError::Refused { id: None, dataset: None, code: RefusalCode::ReadOnly, message }
            }
        }
    }
}

impl From<DecodeError> for HttpError {
    fn from(error: DecodeError) -> HttpError {
        match error {
            DecodeError::Broken(message) => HttpError::Refused { id: None, dataset: None, code: RefusalCode::BadRequest, message },
            DecodeError::Refused { id, dataset, code, message } => HttpError::Refused { id, dataset, code, message },
        }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        match self {
            HttpError::MissingToken => plain(StatusCode::UNAUTHORIZED, "the token is missing; send it as: Authorization: Bearer <token>"),
            HttpError::MissingDevice => plain(
                StatusCode::BAD_REQUEST,
                "the device id is missing or invalid; send it as: Driftless-Device: <1 to 256 printable ASCII characters>",
            ),
            HttpError::Auth(error) => {
                let status = match error {
                    AuthError::Token(refusal) if refusal.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
                    AuthError::Token(_) => StatusCode::UNAUTHORIZED,
                    AuthError::TooManyDevices | AuthError::Revoked => StatusCode::FORBIDDEN,
                    AuthError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                };
                plain(status, &error.to_string())
            }
            HttpError::Refused { id, dataset, code, message } => {
                json(refusal_status(code), &ServerMessage::Refused { id, dataset, code, message })
            }
            HttpError::BodyTooLarge => plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 2 MiB or incomplete"),
            HttpError::BodyTimeout => plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 20 seconds"),
            HttpError::BadHandshake(what) => plain(StatusCode::BAD_REQUEST, what),
            HttpError::OriginNotAllowed => plain(StatusCode::FORBIDDEN, "pages of this origin may not open a WebSocket to this server"),
            HttpError::AdminDisabled => plain(
                StatusCode::NOT_FOUND,
                "the admin API is disabled: no operator key is configured; set admin.key and restart the server",
            ),
            HttpError::WrongOperatorKey => {
                plain(StatusCode::UNAUTHORIZED, "the operator key is missing or wrong; send it as: Authorization: Bearer <admin.key>")
            }
            HttpError::BadAdminRequest(what) => plain(StatusCode::BAD_REQUEST, &what),
            HttpError::NotFound(missing) => plain(StatusCode::NOT_FOUND, &not_found_text(missing)),
            HttpError::NotFoundBecause(why) => plain(StatusCode::NOT_FOUND, &why),
            HttpError::NotPossible(why) => plain(StatusCode::CONFLICT, &why),
        }
    }
}

fn not_found_text(missing: NotFound) -> String {
    match missing {
        NotFound::Identity => "no such identity: it never existed, was erased, or was merged into another one".to_owned(),
        NotFound::Device => "the identity has no such device".to_owned(),
        NotFound::Dataset => "the identity has no such dataset".to_owned(),
        NotFound::Version(VersionNotKept { oldest, newest }) => {
            format!("this version is not kept: the history holds versions {oldest} to {newest}; its size is set in pools.*.retention")
        }
    }
}

fn refusal_status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::TooLarge | RefusalCode::TooManyChanges => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::PatchReused | RefusalCode::PatchExpired | RefusalCode::AheadOfServer => StatusCode::CONFLICT,
        RefusalCode::TooManyRecords | RefusalCode::DatasetFull | RefusalCode::TooManyDatasets => StatusCode::INSUFFICIENT_STORAGE,
        RefusalCode::Unavailable | RefusalCode::ReadOnly => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::TokenRefused | RefusalCode::OtherIdentity => StatusCode::UNAUTHORIZED,
        RefusalCode::UnknownType
        | RefusalCode::BadRequest
        | RefusalCode::BadName
        | RefusalCode::HelloAgain
        | RefusalCode::NotOpen
        | RefusalCode::WrongType
        | RefusalCode::BadPushToken
        | RefusalCode::UnknownApp
        | RefusalCode::Unknown => StatusCode::BAD_REQUEST,
    }
}

/// A request that succeeded.
pub(super) fn ok_json(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// A write that was rejected because of a conflict.
pub(super) fn conflict_json(message: &ServerMessage) -> Response {
    json(StatusCode::CONFLICT, message)
}

/// The result of a health check.
pub(super) fn health(is_healthy: bool, text: &str) -> Response {
    plain(if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

/// A successful response whose body is produced while it is sent.
pub(super) fn ok_streamed(content_type: &'static str, body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// The status of a successful WebSocket handshake.
pub(super) fn switching_protocols() -> StatusCode {
    StatusCode::SWITCHING_PROTOCOLS
}

pub(super) async fn no_such_path() -> Response {
    plain(StatusCode::NOT_FOUND, "no such path; the protocol is served at /v1/sync and /v1/datasets")
}

pub(super) async fn method_not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "this path does not support this method")
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, content_type, Codec::Json.encode(body)).into_response()
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}
