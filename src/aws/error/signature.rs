//! What is said of a signature, an access key or a session token that is not good.

use super::AwsError;
use crate::aws::service::AwsWire;
use crate::aws::sigv4::{MAX_SKEW_S, SignatureFault};
use crate::aws::timestamp;

/// What a signature names that is not known or not good any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialFault {
    /// No such access key; or it is inactive, which a sender without its secret does not learn.
    UnknownAccessKey,
    /// The session token is not one of this server's, or belongs to another access key.
    InvalidToken,
    /// The session has ended.
    ExpiredToken,
}

impl AwsError {
    /// A signature that was not accepted.
    pub fn of_signature(wire: AwsWire, fault: &SignatureFault) -> AwsError {
        match fault {
            SignatureFault::Missing => missing(wire),
            SignatureFault::Version2 => {
                let advice = "Signature Version 2 is not supported; sign with AWS4-HMAC-SHA256 (boto3: Config(signature_version='s3v4' or 'v4'); \
                              aws-sdk for JavaScript v2: signatureVersion: 'v4').";
                match wire {
                    AwsWire::S3 => AwsError::new(wire, "InvalidRequest", advice),
                    AwsWire::Query | AwsWire::Json | AwsWire::RestJson => incomplete(wire, advice),
                }
            }
            SignatureFault::Several => match wire {
                AwsWire::S3 => AwsError::new(
                    wire,
                    "InvalidArgument",
                    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the \
                     Authorization header should be specified",
                ),
                AwsWire::Query | AwsWire::Json | AwsWire::RestJson => incomplete(wire, "The request has more than one signature."),
            },
            SignatureFault::Incomplete(why) => incomplete(wire, *why),
            SignatureFault::Query(fault) => match wire {
                AwsWire::S3 => AwsError::new(wire, "InvalidURI", format!("The query string cannot be read: {}.", fault.text())),
                AwsWire::Query | AwsWire::Json | AwsWire::RestJson => {
                    incomplete(wire, format!("The query string cannot be read: {}.", fault.text()))
                }
            },
            SignatureFault::UnsignedHeader(name) => match wire {
                AwsWire::S3 => {
                    AwsError::new(wire, "AccessDenied", format!("There were headers present in the request which were not signed: {name}"))
                }
                AwsWire::Query | AwsWire::Json | AwsWire::RestJson => {
                    mismatch(wire, format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."))
                }
            },
            SignatureFault::AbsentHeader(name) => {
                mismatch(wire, format!("The request is signed with the header '{name}' but does not have it."))
            }
            SignatureFault::WrongService { expected: Some(expected) } => {
                mismatch(wire, format!("Credential should be scoped to correct service: '{expected}'."))
            }
            SignatureFault::WrongService { expected: None } => {
                mismatch(wire, "Credential should be scoped to the service that the request is for.")
            }
            SignatureFault::WrongDay => {
                mismatch(wire, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
            }
            SignatureFault::Expired { signed_at_s, now_s } => skewed(wire, *signed_at_s, *now_s, Skew::Past),
            SignatureFault::NotYetCurrent { signed_at_s, now_s } => skewed(wire, *signed_at_s, *now_s, Skew::Future),
            SignatureFault::PresignedExpired { signed_at_s, expires_s, now_s } => {
                let end = timestamp::basic(signed_at_s.saturating_add(*expires_s));
                match wire {
                    AwsWire::S3 => AwsError::new(wire, "AccessDenied", "Request has expired"),
                    AwsWire::Query | AwsWire::Json | AwsWire::RestJson => {
                        mismatch(wire, format!("Signature expired: {end} is now earlier than {}", timestamp::basic(*now_s)))
                    }
                }
            }
            SignatureFault::OtherPayload => match wire {
                AwsWire::S3 => AwsError::new(
                    wire,
                    "XAmzContentSHA256Mismatch",
                    "The provided 'x-amz-content-sha256' header does not match what was computed.",
                ),
                AwsWire::Query | AwsWire::Json | AwsWire::RestJson => {
                    mismatch(wire, "The provided 'x-amz-content-sha256' header does not match what was computed.")
                }
            },
            SignatureFault::Mismatch { explanation } => {
                let text = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key \
                            and signing method. Consult the service documentation for details.";
                match (wire, explanation.is_empty()) {
                    (AwsWire::S3, _) | (_, true) => mismatch(wire, text),
                    (_, false) => mismatch(wire, format!("{text}\n\n{explanation}")),
                }
            }
        }
    }

    /// A signature that names an access key or a session token that is not good.
    pub fn of_credential(wire: AwsWire, fault: CredentialFault) -> AwsError {
        let invalid = "The security token included in the request is invalid.";
        let expired = "The security token included in the request is expired";
        let (code, message) = match (wire, fault) {
            (AwsWire::Query, CredentialFault::UnknownAccessKey | CredentialFault::InvalidToken) => ("InvalidClientTokenId", invalid),
            (AwsWire::Query, CredentialFault::ExpiredToken) => ("ExpiredToken", expired),
            (AwsWire::Json | AwsWire::RestJson, CredentialFault::UnknownAccessKey | CredentialFault::InvalidToken) => {
                ("UnrecognizedClientException", invalid)
            }
            (AwsWire::Json | AwsWire::RestJson, CredentialFault::ExpiredToken) => ("ExpiredTokenException", expired),
            (AwsWire::S3, CredentialFault::UnknownAccessKey) => {
                ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
            }
            (AwsWire::S3, CredentialFault::InvalidToken) => ("InvalidToken", "The provided token is malformed or otherwise invalid."),
            (AwsWire::S3, CredentialFault::ExpiredToken) => ("ExpiredToken", "The provided token has expired."),
        };
        AwsError::new(wire, code, message)
    }
}

fn missing(wire: AwsWire) -> AwsError {
    match wire {
        AwsWire::Query => AwsError::new(wire, "MissingAuthenticationToken", "Request is missing Authentication Token"),
        AwsWire::Json | AwsWire::RestJson => AwsError::new(wire, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        AwsWire::S3 => AwsError::new(wire, "AccessDenied", "Access Denied"),
    }
}

fn incomplete(wire: AwsWire, message: impl Into<String>) -> AwsError {
    let code = match wire {
        AwsWire::Query => "IncompleteSignature",
        AwsWire::Json | AwsWire::RestJson => "IncompleteSignatureException",
        AwsWire::S3 => "AuthorizationHeaderMalformed",
    };
    AwsError::new(wire, code, message)
}

fn mismatch(wire: AwsWire, message: impl Into<String>) -> AwsError {
    let code = match wire {
        AwsWire::Query | AwsWire::S3 => "SignatureDoesNotMatch",
        AwsWire::Json | AwsWire::RestJson => "InvalidSignatureException",
    };
    AwsError::new(wire, code, message)
}

enum Skew {
    Past,
    Future,
}

/// The codes and the form of the text are what the SDKs know a wrong clock by; they then correct their own by the answer's `Date`.
fn skewed(wire: AwsWire, signed_at_s: i64, now_s: i64, skew: Skew) -> AwsError {
    if wire == AwsWire::S3 {
        return AwsError::new(wire, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.");
    }
    let (signed, now) = (timestamp::basic(signed_at_s), timestamp::basic(now_s));
    mismatch(
        wire,
        match skew {
            Skew::Past => {
                let bound = timestamp::basic(now_s.saturating_sub(MAX_SKEW_S));
                format!("Signature expired: {signed} is now earlier than {bound} ({now} - 15 min.)")
            }
            Skew::Future => {
                let bound = timestamp::basic(now_s.saturating_add(MAX_SKEW_S));
                format!("Signature not yet current: {signed} is still later than {bound} ({now} + 15 min.)")
            }
        },
    )
}
