//! What handlers need of a request: names in its path and query, its token and device, its body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use driftless_protocol::{DatasetName, DeviceId, RefusalCode, limits};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;

use super::body::SlowBody;
use super::cors::request_origin;
use super::counted;
use super::error::{HttpError, LinkToken};
use super::party::RequestParty;
use super::permit::ConnectionPermit;
use super::state::HttpState;
use crate::limits::{HeldMemory, MESSAGE_WORK_BYTES};
use crate::session::{AuthenticatedDevice, DrainWatch, RequestSource, SignInPurpose, TransferParty};

/// How long a device counts as admitted while the body of its request arrives, which may take half an hour.
const ADMITTED_FOR: Duration = Duration::from_secs(5);

/// The one request with two tokens: a refusal says which of them it is about.
pub(super) const LINK_PATH: &str = "/v1/identity/link";

/// The request header that names the device.
pub(super) const DEVICE_HEADER: HeaderName = HeaderName::from_static("driftless-device");

/// The header that names the identity: in every response to an authenticated request, and in requests of a device that knows its identity.
pub(super) const IDENTITY_HEADER: HeaderName = HeaderName::from_static("driftless-identity");

/// Authenticates the device of a request and reads its body before the handler runs. The response names the identity, whatever its status: after a
/// merge the device's identity is another one, and its positions are void.
pub(super) async fn authenticated(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let device = match authenticate(&state, &parts).await {
        Ok(device) => device,
        Err(error) => return error.into_response(),
    };
    if let Some((permit, _)) = ConnectionPermit::of_request(&parts.extensions) {
        permit.authenticated();
    }
    RequestParty::authenticated(&parts.extensions, TransferParty::Device);
    let mut identity = HeaderValue::from_str(device.principal.identity.as_str());
    let mut response = match read_admitted(&state, device, &parts, body).await {
        Ok((device, body, memory)) => {
            identity = HeaderValue::from_str(device.principal.identity.as_str());
            let (pool, counted) = (Arc::clone(&device.principal.pool), Arc::clone(device.principal.identity.text()));
            let body_bytes = body.len() as u64;
            pool.used.charge_bytes(state.transfers.clock.running_ms(), body_bytes);
            parts.extensions.insert(device.principal.clone());
            parts.extensions.insert(device);
            let request = Request::from_parts(parts, Body::from(body));
            let response = counted::run(&state, &counted, request, next, memory).await.unwrap_or_else(IntoResponse::into_response);
            let answer_bytes = response.body().size_hint().lower();
            let work_bytes = MESSAGE_WORK_BYTES as u64 + body_bytes + answer_bytes;
            // What was done is answered; the next request is refused.
            let _ = pool.used.charge_work(&counted, state.transfers.clock.running_ms(), work_bytes);
            response
        }
        Err(error) => error.into_response(),
    };
    if let Ok(identity) = identity {
        response.headers_mut().insert(IDENTITY_HEADER, identity);
    }
    response
}

/// Reads the body, when there is memory for it. The device is authenticated again if that took long: it may have been revoked meanwhile, or its identity merged.
async fn read_admitted(
    state: &HttpState,
    device: AuthenticatedDevice,
    parts: &Parts,
    body: Body,
) -> Result<(AuthenticatedDevice, Bytes, HeldMemory), HttpError> {
    let began = Instant::now();
    let memory = counted::take_for_request(state, device.principal.identity.text(), counted::request_bytes(&body)).await?;
    let body = decoded_body(&parts.headers, body).await?;
    let device = if began.elapsed() > ADMITTED_FOR { authenticate(state, parts).await? } else { device };
    Ok((device, body, memory))
}

