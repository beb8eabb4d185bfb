//! HTTP responses, and their constructors.

use bytes::Bytes;
use http::{HeaderValue, header};
use serde_json::Value;

/// A whole HTTP response: status, headers and body.
pub type HttpResponse = http::Response<Bytes>;

pub(crate) fn empty(status: u16) -> HttpResponse {
    let mut response = HttpResponse::new(Bytes::new());
    if let Ok(status) = status.try_into() {
        *response.status_mut() = status;
    }
    response
}

pub(crate) fn with_body(status: u16, content_type: &'static str, body: Bytes) -> HttpResponse {
    let mut response = empty(status);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    *response.body_mut() = body;
    response
}

pub(crate) fn json(status: u16, body: &Value) -> HttpResponse {
    with_body(status, "application/json; charset=UTF-8", body.to_string().into())
}
