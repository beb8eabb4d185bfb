//! What is refused, in the codes of the service's model.

use driftless_protocol::RefusalCode;

use crate::aws::error::AwsError;
use crate::aws::service::AwsWire;

pub(super) fn error(code: &'static str, message: impl Into<String>) -> AwsError {
    AwsError::new(AwsWire::RestJson, code, message)
}

pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    error("InvalidParameterException", message)
}

pub(super) fn not_found(message: impl Into<String>) -> AwsError {
    error("ResourceNotFoundException", message)
}

/// A patch that cannot be applied.
pub(super) fn of_patch(code: RefusalCode, message: String) -> AwsError {
    match code {
        RefusalCode::TooLarge
        | RefusalCode::TooManyChanges
        | RefusalCode::TooManyRecords
        | RefusalCode::TooManyDatasets
        | RefusalCode::DatasetFull => error("LimitExceededException", message),
        _ => invalid(message),
    }
}
