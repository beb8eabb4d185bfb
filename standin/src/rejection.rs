//! Why the gateway rejects a request.

use super::response::HttpResponse;

/// A request that is invalid, or that addresses a device that has unregistered.
#[derive(Debug)]
pub(crate) struct Rejection {
    pub(crate) response: Box<HttpResponse>,
    /// The name under which the rejection is counted.
    pub(crate) reason: &'static str,
    /// What the sender did wrong. `None` if the sender could not have known, for example that a device has unregistered.
    pub(crate) violation: Option<String>,
}

impl Rejection {
    /// A rejection that the sender caused.
    pub(crate) fn sender_error(response: HttpResponse, reason: &'static str, detail: impl Into<String>) -> Rejection {
        Rejection { response: response.into(), reason, violation: Some(detail.into()) }
    }

    /// A rejection that the sender could not have avoided.
    pub(crate) fn without_violation(response: HttpResponse, reason: &'static str) -> Rejection {
        Rejection { response: response.into(), reason, violation: None }
    }
}
