//! Makes answers.

use bytes::Bytes;
use http::{HeaderValue, header};
use serde_json::Value;

use super::answer::Reply;

pub(super) fn empty(status: u16) -> Reply {
    let mut reply = Reply::new(Bytes::new());
    if let Ok(status) = status.try_into() {
        *reply.status_mut() = status;
    }
    reply
}

pub(super) fn with(status: u16, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = empty(status);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    *reply.body_mut() = body;
    reply
}

pub(super) fn json(status: u16, body: &Value) -> Reply {
    with(status, "application/json; charset=UTF-8", body.to_string().into())
}
