//! Why a request failed, mapped to HTTP. The only file of this module with status codes.

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use driftless_protocol::{Codec, DecodeError, RefusalCode, ServerMessage};
use serde::Serialize;

use super::body::SlowBody;
use super::challenge::Challenge;
use super::page_guard::PageRefusal;
use super::unread_body::LeaveBodyUnread;
use crate::admin::NotFound;
use crate::committer::Unavailable;
use crate::limits::{LimitExceeded, LimitedUse};
use crate::session::AuthError;
use crate::store::VersionNotKept;

/// `Retry-After` of a server that cannot serve a request now, in seconds: a store that failed is reopened within a few.
const UNAVAILABLE_RETRY_S: &str = "5";

/// `Retry-After` of a server whose disk is full or fails, in seconds: someone has to act first.
const READ_ONLY_RETRY_S: &str = "60";

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
    /// The head of the request is invalid; how.
    BadHead(&'static str),
    /// The body is over the maximum size.
    BodyTooLarge,
    /// The connection broke while the body was read.
    BodyIncomplete,
    /// The body has a content coding, and the server decodes none.
    BodyEncoded,
    /// The body did not arrive in time.
    SlowBody(SlowBody),
    /// The request is not a valid WebSocket handshake; how to make it one.
    BadHandshake(&'static str),
    /// The path is a WebSocket, and the request does not ask for one.
    UpgradeRequired,
    /// The request asks for another version of the WebSocket protocol.
    WebSocketVersion,
    /// The request comes from a web page of another machine.
    ForeignPage(PageRefusal),
    /// The `Origin` is not one that may open a WebSocket.
    OriginNotAllowed,
    /// No route has this path.
    NoSuchPath,
    /// The path is served on the port for operators.
    OnAdminPort,
    /// The path does not support this method.
    MethodNotAllowed,
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
    /// One of the two tokens of a link was refused.
    LinkTokenRefused { which: LinkToken, error: AuthError },
    /// A link needs a token whose user has proved who they are within so many seconds; which one is older.
    TokenNotFresh { which: LinkToken, within_s: u64 },
    /// The current state does not permit what an admin request asks.
    NotPossible(String),
}

/// Which of the two tokens of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkToken {
    /// That of the device's own login.
    First,
    /// That of the login that is to be linked.
    Second,
}

impl LinkToken {
    /// The link is refused because this token was. A client over a limit is refused whichever token it sent.
    pub(super) fn refused(self, error: AuthError) -> HttpError {
        match error {
            AuthError::Token(_) | AuthError::TokenRevoked { .. } => HttpError::LinkTokenRefused { which: self, error },
            other => HttpError::Auth(other),
        }
    }

