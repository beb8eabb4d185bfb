//! ListDatasets, DescribeDataset, DeleteDataset.

use serde::Serialize;

use super::list_records::{dataset_name, limit};
use super::refusal::not_found;
use super::shapes::DatasetShape;
use super::subject::principal;
use super::{asks, tokens};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::json;
use crate::aws::rest::SyncCall;
use crate::aws::services::AwsServices;

/// Datasets of an answer: more than an identity of Amazon Cognito has.
const MOST_DATASETS: usize = 64;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DatasetOutput {
    dataset: DatasetShape,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListOutput {
    datasets: Vec<DatasetShape>,
    count: usize,
    next_token: Option<String>,
}

pub(super) async fn list(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::ListDatasets(sync_call)).await?;
    let most = limit(sync_call, MOST_DATASETS)?;
    let after = match sync_call.parameter("nextToken")? {
        Some(token) => tokens::name_place(services, sync_call, token).await?,
        None => String::new(),
    };
    let states = services.sync.dataset_states(&who).await.map_err(|why| call.unavailable(why))?;
    let mut rest = states.iter().filter(|(name, _)| name.as_str() > after.as_str());
    let datasets: Vec<_> = rest.by_ref().take(most).map(|(name, state)| DatasetShape::of(sync_call, name.as_str(), state)).collect();
    let last = datasets.last().filter(|_| rest.next().is_some());
    let next_token = last.map(|last| tokens::next_name(services, sync_call, &last.dataset_name)).transpose()?;
    json::answer(call.wire, &ListOutput { count: datasets.len(), datasets, next_token }, call.id)
}

pub(super) async fn describe(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::DescribeDataset(sync_call)).await?;
    let dataset = dataset_name(sync_call)?;
    let state = services.sync.dataset_state(&who, &dataset).await.map_err(|why| call.unavailable(why))?;
    if !state.exists() {
        return Err(no_dataset(sync_call));
    }
    json::answer(call.wire, &DatasetOutput { dataset: DatasetShape::of(sync_call, dataset.as_str(), &state) }, call.id)
}

pub(super) async fn delete(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::DeleteDataset(sync_call)).await?;
    let dataset = dataset_name(sync_call)?;
    let deleted = services.sync.delete(&who, &dataset).await.map_err(|why| call.unavailable(why))?;
    let state = deleted.ok_or_else(|| no_dataset(sync_call))?;
    json::answer(call.wire, &DatasetOutput { dataset: DatasetShape::of(sync_call, dataset.as_str(), &state) }, call.id)
}

fn no_dataset(call: &SyncCall) -> crate::aws::error::AwsError {
    not_found(format!("Dataset '{}' doesn't exist for identity '{}'.", call.dataset_name, call.identity_id))
}
