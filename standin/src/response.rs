//! The stand-in's HTTP responses, and functions that build one.

use bytes::Bytes;
use http::{HeaderValue, header};
use serde_json::Value;

/// An HTTP response whose body is entirely in memory.
pub type HttpResponse = http::Response<Bytes>;

/// A response without headers and body. A status outside 100 to 999 is ignored, and the response is then 200.
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

/// The gateways that are played send this charset, although JSON has no such parameter.
pub(crate) fn json(status: u16, value: &Value) -> HttpResponse {
    with_body(status, "application/json; charset=UTF-8", value.to_string().into())
}