/// Verifies the token and signs the device in, as a session's hello does; a request that only reads makes no device.
///
/// # Errors
/// A request that names another identity than the token's is refused: the device's positions and pending writes belong to that identity.
async fn authenticate(state: &HttpState, parts: &Parts) -> Result<AuthenticatedDevice, HttpError> {
    let (headers, now_ms) = (&parts.headers, state.transfers.clock.running_ms());
    let source = request_source(headers, &parts.extensions).unwrap_or_else(RequestSource::of_this_process);
    // Before everything else: the body of a request that is refused for another reason is read and dropped.
    state.authenticator.within_limits(&source.client, source.client.check_bytes(now_ms))?;
    let token = bearer_token(headers).ok_or(HttpError::MissingToken)?;
    let device = headers.get(DEVICE_HEADER).and_then(|value| value.to_str().ok()).and_then(|value| DeviceId::new(value).ok());
    // Reserved ids belong to the server's own writers.
    let device = device.filter(|device| !device.as_str().starts_with(limits::RESERVED_DEVICE_PREFIX));
    let device = device.ok_or(HttpError::MissingDevice)?;
    let purpose = if parts.method.is_safe() { SignInPurpose::Read } else { SignInPurpose::Use };
    let authenticated =
        state.authenticator.authenticate(token, device, purpose, &source).await.map_err(|error| match parts.uri.path() {
            LINK_PATH => LinkToken::First.refused(error),
            _ => error.into(),
        })?;
    state.authenticator.within_limits(&source.client, authenticated.principal.pool.used.check_bytes(now_ms))?;
    let identity = &authenticated.principal.identity;
    state.authenticator.within_limits(&source.client, authenticated.principal.pool.used.check_work(identity.as_str(), now_ms))?;
    match headers.get(IDENTITY_HEADER).filter(|named| named.as_bytes() != identity.as_str().as_bytes()) {
        None => Ok(authenticated),
        Some(_) => {
            let message = format!("the token belongs to identity {identity}, but the Driftless-Identity header names another one");
            Err(HttpError::Refused { id: None, dataset: None, code: RefusalCode::OtherIdentity, message })
        }
    }
}

/// Where a request comes from; `None`: it came over no connection of the server.
pub(super) fn request_source(headers: &HeaderMap, extensions: &Extensions) -> Option<RequestSource> {
    let (permit, client) = ConnectionPermit::of_request(extensions)?;
    let drain = extensions.get::<DrainWatch>()?.clone();
    Some(RequestSource { origin: request_origin(headers), client, capacity: permit.capacity().clone(), drain })
}

/// The token or key of an `Authorization: Bearer` header. The scheme is read in any case, with any number of spaces after it (RFC 9110 section 11).
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim().split_once([' ', '\t'])?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// Reads the whole body, as long as its bytes keep coming, and within the size of the largest message.
pub(super) async fn read_body(body: Body) -> Result<Bytes, HttpError> {
    match Limited::new(body, limits::MESSAGE_BYTES).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(HttpError::BodyTooLarge),
        Err(error) => Err(slow_body(&*error).map_or(HttpError::BodyIncomplete, HttpError::SlowBody)),
    }
}

fn slow_body(error: &(dyn std::error::Error + 'static)) -> Option<SlowBody> {
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref::<SlowBody>().copied())
}

async fn decoded_body(headers: &HeaderMap, body: Body) -> Result<Bytes, HttpError> {
    let body = read_body(body).await?;
    match headers.get(header::CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        true => Ok(body),
        false => Err(HttpError::BodyEncoded),
    }
}

/// The names in a path, by their place in its route.
pub(super) struct PathNames<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for PathNames<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<PathNames<T>, HttpError> {
        let names = Path::<T>::from_request_parts(parts, state).await;
        names.map(|Path(names)| PathNames(names)).map_err(|error| bad_request(error.body_text()))
    }
}

/// The dataset that a path names.
pub(super) struct PathDataset(pub(super) DatasetName);

impl FromRequestParts<HttpState> for PathDataset {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<PathDataset, HttpError> {
        let PathNames(name) = PathNames::<String>::from_request_parts(parts, state).await?;
        DatasetName::new(&name).map(PathDataset).map_err(|error| {
            let (id, dataset, code) = (None, None, RefusalCode::BadName);
            HttpError::Refused { id, dataset, code, message: error.to_string() }
        })
    }
}

/// The members of a query.
pub(super) struct UrlQuery<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<HttpState> for UrlQuery<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<UrlQuery<T>, HttpError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| UrlQuery(query)).map_err(|error| bad_request(error.body_text()))
    }
}

pub(super) fn bad_request(message: String) -> HttpError {
    HttpError::Refused { id: None, dataset: None, code: RefusalCode::BadRequest, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_of_a_token_is_read_in_any_case_and_with_any_spaces() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
            bearer_token(&headers).map(str::to_owned)
        };
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", "bEaReR \t a.b.c", " Bearer a.b.c "] {
            assert_eq!(read(value).as_deref(), Some("a.b.c"), "{value:?}");
        }
        for value in ["", "Bearer", "Bearer ", "Bearera.b.c", "Basic a.b.c", "a.b.c", "Bearer=a"] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }
}
