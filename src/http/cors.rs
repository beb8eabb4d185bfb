//! Requests of web pages of another origin (the Fetch standard, section "CORS protocol").
//!
//! `/v1` takes its token from a header that no browser adds by itself, and no cookie. So a page can do nothing here that it could not do from its
//! own server, and every origin may be allowed. Which origins a pool allows is known once a request is authenticated; before that, and in a
//! preflight, which carries no token, an origin is allowed if any pool allows it. The admin API allows none.

use axum::http::header::{self, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};

use super::error::{self, HttpError};
use crate::origin::{AllowedOrigins, OriginMatch, RequestOrigin};

/// The methods of all paths of `/v1`.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");

/// The request headers that a page may send: any. The wildcard stands for every header but `Authorization`, and a browser that does not know it
/// reads the names before it.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, Driftless-Device, Driftless-Identity, *");

/// The response headers that a page may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("Driftless-Identity, Retry-After, WWW-Authenticate, Allow");

/// How long a browser may remember the answer to a preflight, in seconds: two hours, the most that Chromium takes.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");

/// A page of a public network asks for a server in a private one (the Private Network Access draft).
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// A request of a page, as far as its response depends on that.
pub(super) struct PageRequest {
    /// The page's origin; `None` if the request has none.
    origin: Option<HeaderValue>,
    /// A browser's question ahead of a request.
    preflight: Option<PreflightRequest>,
}

struct PreflightRequest {
    asks_private_network: bool,
}

impl PageRequest {
    /// `None` if the path is not one that pages may ask.
    pub(super) fn read(head: &Parts) -> Option<PageRequest> {
        let path = head.uri.path();
        if path != "/v1" && !path.starts_with("/v1/") {
            return None;
        }
        let origin = head.headers.get(header::ORIGIN).cloned();
        let is_preflight =
            head.method == Method::OPTIONS && origin.is_some() && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let asks_private_network = head.headers.get(REQUEST_PRIVATE_NETWORK).is_some_and(|asked| asked == "true");
        Some(PageRequest { origin, preflight: is_preflight.then_some(PreflightRequest { asks_private_network }) })
    }

    /// The answer to a preflight. It depends on no path, token or row, so that a storm of preflights costs nobody else anything.
    pub(super) fn answer_preflight(&self, allowed: &AllowedOrigins) -> Option<Response> {
        let preflight = self.preflight.as_ref()?;
        let found = self.find(allowed);
        if found == OriginMatch::NotAllowed {
            return Some(HttpError::OriginNotAllowed.into_response());
        }
        let mut response = error::no_content();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        // Only for an origin that the operator has named: otherwise any page could look for servers in the network of the person who reads it.
        if preflight.asks_private_network && found == OriginMatch::Named {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        Some(response)
    }

    /// Adds to a response what lets the page read it.
    pub(super) fn complete(&self, headers: &mut HeaderMap, allowed: &AllowedOrigins) {
        let allow_origin = match (self.find(allowed), &self.origin) {
            (_, None) | (OriginMatch::NotAllowed, Some(_)) => None,
            _ if allowed.allow_any() => Some(HeaderValue::from_static("*")),
            (OriginMatch::Named | OriginMatch::Any, Some(origin)) => Some(origin.clone()),
        };
        if !allowed.allow_any() {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(allow_origin) = allow_origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allow_origin);
            if self.preflight.is_none() {
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
            }
        }
    }

    fn find(&self, allowed: &AllowedOrigins) -> OriginMatch {
        let origin = self.origin.as_ref().map(|origin| String::from_utf8_lossy(origin.as_bytes()));
        origin.map_or(OriginMatch::NotAllowed, |origin| allowed.find(&origin))
    }
}

/// Where a request comes from.
pub(super) fn request_origin(headers: &HeaderMap) -> RequestOrigin {
    match headers.get(header::ORIGIN) {
        None => RequestOrigin::App,
        Some(origin) => RequestOrigin::Page(String::from_utf8_lossy(origin.as_bytes()).into()),
    }
}