    fn place(self) -> &'static str {
        match self {
            LinkToken::First => "the token of the Authorization header",
            LinkToken::Second => "the token in the body",
        }
    }
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
        use RefusalCode as Code;
        match self {
            HttpError::MissingToken => {
                let message = "the token is missing; send it as: Authorization: Bearer <token>";
                with_challenge(Challenge::TokenMissing, refused(Code::TokenRefused, message))
            }
            HttpError::MissingDevice => refused(
                Code::BadName,
                "the device id is missing or invalid; send it as: Driftless-Device: <1 to 256 printable ASCII characters>",
            ),
            HttpError::Auth(error) => {
                let mut response = retry_after(error.retry_after_ms(), refused(error.refusal_code(), error.to_string()));
                if is_of_bytes(error) {
                    response.extensions_mut().insert(LeaveBodyUnread);
                }
                response
            }
            HttpError::LinkTokenRefused { which, error } => {
                retry_after(error.retry_after_ms(), refused(error.refusal_code(), format!("{}: {error}", which.place())))
            }
            HttpError::Refused { id, dataset, code, message } => refusal(status_of(code), id, dataset, code, message),
            HttpError::BadHead(what) => refused(Code::BadRequest, what),
            HttpError::BodyTooLarge => refused(Code::TooLarge, "the body is over 2 MiB"),
            HttpError::BodyIncomplete => refused(Code::BadRequest, "the body is incomplete"),
            HttpError::BodyEncoded => {
                let accepted = [(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
                let message = "the body has a Content-Encoding, and this server decodes none".to_owned();
                (accepted, refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, None, Code::BadRequest, message)).into_response()
            }
            HttpError::SlowBody(SlowBody::TooSlow) => {
                refused(Code::Timeout, "the body did not arrive: for 20 seconds nothing came, or less than 1,000 bytes a second on average")
            }
            HttpError::SlowBody(SlowBody::NoPlace) => refused(
                Code::Unavailable,
                "the body was not there within 20 seconds, and the server carries as many slow transfers as it can; send it again later",
            ),
            HttpError::BadHandshake(what) => refused(Code::BadRequest, what),
            HttpError::UpgradeRequired => {
                let websocket =
                    [(header::CONNECTION, HeaderValue::from_static("Upgrade")), (header::UPGRADE, HeaderValue::from_static("websocket"))];
                let message = "this path is a WebSocket; send Connection: Upgrade and Upgrade: websocket".to_owned();
                (websocket, refusal(StatusCode::UPGRADE_REQUIRED, None, None, Code::BadRequest, message)).into_response()
            }
            HttpError::WebSocketVersion => {
                let supported = [(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))];
                let message = "unsupported WebSocket version; send Sec-WebSocket-Version: 13".to_owned();
                (supported, refusal(StatusCode::UPGRADE_REQUIRED, None, None, Code::BadRequest, message)).into_response()
            }
            HttpError::ForeignPage(refusal) => refused(Code::OriginNotAllowed, refusal.message()),
            HttpError::OriginNotAllowed => {
                refused(Code::OriginNotAllowed, "web pages of this origin may not use this server; see its setting origins")
            }
            HttpError::NoSuchPath => refused(Code::NotFound, "no such path; the protocol is served at /v1/sync and /v1/datasets"),
            HttpError::OnAdminPort => {
                refused(RefusalCode::NotFound, "the admin API and the metrics are served at the address of admin.listen")
            }
            HttpError::MethodNotAllowed => refused(
                Code::MethodNotAllowed,
                "this path does not support this method; the header Allow lists the methods that it supports",
            ),
            HttpError::AdminDisabled => {
                refused(Code::NotFound, "the admin API is disabled: no operator key is configured; set admin.key and restart the server")
            }
            HttpError::WrongOperatorKey => {
                let message = "the operator key is missing or wrong; send it as: Authorization: Bearer <admin.key>";
                with_challenge(Challenge::OperatorKey, refused(Code::TokenRefused, message))
            }
            HttpError::TokenNotFresh { which, within_s } => {
                let message = format!(
                    "{} must have been issued within {within_s} s, after its user signed in; sign in again for a new one",
                    which.place()
                );
                with_challenge(Challenge::NotFresh { within_s }, refused(Code::TokenNotFresh, message))
            }
            HttpError::BadAdminRequest(what) => refused(Code::BadRequest, what),
            HttpError::NotFound(missing) => refused(Code::DoesNotExist, not_found_text(missing)),
            HttpError::NotFoundBecause(why) => refused(Code::DoesNotExist, why),
            HttpError::NotPossible(why) => refused(Code::NotPossible, why),
        }
    }
}

