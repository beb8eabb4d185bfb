//! The service's code for each reason why something is not done.

use crate::aws::error::AwsError;
use crate::aws::service::AwsWire;
use crate::users::UserFault;

/// The error of a fault.
pub(in crate::aws) fn fault(wire: AwsWire, why: UserFault) -> AwsError {
    let code = match &why {
        UserFault::Parameter(_) => "InvalidParameterException",
        UserFault::NotAuthorized(_) => "NotAuthorizedException",
        UserFault::NoResource(_) => "ResourceNotFoundException",
        UserFault::NoUser => "UserNotFoundException",
        UserFault::NotConfirmed => "UserNotConfirmedException",
        UserFault::ResetRequired => "PasswordResetRequiredException",
        UserFault::UsernameTaken(_) => "UsernameExistsException",
        UserFault::AliasTaken(_) => "AliasExistsException",
        UserFault::Password(_) => "InvalidPasswordException",
        UserFault::CodeWrong => "CodeMismatchException",
        UserFault::CodeExpired => "ExpiredCodeException",
        UserFault::AttemptLimit | UserFault::TooMany(_) => "LimitExceededException",
        UserFault::TooManyTries => "TooManyFailedAttemptsException",
        UserFault::Overloaded => "TooManyRequestsException",
        UserFault::NotDelivered => "CodeDeliveryFailureException",
        UserFault::UserState(_) => "UnsupportedUserStateException",
        UserFault::TokenReuse => "RefreshTokenReuseException",
        UserFault::TokenKind => "UnsupportedTokenTypeException",
        UserFault::Unsupported(_) => "UnsupportedOperationException",
        UserFault::Unavailable => return AwsError::unavailable(wire),
        UserFault::Internal => return AwsError::internal(wire),
    };
    AwsError::new(wire, code, why.to_string())
}
