//! Amazon Cognito Sync. Source: "Amazon Cognito Sync API Reference".

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::rest::SyncCall;
use super::services::AwsServices;

/// Does a call. No operation is there yet.
pub(super) async fn answer(_: &AwsServices, call: &AwsCall, sync_call: &SyncCall, _: &[u8]) -> AwsAnswer {
    Err(AwsError::unknown_operation(call.wire, &format!("{:?}", sync_call.operation), None))
}
