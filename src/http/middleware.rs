//! What holds for every request and every response of the port.

use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{error, head};

/// Refuses a request with an invalid head, answers `OPTIONS` and completes the headers of the response.
pub(super) async fn every_request(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let response = match head::check(&parts) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => error.into_response(),
    };
    let mut response = error::with_allowed_methods(&method, response);
    complete_headers(&mut response);
    response
}

/// Nothing that the server answers may be kept by a cache, unless its handler says otherwise: it belongs to one person or to one moment. A browser
/// must not guess the type of a body that holds what users wrote.
fn complete_headers(response: &mut Response) {
    if error::is_upgrade(response) {
        return;
    }
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
}
