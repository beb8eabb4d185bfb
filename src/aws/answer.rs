//! What all answers have in common: a request id, and a body with its type.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response};
use uuid::Uuid;

use super::service::AwsWire;

/// What the services of Cognito send, whichever of the two forms of JSON they speak.
pub(super) const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
pub(super) const XML_TYPE: HeaderValue = HeaderValue::from_static("text/xml");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const S3_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// The id of a request, in its answer and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwsRequestId(Uuid);

impl AwsRequestId {
    pub fn new(id: Uuid) -> AwsRequestId {
        AwsRequestId(id)
    }
}

impl fmt::Display for AwsRequestId {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(text)
    }
}

/// A response with status 200, which the caller may change.
pub(super) fn with_body(body: Vec<u8>, kind: HeaderValue, wire: AwsWire, id: AwsRequestId) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    // A UUID is always a header's value.
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        let name = match wire {
            AwsWire::Query | AwsWire::Json | AwsWire::RestJson => REQUEST_ID,
            AwsWire::S3 => S3_REQUEST_ID,
        };
        headers.insert(name, id);
    }
    response
}
