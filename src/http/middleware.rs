//! What holds for every request and every response of the port.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::cors::PageRequest;
use super::error::HttpError;
use super::page_guard::{self, ServedPages};
use super::{error, head};
use crate::origin::{AllowedOrigins, OriginMatch};

/// Which web pages may use the server.
#[derive(Clone)]
pub(super) struct PageRules {
    pub(super) origins: Arc<AllowedOrigins>,
    pub(super) pages: ServedPages,
}

/// Refuses a request with an invalid head, answers `OPTIONS`, and completes the headers of the response, whatever its status.
pub(super) async fn every_request(State(PageRules { origins, pages }): State<PageRules>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let (method, page) = (parts.method.clone(), PageRequest::read(&parts));
    let is_named = |origin: &str| origins.find(origin) == OriginMatch::Named;
    let checked = head::check(&parts).and_then(|()| page_guard::check(pages, &parts, is_named).map_err(HttpError::ForeignPage));
    let mut response = match checked {
        Err(error) => error.into_response(),
        Ok(()) => match page.as_ref().and_then(|page| page.answer_preflight(&origins)) {
            Some(answer) => answer,
            None => error::with_allowed_methods(&method, next.run(Request::from_parts(parts, body)).await),
        },
    };
    if !error::is_upgrade(&response) {
        complete(response.headers_mut());
        if let Some(page) = page {
            page.complete(response.headers_mut(), &origins);
        }
    }
    response
}

/// No answer may be kept by a cache, unless its handler says otherwise: it belongs to one person or to one moment. A browser must not guess the
/// type of a body that holds what users wrote.
fn complete(headers: &mut HeaderMap) {
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
}
