//! Which service does a call.

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::query::QueryCall;
use super::rest::SyncCall;
use super::service::AwsService;
use super::services::AwsServices;
use super::{iam, identity, sts, sync, user_pools};

/// Whether a service with forms has an operation: an unknown one is refused before its signature is looked at.
pub(super) fn has_form(service: AwsService, action: &str) -> bool {
    match service {
        AwsService::Sts => sts::StsOperation::of_action(action).is_some(),
        AwsService::Iam => iam::IamOperation::of_action(action).is_some(),
        _ => false,
    }
}

/// Does an operation of a form.
pub(super) async fn answer_form(services: &AwsServices, call: &AwsCall, form: &QueryCall) -> AwsAnswer {
    let unknown = || AwsError::unknown_operation(call.wire, &form.action, form.service.form_version());
    match form.service {
        AwsService::Sts => sts::StsOperation::of_action(&form.action).ok_or_else(unknown)?.answer(services, call, form).await,
        AwsService::Iam => iam::IamOperation::of_action(&form.action).ok_or_else(unknown)?.answer(services, call, form).await,
        _ => Err(unknown()),
    }
}

/// Does an operation of a target.
pub(super) async fn answer_json(services: &AwsServices, call: &AwsCall, service: AwsService, operation: &str, body: &[u8]) -> AwsAnswer {
    match service {
        AwsService::CognitoIdentity => identity::answer(services, call, operation, body).await,
        AwsService::CognitoIdp => user_pools::answer(services, call, operation, body).await,
        _ => Err(AwsError::unknown_operation(call.wire, operation, None)),
    }
}

/// Does an operation of cognito-sync.
pub(super) async fn answer_sync(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall, body: &[u8]) -> AwsAnswer {
    sync::answer(services, call, sync_call, body).await
}
