//! Hands requests to the library, and adds to its answers what it does not know: the rules for other origins, and the request's id.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use s3s::S3ErrorCode;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};

use super::authenticate::S3Authenticator;
use super::cors;
use super::errors::error;
use super::operations::S3Objects;
use super::sub_resource;
use crate::access::RequestContext;
use crate::objects::Objects;
use crate::store::CorsRule;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Bytes of a body of XML or JSON. DeleteObjects has a thousand keys of 1,024 bytes, each of which may be written as six.
const MAX_DOCUMENT_BYTES: usize = 8 << 20;

/// S3's endpoint. Clones share it.
#[derive(Clone)]
pub struct S3Endpoint {
    objects: Objects,
    service: S3Service,
}

impl S3Endpoint {
    pub fn new(objects: Objects) -> S3Endpoint {
        let mut builder = S3ServiceBuilder::new(S3Objects { objects: objects.clone() });
        let authenticator = S3Authenticator { accounts: objects.accounts.clone() };
        builder.set_auth(authenticator.clone());
        builder.set_access(authenticator);
        let mut config = S3Config::default();
        config.xml_max_body_size = MAX_DOCUMENT_BYTES;
        // A form's file would be held in memory: forms are not taken.
        config.post_object_max_file_size = 0;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        S3Endpoint { objects, service: builder.build() }
    }

    /// Answers a request for S3. Its signature is checked here, its route and what its head says of the signature before.
    pub async fn answer(&self, mut request: Request<Body>, context: RequestContext, id: &str) -> Response<Body> {
        let (method, origin, path) = (request.method().clone(), request.headers().clone(), request.uri().path().to_owned());
        let rules = self.rules(&path, &origin).await;
        if method == Method::POST && is_form(&request) {
            return refusal(S3ErrorCode::NotImplemented, "Uploads by forms are not implemented");
        }
        if sub_resource::is_unknown(request.uri().query().unwrap_or_default()) {
            return refusal(S3ErrorCode::NotImplemented, "A header or query you provided implies functionality that is not implemented.");
        }
        request.extensions_mut().insert(context);
        let answered = self.service.call(request.map(s3s::Body::http_body_unsync)).await;
        let mut response = match answered {
            Ok(response) => response.map(Body::new),
            Err(_) => refusal(S3ErrorCode::InternalError, "We encountered an internal error. Please try again."),
        };
        response.headers_mut().extend(cors::answer_headers(&rules, &method, &origin));
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }

    /// Answers the question of a browser whether a page may send a request to a bucket.
    pub async fn preflight(&self, path: &str, headers: &HeaderMap) -> Response<Body> {
        let rules = self.rules(path, headers).await;
        match cors::preflight_headers(&rules, headers) {
            None => refusal(S3ErrorCode::AccessDenied, "CORSResponse: This CORS request is not allowed."),
            Some(headers) => {
                let mut response = Response::new(Body::empty());
                *response.headers_mut() = headers;
                response
            }
        }
    }

    /// Whether a bucket's rules let pages of a request's origin send it.
    pub async fn allows_page(&self, path: &str, method: &Method, headers: &HeaderMap) -> bool {
        !cors::answer_headers(&self.rules(path, headers).await, method, headers).is_empty()
    }

    /// The rules of the bucket that a request with an origin is for.
    async fn rules(&self, path: &str, headers: &HeaderMap) -> Vec<CorsRule> {
        let bucket = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if !headers.contains_key(http::header::ORIGIN) || bucket.is_empty() {
            return Vec::new();
        }
        self.objects.bucket(bucket).await.ok().flatten().map(|bucket| bucket.cors).unwrap_or_default()
    }
}

/// An answer that says no. The library knows its status.
fn refusal(code: S3ErrorCode, message: &'static str) -> Response<Body> {
    // Only a body that cannot be written fails, and two texts always can.
    error(code, message).to_http_response().map(|response| response.map(Body::new)).unwrap_or_default()
}

fn is_form(request: &Request<Body>) -> bool {
    let kind = request.headers().get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}
