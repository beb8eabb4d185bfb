//! Answers AWS's requests: reads the call, checks its signature, has the operation decided, and formats what came of it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::sync::Semaphore;
use tracing::info;
use uuid::Uuid;

use super::answer::AwsRequestId;
use super::cors;
use super::error::{AwsError, CredentialFault};
use super::head::AwsRequestHead;
use super::query::QueryCall;
use super::route::{AwsRoute, route};
use super::service::{AwsService, AwsWire};
use super::sigv4::{DerivedKey, SignatureFault, SignedRequest, SigningRules};
use super::sts;
use crate::access::{Accounts, Caller, Signer, UnusableKey};
use crate::clock::Clock;

/// Pages of the server beside its own paths, by their first segment.
const PAGES: [&str; 1] = ["demo"];

/// The longest body that takes no place among the large ones: the head of a request may be as long.
const SMALL_BODY_BYTES: u64 = 16 * 1024;

/// Larger bodies that are read at the same time. Each has at most 1 MiB. A form of that size is rare, and slow senders of some keep nobody out
/// whose form is small.
const LARGE_BODIES: usize = 32;

/// The AWS services of a server. Clones share them.
#[derive(Clone)]
pub struct AwsEndpoint {
    accounts: Accounts,
    clock: Clock,
    large_bodies: Arc<Semaphore>,
}

/// A form that was read whole, and what its head said of it.
struct FormRequest {
    parts: Parts,
    body: Bytes,
    signed_for: Option<AwsService>,
    is_signed: bool,
}

impl AwsEndpoint {
    pub fn new(accounts: Accounts, clock: Clock) -> AwsEndpoint {
        AwsEndpoint { accounts, clock, large_bodies: Arc::new(Semaphore::new(LARGE_BODIES)) }
    }

    /// Whether a request is for one of AWS's services, judged by its head alone. Paths that could be a bucket's are none of theirs yet: what is not
    /// signed goes to the server's own routes.
    pub fn is_for<T>(&self, request: &Request<T>) -> bool {
        match route(&head_of(request), &PAGES) {
            AwsRoute::Own | AwsRoute::NotFound | AwsRoute::BucketPreflight | AwsRoute::S3 { signature: None } => false,
            AwsRoute::ServicePreflight
            | AwsRoute::Json { .. }
            | AwsRoute::Rest { .. }
            | AwsRoute::Form { .. }
            | AwsRoute::S3 { signature: Some(_) }
            | AwsRoute::Refused(_) => true,
        }
    }

    /// Answers a request that is for one of AWS's services.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let id = AwsRequestId::new(Uuid::new_v4());
        let mut response = self.answer_as(request, id).await;
        cors::complete(response.headers_mut());
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response.map(Body::from)
    }

    async fn answer_as(&self, request: Request<Body>, id: AwsRequestId) -> Response<Bytes> {
        let unknown = |service: AwsService, operation: &str| {
            AwsError::unknown_operation(service.wire(), operation, service.form_version()).response(Some(service), id)
        };
        let (signed_for, is_signed) = match route(&head_of(&request), &PAGES) {
            AwsRoute::ServicePreflight => return cors::preflight_answer(),
            AwsRoute::Refused(error) => return error.response(None, id),
            AwsRoute::Json { service, operation, .. } => return unknown(service, operation),
            AwsRoute::Rest { .. } => {
                return unknown(AwsService::CognitoSync, &format!("{} {}", request.method(), request.uri().path()));
            }
            AwsRoute::Form { signed_for, signature } => (signed_for, signature.is_some()),
            AwsRoute::S3 { .. } | AwsRoute::BucketPreflight | AwsRoute::Own | AwsRoute::NotFound => return unknown(AwsService::S3, ""),
        };
        let (parts, body) = request.into_parts();
        match self.read_form(body).await {
            Ok(body) => self.answer_form(FormRequest { parts, body, signed_for, is_signed }, id).await,
            Err(error) => error.response(signed_for, id),
        }
    }

    /// Reads the whole body of a form. One that may be large is refused while many are read.
    async fn read_form(&self, body: Body) -> Result<Bytes, AwsError> {
        let most_bytes = AwsService::Sts.max_body_bytes().unwrap_or_default();
        let is_small = body.size_hint().upper().is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let place = if is_small { None } else { Some(self.large_bodies.try_acquire()) };
        if let Some(Err(_)) = place {
            return Err(AwsError::new(AwsWire::Query, "ServiceUnavailable", "Many large requests are being read now; try again"));
        }
        match Limited::new(body, most_bytes).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(AwsError::too_large(AwsWire::Query, most_bytes)),
            Err(_) => Err(AwsError::malformed(AwsWire::Query, "The body ended before its length")),
        }
    }

    async fn answer_form(&self, request: FormRequest, id: AwsRequestId) -> Response<Bytes> {
        let query = request.parts.uri.query().unwrap_or_default();
        let call = match QueryCall::read(request.signed_for, query, &request.body) {
            Ok(call) => call,
            Err(error) => return error.response(request.signed_for, id),
        };
        let answered = match call.service {
            AwsService::Sts => match sts::StsOperation::of_action(&call.action) {
                Some(operation) => self.authenticate(&request).await.map(|caller| operation.answer(&caller, id)),
                None => Err(AwsError::unknown_operation(AwsWire::Query, &call.action, AwsService::Sts.form_version())),
            },
            service => Err(AwsError::unknown_operation(AwsWire::Query, &call.action, service.form_version())),
        };
        answered.unwrap_or_else(|error| {
            info!(request = %id, action = call.action, code = error.code(), "AWS request refused");
            error.response(Some(call.service), id)
        })
    }

    /// Who has signed a request.
    async fn authenticate(&self, request: &FormRequest) -> Result<Caller, AwsError> {
        let wire = AwsWire::Query;
        let head = head_of_parts(&request.parts);
        if !request.is_signed {
            return Err(AwsError::of_signature(wire, &SignatureFault::Missing));
        }
        let now_s = i64::try_from(self.clock.unix_ms() / 1000).unwrap_or(i64::MAX);
        let signed = SignedRequest::parse(&head, SigningRules::Standard, now_s).map_err(|fault| AwsError::of_signature(wire, &fault))?;
        if signed.session_token().is_some() {
            // No session has been given out yet.
            return Err(AwsError::of_credential(wire, CredentialFault::InvalidToken));
        }
        let signer = self.accounts.signer(signed.access_key_id()).await.map_err(|_| unavailable(wire))?;
        let Signer { caller, secret } = signer
            .map_err(|(UnusableKey::Unknown | UnusableKey::Inactive)| AwsError::of_credential(wire, CredentialFault::UnknownAccessKey))?;
        let key = DerivedKey::derive(secret.expose(), signed.scope());
        signed.verify(&key, &request.body).map_err(|fault| AwsError::of_signature(wire, &fault))?;
        Ok(caller)
    }
}

fn unavailable(wire: AwsWire) -> AwsError {
    AwsError::new(wire, "ServiceUnavailable", "The store is not available now; try again")
}

fn head_of<T>(request: &Request<T>) -> AwsRequestHead<'_> {
    AwsRequestHead {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        headers: request.headers(),
    }
}

fn head_of_parts(parts: &Parts) -> AwsRequestHead<'_> {
    AwsRequestHead {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
    }
}
