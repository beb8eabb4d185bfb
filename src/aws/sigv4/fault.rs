//! Why a signature was not accepted.

use crate::aws::parameters::ParameterFault;

/// How far the sender's clock may be from this server's, in seconds, either way ("AWS Signature Version 4 for API requests").
pub const MAX_SKEW_S: i64 = 15 * 60;

/// A request that is not signed as it must be. What the sender is told of it, by wire, stands in `aws/error.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    /// The request has no signature, and the operation wants one.
    Missing,
    /// It is signed with Signature Version 2, which AWS has given up.
    Version2,
    /// There is more than one signature: which one counts would be a guess.
    Several,
    /// A part is missing or malformed; which, in words for the sender.
    Incomplete(&'static str),
    /// The query cannot be read.
    Query(ParameterFault),
    /// A header that must be signed is not.
    UnsignedHeader(String),
    /// A header that the signature names is not in the request.
    AbsentHeader(String),
    /// The scope names another service than the request is for.
    WrongService {
        /// The name of the service that the request is for, if it is known.
        expected: Option<&'static str>,
    },
    /// The day of the scope is not the day of the request.
    WrongDay,
    /// The time of the request is further in the past than is allowed; the times are in seconds since 1970.
    Expired { signed_at_s: i64, now_s: i64 },
    /// The time of the request is further in the future than is allowed.
    NotYetCurrent { signed_at_s: i64, now_s: i64 },
    /// A presigned request came after its own end.
    PresignedExpired { signed_at_s: i64, expires_s: i64, now_s: i64 },
    /// The body is not the one that was signed.
    OtherPayload,
    /// The signature is another one than that of this request with this key.
    Mismatch {
        /// What should have been signed, without the session token: for the sender, who looks for the difference.
        explanation: Box<str>,
    },
}
