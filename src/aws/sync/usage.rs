//! DescribeIdentityUsage: the sums of an identity's datasets.

use serde::Serialize;

use super::asks;
use super::subject::principal;
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::json;
use crate::aws::rest::SyncCall;
use crate::aws::services::AwsServices;
use crate::aws::timestamp::EpochSeconds;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IdentityUsage {
    identity_id: String,
    identity_pool_id: String,
    /// `None`: it has no dataset.
    last_modified_date: Option<EpochSeconds>,
    dataset_count: usize,
    data_storage: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IdentityUsageOutput {
    identity_usage: IdentityUsage,
}

pub(super) async fn of_identity(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::DescribeIdentityUsage(sync_call)).await?;
    let states = services.sync.dataset_states(&who).await.map_err(|why| call.unavailable(why))?;
    let identity_usage = IdentityUsage {
        identity_id: sync_call.identity_id.clone(),
        identity_pool_id: sync_call.identity_pool_id.clone(),
        last_modified_date: states.iter().map(|(_, state)| state.modified_ms).max().map(EpochSeconds::from_ms),
        dataset_count: states.len(),
        data_storage: states.iter().map(|(_, state)| state.bytes).sum(),
    };
    json::answer(call.wire, &IdentityUsageOutput { identity_usage }, call.id)
}
