//! Answers AWS's requests: reads the call, checks its signature, has the operation decided, and formats what came of it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, Response};
use bytes::Bytes;
use tracing::info;
use uuid::Uuid;

use super::answer::AwsRequestId;
use super::call::{AwsAnswer, AwsCall};
use super::call_body::CallBodies;
use super::cors;
use super::dispatch;
use super::error::{AwsError, CredentialFault};
use super::head::AwsRequestHead;
use super::query::QueryCall;
use super::request_context;
use super::rest::SyncCall;
use super::route::{AwsRoute, route};
use super::service::{AwsService, AwsWire};
use super::services::AwsServices;
use super::sigv4::{DerivedKey, SignatureFault, SignedRequest, SigningRules};
use super::user_pools::PoolDocument;
use crate::access::{Caller, SignedCaller, UnusableKey};

/// Pages of the server beside its own paths, by their first segment.
const PAGES: [&str; 1] = ["demo"];

/// The AWS services of a server. Clones share them.
#[derive(Clone)]
pub struct AwsEndpoint {
    services: Arc<AwsServices>,
    bodies: CallBodies,
}

/// A request whose body was read whole.
struct WholeRequest {
    parts: Parts,
    body: Bytes,
}

/// What a request calls, as its head says it.
enum Called {
    Json { service: AwsService, operation: String },
    Rest(SyncCall),
    Form { signed_for: Option<AwsService> },
}

impl Called {
    fn wire(&self) -> AwsWire {
        match self {
            Called::Json { .. } => AwsWire::Json,
            Called::Rest(_) => AwsWire::RestJson,
            Called::Form { .. } => AwsWire::Query,
        }
    }

    fn service(&self) -> Option<AwsService> {
        match self {
            Called::Json { service, .. } => Some(*service),
            Called::Rest(_) => Some(AwsService::CognitoSync),
            Called::Form { signed_for } => *signed_for,
        }
    }
}

impl AwsEndpoint {
    pub fn new(services: AwsServices) -> AwsEndpoint {
        AwsEndpoint { services: Arc::new(services), bodies: CallBodies::default() }
    }

    /// Whether a request is for one of AWS's services, judged by its head alone.
    pub fn is_for<T>(&self, request: &Request<T>) -> bool {
        match route(&head_of(request), &PAGES) {
            AwsRoute::Own if request.method() == Method::GET => PoolDocument::of_path(request.uri().path()).is_some(),
            AwsRoute::Own | AwsRoute::NotFound => false,
            // A device's token is nobody's at S3: such a request is for the server's own routes, also where they have none.
            AwsRoute::S3 { signature: None } => !request.headers().contains_key(AUTHORIZATION),
            AwsRoute::ServicePreflight
            | AwsRoute::Json { .. }
            | AwsRoute::Rest { .. }
            | AwsRoute::Form { .. }
            | AwsRoute::S3 { signature: Some(_) }
            | AwsRoute::BucketPreflight
            | AwsRoute::Refused(_) => true,
        }
    }

    /// Whether a bucket's rules let pages of a request's origin send it. A preflight may always be sent: its answer says what the rules allow.
    pub fn allows_page<T>(&self, request: &Request<T>) -> impl Future<Output = bool> + Send + use<T> {
        let (is_preflight, is_object) = match route(&head_of(request), &PAGES) {
            AwsRoute::BucketPreflight => (true, false),
            AwsRoute::S3 { .. } => (false, true),
            _ => (false, false),
        };
        let (services, method) = (Arc::clone(&self.services), request.method().clone());
        let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
        async move { is_preflight || (is_object && services.s3.allows_page(&path, &method, &headers).await) }
    }

