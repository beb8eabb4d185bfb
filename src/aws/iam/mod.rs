//! AWS Identity and Access Management. Source: "AWS Identity and Access Management API Reference".

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::query::QueryCall;
use super::services::AwsServices;

/// The operations that are answered. None is there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IamOperation {}

impl IamOperation {
    pub(super) fn of_action(_: &str) -> Option<IamOperation> {
        None
    }

    pub(super) async fn answer(self, _: &AwsServices, call: &AwsCall, form: &QueryCall) -> AwsAnswer {
        Err(AwsError::unknown_operation(call.wire, &form.action, form.service.form_version()))
    }
}
