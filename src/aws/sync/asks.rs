//! What each operation asks of the policies. Source: "Actions, resources, and condition keys for Amazon Cognito Sync" in the Service Authorization
//! Reference.

use crate::access::{AccessOperation, ArnScope, OperationAsk, OperationPolicy};
use crate::aws::rest::SyncCall;

/// The input of an operation, as far as policies are asked about it: its path.
macro_rules! asks {
    ($($operation:ident, $action:literal, $resource:ident;)*) => {
        $(
            pub(super) struct $operation<'a>(pub &'a SyncCall);

            impl AccessOperation for $operation<'_> {
                const POLICY: OperationPolicy<Self> = OperationPolicy::Asked(OperationAsk {
                    action: $action,
                    resource: |input, scope| $resource(input.0, scope),
                    keys: |_, _| {},
                });
            }
        )*
    };
}

asks! {
    ListRecords, "cognito-sync:ListRecords", dataset_arn;
    UpdateRecords, "cognito-sync:UpdateRecords", dataset_arn;
    DescribeDataset, "cognito-sync:DescribeDataset", dataset_arn;
    DeleteDataset, "cognito-sync:DeleteDataset", dataset_arn;
    ListDatasets, "cognito-sync:ListDatasets", identity_arn;
    RegisterDevice, "cognito-sync:RegisterDevice", identity_arn;
    SubscribeToDataset, "cognito-sync:SubscribeToDataset", dataset_arn;
    UnsubscribeFromDataset, "cognito-sync:UnsubscribeFromDataset", dataset_arn;
    DescribeIdentityUsage, "cognito-sync:DescribeIdentityUsage", identity_arn;
}

fn pool_arn(call: &SyncCall, scope: &ArnScope) -> String {
    format!("arn:aws:cognito-sync:{}:{}:identitypool/{}", scope.region, scope.account, call.identity_pool_id)
}

fn identity_arn(call: &SyncCall, scope: &ArnScope) -> String {
    format!("{}/identity/{}", pool_arn(call, scope), call.identity_id)
}

fn dataset_arn(call: &SyncCall, scope: &ArnScope) -> String {
    format!("{}/dataset/{}", identity_arn(call, scope), call.dataset_name)
}
