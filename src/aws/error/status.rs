//! The status of each code, by wire.

use http::StatusCode;

use crate::aws::service::AwsWire;

/// The status of a code. A code that is not named here is the sender's fault: 400.
pub(super) fn of(wire: AwsWire, code: &str) -> StatusCode {
    match wire {
        AwsWire::Json => of_json(code),
        AwsWire::RestJson => of_rest(code),
        AwsWire::Query => of_query(code),
        AwsWire::S3 => of_s3(code),
    }
}

/// cognito-identity and cognito-idp: the models give no status, and clients read the code.
fn of_json(code: &str) -> StatusCode {
    match code {
        "InternalErrorException" | "InternalServerException" => StatusCode::INTERNAL_SERVER_ERROR,
        "ServiceUnavailableException" => StatusCode::SERVICE_UNAVAILABLE,
        "RequestEntityTooLargeException" => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// cognito-sync, as its model says; and what all services with paths answer to a signature that is not good.
fn of_rest(code: &str) -> StatusCode {
    match code {
        "AccessDeniedException"
        | "ExpiredTokenException"
        | "IncompleteSignatureException"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "NotAuthorizedException"
        | "UnrecognizedClientException" => StatusCode::FORBIDDEN,
        "ResourceNotFoundException" | "UnknownOperationException" => StatusCode::NOT_FOUND,
        "ResourceConflictException" => StatusCode::CONFLICT,
        "RequestEntityTooLargeException" => StatusCode::PAYLOAD_TOO_LARGE,
        "TooManyRequestsException" | "LambdaThrottledException" => StatusCode::TOO_MANY_REQUESTS,
        "InternalErrorException" => StatusCode::INTERNAL_SERVER_ERROR,
        "ServiceUnavailableException" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// sts, iam and sns, as their models say.
fn of_query(code: &str) -> StatusCode {
    match code {
        "AccessDenied"
        | "AuthorizationError"
        | "ExpiredToken"
        | "FilterPolicyLimitExceeded"
        | "IDPRejectedClaim"
        | "InvalidAuthenticationCode"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "KMSOptInRequired"
        | "MissingAuthenticationToken"
        | "OutboundWebIdentityFederationDisabledException"
        | "RegionDisabledException"
        | "ReplayLimitExceeded"
        | "SessionDurationEscalationException"
        | "SignatureDoesNotMatch"
        | "SubscriptionLimitExceeded"
        | "TopicLimitExceeded" => StatusCode::FORBIDDEN,
        "FeatureDisabled" | "NoSuchEntity" | "NotFound" | "NotSupportedService" | "ReportInProgress" | "ResourceNotFound" => {
            StatusCode::NOT_FOUND
        }
        "ConcurrentModification"
        | "DeleteConflict"
        | "DuplicateCertificate"
        | "EntityAlreadyExists"
        | "EntityTemporarilyUnmodifiable"
        | "FeatureEnabled"
        | "LimitExceeded"
        | "NameConflict"
        | "ReportGenerationLimitExceeded"
        | "RoleModified" => StatusCode::CONFLICT,
        "ReportExpired" | "ReportNotPresent" => StatusCode::GONE,
        "RequestEntityTooLargeException" => StatusCode::PAYLOAD_TOO_LARGE,
        "Throttled" => StatusCode::TOO_MANY_REQUESTS,
        "InternalError" | "InternalFailure" | "PolicyEvaluation" | "ServiceFailure" => StatusCode::INTERNAL_SERVER_ERROR,
        "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Only what is refused before S3's own library sees it.
fn of_s3(code: &str) -> StatusCode {
    match code {
        "AccessDenied" | "InvalidAccessKeyId" | "RequestTimeTooSkewed" | "SignatureDoesNotMatch" => StatusCode::FORBIDDEN,
        "InternalError" => StatusCode::INTERNAL_SERVER_ERROR,
        "NotImplemented" => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::BAD_REQUEST,
    }
}