/// Whether the client has sent too many bytes.
fn is_of_bytes(error: AuthError) -> bool {
    let AuthError::LimitExceeded(exceeded) = error else { return false };
    matches!(exceeded.what, LimitedUse::AddressBytes | LimitedUse::PoolBytes)
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

/// The status of a refusal's response; `PROTOCOL.md` §7 has the same table.
fn status_of(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::TooManyDevices | RefusalCode::Revoked | RefusalCode::OriginNotAllowed => StatusCode::FORBIDDEN,
        RefusalCode::NotFound | RefusalCode::DoesNotExist => StatusCode::NOT_FOUND,
        RefusalCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        RefusalCode::Timeout => StatusCode::REQUEST_TIMEOUT,
        RefusalCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        RefusalCode::TooLarge | RefusalCode::TooManyChanges => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalCode::PatchReused | RefusalCode::PatchExpired | RefusalCode::AheadOfServer | RefusalCode::NotPossible => {
            StatusCode::CONFLICT
        }
        RefusalCode::TooManyRecords | RefusalCode::DatasetFull | RefusalCode::TooManyDatasets => StatusCode::INSUFFICIENT_STORAGE,
        RefusalCode::Unavailable | RefusalCode::ReadOnly => StatusCode::SERVICE_UNAVAILABLE,
        RefusalCode::TokenRefused | RefusalCode::TokenNotFresh | RefusalCode::OtherIdentity => StatusCode::UNAUTHORIZED,
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

/// The whole answer to a connection that is refused before anything of it is read.
pub(super) fn refused_connection(exceeded: LimitExceeded) -> Vec<u8> {
    let (error, retry_after_s) = (AuthError::LimitExceeded(exceeded), exceeded.retry_after_ms.div_ceil(1000));
    let (code, message) = (error.refusal_code(), error.to_string());
    let status = status_of(code);
    let body = Codec::Json.encode(&ServerMessage::Refused { id: None, dataset: None, code, message });
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nRetry-After: {retry_after_s}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// A request that succeeded.
pub(super) fn ok_json(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// A write that was rejected because of a conflict.
pub(super) fn conflict_json(message: &ServerMessage) -> Response {
    json(StatusCode::CONFLICT, message)
}

/// The response of a server that cannot serve now; `why` is for people.
pub(super) fn unhealthy(why: &str) -> Response {
    refused(RefusalCode::Unavailable, why)
}

/// A successful response whose body is produced while it is sent.
pub(super) fn ok_streamed(content_type: &'static str, body: Body) -> Response {
    (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response()
}

/// Completes the response to a method that the path does not support: the router lists those that it does, without `OPTIONS`, which every path
/// supports and which is answered with the list alone.
pub(super) fn with_allowed_methods(method: &Method, mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allowed = response.headers().get(header::ALLOW).and_then(|allowed| allowed.to_str().ok()).unwrap_or_default();
    let allowed = HeaderValue::try_from(format!("{allowed},OPTIONS")).unwrap_or(HeaderValue::from_static("OPTIONS"));
    if method == Method::OPTIONS {
        response = no_content();
    }
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// A success that has nothing to say beside its headers.
pub(super) fn no_content() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

pub(super) fn is_upgrade(response: &Response) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// The status of a successful WebSocket handshake.
pub(super) fn switching_protocols() -> StatusCode {
    StatusCode::SWITCHING_PROTOCOLS
}

fn refused(code: RefusalCode, message: impl Into<String>) -> Response {
    refusal(status_of(code), None, None, code, message.into())
}

/// The one form of every error. A 401 has a challenge, and a 503 says when to come back.
fn refusal(status: StatusCode, id: Option<u64>, dataset: Option<String>, code: RefusalCode, message: String) -> Response {
    let challenge = (status == StatusCode::UNAUTHORIZED).then(|| Challenge::TokenRefused(&message).header());
    let mut response = json(status, &ServerMessage::Refused { id, dataset, code, message });
    if let Some(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let seconds = if code == RefusalCode::ReadOnly { READ_ONLY_RETRY_S } else { UNAVAILABLE_RETRY_S };
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    response
}

/// A refusal that says when the same request may be granted.
fn retry_after(after_ms: Option<u64>, mut response: Response) -> Response {
    if let Some(after_ms) = after_ms {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after_ms.div_ceil(1000)));
    }
    response
}

fn with_challenge(challenge: Challenge<'_>, mut response: Response) -> Response {
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.header());
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, content_type, Codec::Json.encode(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TokenRefusal;

    #[test]
    fn a_503_says_when_to_come_back_and_a_401_how_to_authenticate() {
        let of = |error: HttpError| {
            let response = error.into_response();
            let has = |name| response.headers().get(name).is_some();
            (response.status().as_u16(), has(header::RETRY_AFTER), has(header::WWW_AUTHENTICATE))
        };
        assert_eq!(of(HttpError::Auth(AuthError::Token(TokenRefusal::KeysUnavailable))), (503, true, false), "the token may be good");
        assert_eq!(of(HttpError::Auth(AuthError::Unavailable)), (503, true, false));
        assert_eq!(of(Unavailable::Now.into()), (503, true, false));
        assert_eq!(of(Unavailable::ReadOnly.into()), (503, true, false));
        assert_eq!(of(HttpError::SlowBody(SlowBody::NoPlace)), (503, true, false));
        assert_eq!(of(HttpError::SlowBody(SlowBody::TooSlow)), (408, false, false), "it may be sent again at once");
        assert_eq!(of(HttpError::Auth(AuthError::Token(TokenRefusal::Expired))), (401, false, true));
        assert_eq!(of(HttpError::MissingToken), (401, false, true));
        assert_eq!(of(HttpError::WrongOperatorKey), (401, false, true));
        assert_eq!(of(HttpError::Auth(AuthError::OriginNotAllowed)), (403, false, false));
        let exceeded = LimitExceeded { what: LimitedUse::AddressHandshakes, retry_after_ms: 1_001 };
        let response = HttpError::Auth(AuthError::LimitExceeded(exceeded)).into_response();
        assert_eq!((response.status().as_u16(), &response.headers()[header::RETRY_AFTER]), (429, &HeaderValue::from_static("2")));
    }

    #[test]
    fn the_document_has_the_status_of_every_code() {
        let document = include_str!("../../protocol/PROTOCOL.md");
        let chapter = document.split("\n## ").find(|chapter| chapter.starts_with("7. HTTP")).expect("the chapter");
        let rows: Vec<(u16, &str)> = chapter
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split_once(" | "))
            .filter_map(|(status, causes)| Some((status.parse().ok()?, causes)))
            .collect();
        assert!(rows.len() >= 10, "{} rows", rows.len());
        for code in RefusalCode::ALL {
            let named = |row: &&(u16, &str)| row.1.contains(&format!("`{code}`"));
            let row = rows.iter().find(|row| row.0 == status_of(*code).as_u16()).expect("a row of the status");
            assert!(named(&row) || row.0 == 400, "{code} is not named with {}", row.0);
            let elsewhere = rows.iter().filter(named).any(|other| other.0 != row.0);
            // What a client sent in another form than the server reads has a status of its own.
            assert!(!elsewhere || *code == RefusalCode::BadRequest, "{code} is named with another status");
        }
    }
}
