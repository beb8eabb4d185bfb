//! Why a request was not granted, as HTTP says it. The only file with status codes.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use driftless_protocol::{Codec, DecodeError, RefusalCode, ServerMessage};

use crate::admin::NotFound;
use crate::committer::Unavailable;
use crate::session::AuthError;
use crate::store::VersionNotKept;

/// A request that was not granted.
#[derive(Debug)]
pub(super) enum Error {
    /// Without a token.
    Anonymous(&'static str),
    /// Without a device.
    NoDevice,
    /// The door stays closed.
    AuthError(AuthError),
    /// The request is wrong, or cannot be granted.
    Refused { id: Option<u64>, dataset: Option<String>, code: RefusalCode, message: String },
    /// The body is over the bound.
    Body(&'static str),
    /// It did not come in time.
    Late(&'static str),
    /// A socket was asked for in a way that leads to none.
    NoSocket(&'static str),
    /// A page that may not open sockets.
    ForeignOrigin,
    /// Nobody is an operator here.
    NoOperators,
    /// Somebody who is none.
    NoOperator,
    /// An operator's request is not what it must be.
    Unclear(String),
    /// What an operator asked about is not there.
    NotFound(NotFound),
    /// The same, said in full.
    Unknown(String),
    /// What an operator wants cannot be, as things are.
    Stands(String),
}

impl From<NotFound> for Error {
    fn from(missing: NotFound) -> Error {
        Error::NotFound(missing)
    }
}

impl From<AuthError> for Error {
    fn from(denied: AuthError) -> Error {
        Error::AuthError(denied)
    }
}

impl From<Unavailable> for Error {
    fn from(why: Unavailable) -> Error {
        match why {
            Unavailable::Now => Error::AuthError(AuthError::Unavailable),
            Unavailable::ReadOnly => {
                let message = "the store takes no writes now: its disk is full or fails".to_owned();
                Error::Refused { id: None, dataset: None, code: RefusalCode::ReadOnly, message }
            }
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Error {
        match error {
            DecodeError::Broken(message) => Error::Refused { id: None, dataset: None, code: RefusalCode::BadRequest, message },
            DecodeError::Refused { id, dataset, code, message } => Error::Refused { id, dataset, code, message },
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Error::Anonymous(what) => plain(StatusCode::UNAUTHORIZED, what),
            Error::NoDevice => {
                plain(StatusCode::BAD_REQUEST, "send the device's id as: Driftless-Device: <1 to 256 printable ASCII characters>")
            }
            Error::AuthError(denied) => {
                let status = match denied {
                    AuthError::Token(refusal) if refusal.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
                    AuthError::Token(_) => StatusCode::UNAUTHORIZED,
                    AuthError::TooManyDevices | AuthError::Revoked => StatusCode::FORBIDDEN,
                    AuthError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                };
                plain(status, &denied.to_string())
            }
            Error::Refused { id, dataset, code, message } => {
                answer(refusal_status(code), &ServerMessage::Refused { id, dataset, code, message })
            }
            Error::Body(what) => plain(StatusCode::PAYLOAD_TOO_LARGE, what),
            Error::Late(what) => plain(StatusCode::REQUEST_TIMEOUT, what),
            Error::NoSocket(what) => plain(StatusCode::BAD_REQUEST, what),
            Error::ForeignOrigin => plain(StatusCode::FORBIDDEN, "pages of this origin may not open a socket here"),
            Error::NoOperators => plain(StatusCode::NOT_FOUND, "no operator key is configured here: set admin.key and start again"),
            Error::NoOperator => plain(StatusCode::UNAUTHORIZED, "send the operator key as: Authorization: Bearer <admin.key>"),
            Error::Unclear(what) => plain(StatusCode::BAD_REQUEST, &what),
            Error::NotFound(missing) => plain(StatusCode::NOT_FOUND, &what_is_missing(missing)),
            Error::Unknown(what) => plain(StatusCode::NOT_FOUND, &what),
            Error::Stands(why) => plain(StatusCode::CONFLICT, &why),
        }
    }
}

fn what_is_missing(missing: NotFound) -> String {
    match missing {
        NotFound::Identity => "there is no such identity: there never was, it was erased, or it was merged into another one".to_owned(),
        NotFound::Device => "the identity has no such device".to_owned(),
        NotFound::Dataset => "the identity has no such dataset".to_owned(),
        NotFound::Version(VersionNotKept { oldest, newest }) => {
            format!("this version cannot be seen: kept are versions {oldest} to {newest}; how much is kept, pools.*.keep says")
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

/// A message of the protocol as an answer that is granted.
pub(super) fn granted(message: &impl serde::Serialize) -> Response {
    answer(StatusCode::OK, message)
}

/// A conflict as an answer.
pub(super) fn conflict(message: &ServerMessage) -> Response {
    answer(StatusCode::CONFLICT, message)
}

/// Whether something is well.
pub(super) fn health(well: bool, text: &str) -> Response {
    plain(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

/// The answer after which the connection is a socket.
pub(super) fn switching() -> StatusCode {
    StatusCode::SWITCHING_PROTOCOLS
}

pub(super) async fn no_such_path() -> Response {
    plain(StatusCode::NOT_FOUND, "no such path; the protocol is at /v1/sync and /v1/datasets")
}

pub(super) async fn no_such_method() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
}

fn answer(status: StatusCode, message: &impl serde::Serialize) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, kind, Codec::Json.encode(message)).into_response()
}

/// An answer that is made while it is sent.
pub(super) fn streamed(kind: &'static str, body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
}

fn plain(status: StatusCode, text: &str) -> Response {
    (status, format!("{text}\n")).into_response()
}
