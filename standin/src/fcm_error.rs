//! Google's error responses ("FCM ErrorCode" of the v1 reference, in the form of google.rpc.Status).

use serde_json::{Value, json};

use super::response::{self, HttpResponse};

/// An error code of FCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FcmErrorCode {
    /// 400: the request is invalid.
    InvalidArgument,
    /// 404: the app was removed from the device.
    Unregistered,
    /// 403: the token belongs to another project.
    SenderIdMismatch,
    /// 429: the quota of the project or of the device is exceeded.
    QuotaExceeded,
    /// 503: the service is overloaded.
    Unavailable,
    /// 500: the service failed.
    Internal,
    /// 401: the certificate or key for another provider was wrong.
    ThirdPartyAuthError,
}

impl FcmErrorCode {
    /// The code as it appears in a response.
    pub fn as_str(self) -> &'static str {
        match self {
            FcmErrorCode::InvalidArgument => "INVALID_ARGUMENT",
            FcmErrorCode::Unregistered => "UNREGISTERED",
            FcmErrorCode::SenderIdMismatch => "SENDER_ID_MISMATCH",
            FcmErrorCode::QuotaExceeded => "QUOTA_EXCEEDED",
            FcmErrorCode::Unavailable => "UNAVAILABLE",
            FcmErrorCode::Internal => "INTERNAL",
            FcmErrorCode::ThirdPartyAuthError => "THIRD_PARTY_AUTH_ERROR",
        }
    }

    /// The HTTP status and the google.rpc.Code of this error.
    fn status(self) -> (u16, &'static str) {
        match self {
            FcmErrorCode::InvalidArgument => (400, "INVALID_ARGUMENT"),
            FcmErrorCode::Unregistered => (404, "NOT_FOUND"),
            FcmErrorCode::SenderIdMismatch => (403, "PERMISSION_DENIED"),
            FcmErrorCode::QuotaExceeded => (429, "RESOURCE_EXHAUSTED"),
            FcmErrorCode::Unavailable => (503, "UNAVAILABLE"),
            FcmErrorCode::Internal => (500, "INTERNAL"),
            FcmErrorCode::ThirdPartyAuthError => (401, "UNAUTHENTICATED"),
        }
    }

    pub(crate) fn response(self, message: &str) -> HttpResponse {
        let (http, status) = self.status();
        let detail = json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": self.as_str() });
        error(http, status, message, vec![detail])
    }
}

/// 400 with the name of the invalid field (google.rpc.BadRequest).
pub(crate) fn invalid_field(field: &str, description: &str) -> HttpResponse {
    let fcm = json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT" });
    let violation = json!({ "field": field, "description": description });
    let field = json!({ "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation] });
    error(400, "INVALID_ARGUMENT", description, vec![field, fcm])
}

/// 400 with Apple's reason, because Apple refused the message (google.firebase.fcm.v1.ApnsError).
pub(crate) fn apple_refusal(reason: &str) -> HttpResponse {
    let fcm = json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT" });
    let apple = json!({ "@type": "type.googleapis.com/google.firebase.fcm.v1.ApnsError", "statusCode": 400, "reason": reason });
    error(400, "INVALID_ARGUMENT", "the message was refused by APNs", vec![fcm, apple])
}

/// 401: the access token is missing, expired or unknown.
pub(crate) fn unauthenticated(message: &str) -> HttpResponse {
    error(401, "UNAUTHENTICATED", message, Vec::new())
}

/// An error in Google's form.
pub(crate) fn error(http: u16, status: &str, message: &str, details: Vec<Value>) -> HttpResponse {
    response::json(http, &json!({ "error": { "code": http, "message": message, "status": status, "details": details } }))
}
