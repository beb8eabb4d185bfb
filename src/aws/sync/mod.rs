//! Amazon Cognito Sync: reads a call, asks one function of `sync`, and formats what came of it. Nothing here writes a dataset by another way than a
//! socket's messages do. Source: "Amazon Cognito Sync API Reference".

mod asks;
mod datasets;
mod devices;
mod list_records;
mod refusal;
mod shapes;
mod subject;
mod tokens;
mod update_records;
mod usage;

use super::call::{AwsAnswer, AwsCall};
use super::error::AwsError;
use super::rest::{SyncCall, SyncOperation};
use super::services::AwsServices;

/// Does a call.
pub(super) async fn answer(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall, body: &[u8]) -> AwsAnswer {
    match sync_call.operation {
        SyncOperation::ListRecords => list_records::answer(services, call, sync_call).await,
        SyncOperation::UpdateRecords => update_records::answer(services, call, sync_call, body).await,
        SyncOperation::ListDatasets => datasets::list(services, call, sync_call).await,
        SyncOperation::DescribeDataset => datasets::describe(services, call, sync_call).await,
        SyncOperation::DeleteDataset => datasets::delete(services, call, sync_call).await,
        SyncOperation::DescribeIdentityUsage => usage::of_identity(services, call, sync_call).await,
        SyncOperation::RegisterDevice => devices::register(services, call, sync_call, body).await,
        SyncOperation::SubscribeToDataset => devices::subscribe(services, call, sync_call).await,
        SyncOperation::UnsubscribeFromDataset => devices::unsubscribe(services, call, sync_call).await,
        SyncOperation::BulkPublish
        | SyncOperation::DescribeIdentityPoolUsage
        | SyncOperation::GetBulkPublishDetails
        | SyncOperation::GetCognitoEvents
        | SyncOperation::GetIdentityPoolConfiguration
        | SyncOperation::ListIdentityPoolUsage
        | SyncOperation::SetCognitoEvents
        | SyncOperation::SetIdentityPoolConfiguration => {
            Err(AwsError::unknown_operation(call.wire, &format!("{:?}", sync_call.operation), None))
        }
    }
}
