//! Responses that a test scripts.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::fcm_error::FcmErrorCode;
use super::response::{self, HttpResponse};

/// One response of a script. A push that fails its check is rejected before any script is consulted.
#[derive(Clone, Debug)]
pub enum ScriptedResponse {
    /// Accepts the push.
    Accept,
    /// Sends this response. The push is not accepted.
    Respond(HttpResponse),
    /// Applies the inner response after a delay.
    Delayed(Duration, Box<ScriptedResponse>),
    /// Applies the inner response to this push and to every later one.
    Always(Box<ScriptedResponse>),
    /// Never responds. The push is not accepted.
    Hang,
    /// Accepts the push but never responds, as if the response were lost on the network.
    AcceptSilently,
    /// Resets the stream with `INTERNAL_ERROR`. Over HTTP/1.1 the gateway closes the connection.
    ResetStream,
    /// Resets the stream with `REFUSED_STREAM`: nothing was processed (RFC 9113 section 8.7). Over HTTP/1.1 the gateway closes the connection.
    RefuseStream,
    /// Closes the connection without a response.
    CloseConnection,
}

impl ScriptedResponse {
    /// Apple's error response ("Handling notification responses from APNs").
    pub fn apns(status: u16, reason: &str) -> ScriptedResponse {
        ScriptedResponse::Respond(response::json(status, &json!({ "reason": reason })))
    }

    /// Apple's 410: the token has been invalid for the app since this time, in Unix milliseconds.
    pub fn unregistered(timestamp_ms: u64) -> ScriptedResponse {
        ScriptedResponse::Respond(response::json(410, &json!({ "reason": "Unregistered", "timestamp": timestamp_ms })))
    }

    /// Google's error response, with the status that belongs to the code.
    pub fn fcm(code: FcmErrorCode) -> ScriptedResponse {
        ScriptedResponse::Respond(code.response("a script says so"))
    }

    /// A status without a body, as browsers' push services respond.
    pub fn status(status: u16) -> ScriptedResponse {
        ScriptedResponse::Respond(response::empty(status))
    }

    /// A status with a `Retry-After` header (RFC 9110 section 10.2.3).
    pub fn retry_after(status: u16, seconds: u32) -> ScriptedResponse {
        let mut response = response::empty(status);
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
        ScriptedResponse::Respond(response)
    }

    /// A status with a body that is neither JSON nor UTF-8.
    pub fn garbage(status: u16) -> ScriptedResponse {
        ScriptedResponse::Respond(response::with_body(status, "text/html", Bytes::from_static(b"<html>\xff\xfe\0{\"reason\":")))
    }

    /// This response after a delay.
    pub fn after(self, latency: Duration) -> ScriptedResponse {
        ScriptedResponse::Delayed(latency, Box::new(self))
    }

    /// This response to every push from now on.
    pub fn always(self) -> ScriptedResponse {
        ScriptedResponse::Always(Box::new(self))
    }
}