    /// Answers a request that is for one of AWS's services.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let id = AwsRequestId::new(Uuid::new_v4());
        match route(&head_of(&request), &PAGES) {
            AwsRoute::BucketPreflight => {
                let (parts, _) = request.into_parts();
                return self.services.s3.preflight(parts.uri.path(), &parts.headers).await;
            }
            AwsRoute::S3 { signature } => return self.answer_s3(request, signature.is_some(), id).await,
            _ => {}
        }
        let mut response = self.answer_as(request, id).await;
        cors::complete(response.headers_mut());
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        response.map(Body::from)
    }

    /// Hands a request to S3, without reading its body. What a signature says of the head is looked at before: each header of AWS's must be signed.
    async fn answer_s3(&self, request: Request<Body>, is_signed: bool, id: AwsRequestId) -> Response<Body> {
        let now_ms = self.services.clock().unix_ms();
        if is_signed {
            let now_s = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
            if let Err(fault) = SignedRequest::parse(&head_of(&request), SigningRules::S3, now_s) {
                let error = AwsError::of_signature(AwsWire::S3, &fault);
                info!(request = %id, code = error.code(), "AWS request refused");
                return error.response(Some(AwsService::S3), id).map(Body::from);
            }
        }
        let (parts, body) = request.into_parts();
        let context = request_context::of(&parts, now_ms);
        self.services.s3.answer(Request::from_parts(parts, body), context, &id.to_string()).await
    }

    async fn answer_as(&self, request: Request<Body>, id: AwsRequestId) -> Response<Bytes> {
        let (called, is_signed) = match route(&head_of(&request), &PAGES) {
            AwsRoute::ServicePreflight => return cors::preflight_answer(),
            AwsRoute::Refused(error) => return error.response(None, id),
            AwsRoute::Json { service, operation, signature } => {
                (Called::Json { service, operation: operation.to_owned() }, signature.is_some())
            }
            AwsRoute::Rest { signature } => match SyncCall::read(&head_of(&request)) {
                Ok(call) => (Called::Rest(call), signature.is_some()),
                Err(error) => return error.response(Some(AwsService::CognitoSync), id),
            },
            AwsRoute::Form { signed_for, signature } => (Called::Form { signed_for }, signature.is_some()),
            AwsRoute::Own if let Some(document) = PoolDocument::of_path(request.uri().path()) => {
                return document.answer(&self.services, id).await.unwrap_or_else(|error| error.response(Some(AwsService::CognitoIdp), id));
            }
            AwsRoute::S3 { .. } | AwsRoute::BucketPreflight | AwsRoute::Own | AwsRoute::NotFound => {
                return AwsError::unknown_operation(AwsWire::S3, "", None).response(Some(AwsService::S3), id);
            }
        };
        let service = called.service();
        self.answer_call(request, called, is_signed, id).await.unwrap_or_else(|(service_called, error)| {
            info!(request = %id, code = error.code(), "AWS request refused");
            error.response(service_called.or(service), id)
        })
    }

    /// Reads, authenticates and does a call. An error of a form names the service that the form called.
    async fn answer_call(
        &self,
        request: Request<Body>,
        called: Called,
        is_signed: bool,
        id: AwsRequestId,
    ) -> Result<Response<Bytes>, (Option<AwsService>, AwsError)> {
        let wire = called.wire();
        let most_bytes = called.service().unwrap_or(AwsService::Sts).max_body_bytes().unwrap_or_default();
        let (parts, body) = request.into_parts();
        // What is read counts until the call is done.
        let (body, _place) = self.bodies.read(body, wire, most_bytes).await.map_err(|error| (None, error))?;
        let request = WholeRequest { parts, body };
        let call = match called {
            Called::Form { signed_for } => {
                let query = request.parts.uri.query().unwrap_or_default();
                let form = QueryCall::read(signed_for, query, &request.body).map_err(|error| (None, error))?;
                let of_form = |error| (Some(form.service), error);
                if !dispatch::has_form(form.service, &form.action) {
                    return Err(of_form(AwsError::unknown_operation(wire, &form.action, form.service.form_version())));
                }
                let call = self.call(&request, wire, is_signed, id).await.map_err(of_form)?;
                return dispatch::answer_form(&self.services, &call, &form).await.map_err(of_form);
            }
            Called::Json { .. } | Called::Rest(_) => self.call(&request, wire, is_signed, id).await,
        };
        let call = call.map_err(|error| (None, error))?;
        let answered: AwsAnswer = match called {
            Called::Json { service, operation } => dispatch::answer_json(&self.services, &call, service, &operation, &request.body).await,
            Called::Rest(sync_call) => dispatch::answer_sync(&self.services, &call, &sync_call, &request.body).await,
            Called::Form { .. } => Err(AwsError::internal(wire)),
        };
        answered.map_err(|error| (None, error))
    }

    /// The call of a request, with its caller.
    async fn call(&self, request: &WholeRequest, wire: AwsWire, is_signed: bool, id: AwsRequestId) -> Result<AwsCall, AwsError> {
        let signed = if is_signed { self.authenticate(request, wire).await? } else { SignedCaller::unlimited(Caller::Anonymous) };
        let SignedCaller { caller, limits } = signed;
        let context = request_context::of(&request.parts, self.services.clock().unix_ms());
        Ok(AwsCall { wire, caller, limits, context, id })
    }

    /// Who has signed a request.
    async fn authenticate(&self, request: &WholeRequest, wire: AwsWire) -> Result<SignedCaller, AwsError> {
        let head = head_of_parts(&request.parts);
        let now_s = i64::try_from(self.services.clock().unix_ms() / 1000).unwrap_or(i64::MAX);
        let signed = SignedRequest::parse(&head, SigningRules::Standard, now_s).map_err(|fault| AwsError::of_signature(wire, &fault))?;
        // The signature is checked before the session token is opened: who has no key learns nothing of a token.
        let accounts = self.services.accounts();
        let secret = accounts.secret(signed.access_key_id()).await.map_err(|_| AwsError::unavailable(wire))?;
        let secret = secret.map_err(|why| unusable(wire, why))?;
        let key = DerivedKey::derive(secret.expose(), signed.scope());
        signed.verify(&key, &request.body).map_err(|fault: SignatureFault| AwsError::of_signature(wire, &fault))?;
        let caller = accounts.signed_caller(signed.access_key_id(), signed.session_token()).await;
        caller.map_err(|_| AwsError::unavailable(wire))?.map_err(|why| unusable(wire, why))
    }
}

fn unusable(wire: AwsWire, why: UnusableKey) -> AwsError {
    let fault = match why {
        UnusableKey::Unknown | UnusableKey::Inactive => CredentialFault::UnknownAccessKey,
        UnusableKey::InvalidToken => CredentialFault::InvalidToken,
        UnusableKey::ExpiredToken => CredentialFault::ExpiredToken,
    };
    AwsError::of_credential(wire, fault)
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
