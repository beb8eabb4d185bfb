//! Checks the head of every request (RFC 9110, RFC 9112 section 3.2): what two readers of one request, such as this server and a proxy before it,
//! could understand in two ways is refused.

use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, Version, request::Parts};

use super::error::HttpError;
use super::request::{DEVICE_HEADER, IDENTITY_HEADER};

/// Headers with one value: a request has each at most once (RFC 9110 section 5.3). hyper refuses two different lengths.
const SINGLE: [(HeaderName, &str); 11] = [
    (header::HOST, "the request has two headers Host"),
    (header::AUTHORIZATION, "the request has two headers Authorization"),
    (DEVICE_HEADER, "the request has two headers Driftless-Device"),
    (IDENTITY_HEADER, "the request has two headers Driftless-Identity"),
    (header::CONTENT_LENGTH, "the request has two headers Content-Length"),
    (header::TRANSFER_ENCODING, "the request has two headers Transfer-Encoding"),
    (header::CONTENT_TYPE, "the request has two headers Content-Type"),
    (header::CONTENT_ENCODING, "the request has two headers Content-Encoding"),
    (header::ORIGIN, "the request has two headers Origin"),
    (header::SEC_WEBSOCKET_KEY, "the request has two headers Sec-WebSocket-Key"),
    (header::SEC_WEBSOCKET_VERSION, "the request has two headers Sec-WebSocket-Version"),
];

pub(super) fn check(head: &Parts) -> Result<(), HttpError> {
    let repeated = |headers: &HeaderMap, name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    if let Some((_, what)) = SINGLE.iter().find(|(name, _)| repeated(&head.headers, name)) {
        return Err(HttpError::BadHead(what));
    }
    match head.headers.get(header::HOST) {
        None if head.version >= Version::HTTP_11 => Err(HttpError::BadHead("the request has no header Host")),
        Some(host) if !host.as_bytes().iter().all(|byte| is_host_byte(*byte)) => {
            Err(HttpError::BadHead("the header Host must be a name or an address, and may have a port"))
        }
        None | Some(_) => Ok(()),
    }
}

/// Whether a byte may stand in `Host` (RFC 3986 section 3.2). The empty host is allowed.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}
