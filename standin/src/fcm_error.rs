//! Google's errors ("FCM ErrorCode" of the v1 reference; the form is google.rpc.Status).

use serde_json::{Value, json};

use super::answer::Reply;
use super::reply;

/// A code of Google's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FcmCode {
    /// 400: the request is not in order.
    InvalidArgument,
    /// 404: the app is gone from the device.
    Unregistered,
    /// 403: the token belongs to another project.
    SenderIdMismatch,
    /// 429: too much, for the project or for the device.
    QuotaExceeded,
    /// 503: overloaded.
    Unavailable,
    /// 500: something broke at Google's.
    Internal,
    /// 401: the certificate or the key for another provider was wrong.
    ThirdPartyAuthError,
}

impl FcmCode {
    /// As it travels.
    pub fn as_str(self) -> &'static str {
        match self {
            FcmCode::InvalidArgument => "INVALID_ARGUMENT",
            FcmCode::Unregistered => "UNREGISTERED",
            FcmCode::SenderIdMismatch => "SENDER_ID_MISMATCH",
            FcmCode::QuotaExceeded => "QUOTA_EXCEEDED",
            FcmCode::Unavailable => "UNAVAILABLE",
            FcmCode::Internal => "INTERNAL",
            FcmCode::ThirdPartyAuthError => "THIRD_PARTY_AUTH_ERROR",
        }
    }

    /// The HTTP status and the name of google.rpc.Code that go with it.
    fn status(self) -> (u16, &'static str) {
        match self {
            FcmCode::InvalidArgument => (400, "INVALID_ARGUMENT"),
            FcmCode::Unregistered => (404, "NOT_FOUND"),
            FcmCode::SenderIdMismatch => (403, "PERMISSION_DENIED"),
            FcmCode::QuotaExceeded => (429, "RESOURCE_EXHAUSTED"),
            FcmCode::Unavailable => (503, "UNAVAILABLE"),
            FcmCode::Internal => (500, "INTERNAL"),
            FcmCode::ThirdPartyAuthError => (401, "UNAUTHENTICATED"),
        }
    }

    pub(super) fn reply(self, message: &str) -> Reply {
        let (http, status) = self.status();
        let detail = json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": self.as_str() });
        error(http, status, message, vec![detail])
    }
}

/// 400, naming the field that is wrong (google.rpc.BadRequest).
pub(super) fn bad_field(field: &str, description: &str) -> Reply {
    let fcm = json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT" });
    let violation = json!({ "field": field, "description": description });
    let field = json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation] });
    error(400, "INVALID_ARGUMENT", description, vec![field, fcm])
}

/// 401: no access token that holds.
pub(super) fn unauthenticated(message: &str) -> Reply {
    error(401, "UNAUTHENTICATED", message, Vec::new())
}

/// An error in Google's form.
pub(super) fn error(http: u16, status: &str, message: &str, details: Vec<Value>) -> Reply {
    reply::json(http, &json!({ "error": { "code": http, "message": message, "status": status, "details": details } }))
}
