//! What most handlers need of a request: its token and device, its body, a dataset's name; and the response header that names the identity.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use driftless_protocol::{DatasetName, DeviceId, RefusalCode, limits};

use super::error::HttpError;
use super::state::HttpState;
use crate::session::AuthenticatedDevice;
use crate::sync::Principal;

/// How long a body may take to arrive. The largest, 2 MiB, takes 17 seconds at 1 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// The request header that names the device.
const DEVICE_HEADER: &str = "driftless-device";

/// The header that names the identity: in every response, and in requests of a device that knows its identity.
const IDENTITY_HEADER: &str = "driftless-identity";

/// Verifies the token and signs the device in, as a session's hello does.
///
/// # Errors
/// A request that names another identity than the token's is refused: the device's positions and pending writes belong to that identity.
pub(super) async fn authenticate(state: &HttpState, headers: &HeaderMap) -> Result<AuthenticatedDevice, HttpError> {
    let token = bearer_token(headers).ok_or(HttpError::MissingToken)?;
    let device = headers.get(DEVICE_HEADER).and_then(|value| value.to_str().ok()).and_then(|value| DeviceId::new(value).ok());
    // Reserved ids belong to the server's own writers.
    let device = device.filter(|device| !device.as_str().starts_with(limits::RESERVED_DEVICE_PREFIX));
    let device = device.ok_or(HttpError::MissingDevice)?;
    let authenticated = state.authenticator.authenticate(token, device).await?;
    let identity = &authenticated.principal.identity;
    match headers.get(IDENTITY_HEADER).filter(|named| named.as_bytes() != identity.as_str().as_bytes()) {
        None => Ok(authenticated),
        Some(_) => {
            let message = format!("the token belongs to identity {identity}, but the Driftless-Identity header names another one");
            Err(HttpError::Refused { id: None, dataset: None, code: RefusalCode::OtherIdentity, message })
        }
    }
}

/// The token or key of an `Authorization: Bearer` header (RFC 6750 section 2.1).
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Adds the header that names the identity: after a merge the device's identity is another one, and its positions are void.
pub(super) fn with_identity(principal: &Principal, mut response: Response) -> Response {
    if let Ok(identity) = HeaderValue::from_str(principal.identity.as_str()) {
        response.headers_mut().insert(IDENTITY_HEADER, identity);
    }
    response
}

/// Reads the whole body, within [`BODY_TIMEOUT`] and the size of the largest message.
pub(super) async fn read_body(body: Body) -> Result<Bytes, HttpError> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, limits::MESSAGE_BYTES)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(HttpError::BodyTooLarge),
        Err(_) => Err(HttpError::BodyTimeout),
    }
}

/// The dataset that a path names.
pub(super) fn dataset_name(dataset: &str) -> Result<DatasetName, HttpError> {
    DatasetName::new(dataset).map_err(|error| HttpError::Refused {
        id: None,
        dataset: None,
        code: RefusalCode::BadName,
        message: error.to_string(),
    })
}

pub(super) fn bad_request(message: String) -> HttpError {
    HttpError::Refused { id: None, dataset: None, code: RefusalCode::BadRequest, message }
}
