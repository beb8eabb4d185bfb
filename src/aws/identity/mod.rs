//! Amazon Cognito Identity (identity pools). Source: "Amazon Cognito Federated Identities API Reference".

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::services::AwsServices;

/// Does a call. No operation is there yet.
pub(super) async fn answer(_: &AwsServices, call: &AwsCall, operation: &str, _: &[u8]) -> AwsAnswer {
    Err(AwsError::unknown_operation(call.wire, operation, None))
}
