//! Requests of web pages (the Fetch standard, "CORS protocol"), for all services but S3, whose buckets say for themselves which pages may.
//!
//! A call is allowed by its signature or by a token in its body, never by a cookie, so a page can do nothing here that it could not do from a
//! server of its own: any origin may. AWS's own endpoints answer the same.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, CONTENT_LENGTH,
};
use http::{HeaderMap, HeaderValue, Response};

/// The methods of cognito-sync; the others only know POST.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");

/// The wildcard stands for every header but `Authorization`; a browser that does not know it reads the names, which are those that the SDKs send.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Cache-Control, X-Amz-Target, X-Amz-Date, X-Amz-Content-Sha256, X-Amz-Security-Token, X-Amz-User-Agent, \
     X-Amz-Client-Context, Amz-Sdk-Invocation-Id, Amz-Sdk-Request, *",
);

/// Without these a page's SDK cannot read an error's code, a request's id or the server's clock.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("x-amzn-RequestId, x-amzn-ErrorType, x-amzn-ErrorMessage, Date, Retry-After");

/// How long a browser may remember the answer to a preflight, in seconds: two hours, the most that Chromium takes.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");

/// The answer to a preflight. It depends on nothing, so that a storm of preflights costs nobody else anything.
pub fn preflight_answer() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// Adds to any answer, also an error, what lets a page read it.
pub fn complete(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_send_what_the_sdks_send_and_read_what_they_read() {
        // LocalStack and API Gateway once left out the headers of the SDK for JavaScript v3.
        let answer = preflight_answer();
        let allowed = answer.headers()[ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap().to_ascii_lowercase();
        let names = [
            "authorization",
            "amz-sdk-invocation-id",
            "amz-sdk-request",
            "cache-control",
            "content-type",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-target",
            "x-amz-user-agent",
        ];
        for name in names {
            assert!(allowed.split(", ").any(|one| one == name), "{name}");
        }
        assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let mut headers = HeaderMap::new();
        complete(&mut headers);
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(headers[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap().contains("x-amzn-ErrorType"));
    }
}
