//! UpdateRecords.

use driftless_protocol::{Change, Key, Op, Record, Value};
use serde::{Deserialize, Serialize};

use super::list_records::dataset_name;
use super::refusal::{error, invalid, not_found, of_patch};
use super::shapes::RecordShape;
use super::subject::{principal, with_device};
use super::{asks, tokens};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::aws::rest::SyncCall;
use crate::aws::service::AwsService;
use crate::aws::services::AwsServices;
use crate::aws::timestamp::EpochSeconds;
use crate::store::Decision;

/// The longest value, in characters (RecordValue of the service's model).
const MAX_VALUE_CHARS: usize = 1_048_575;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateRecordsInput {
    sync_session_token: Option<String>,
    device_id: Option<String>,
    #[serde(default)]
    record_patches: Option<Vec<RecordPatch>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecordPatch {
    op: String,
    key: String,
    value: Option<String>,
    sync_count: i64,
    #[serde(rename = "DeviceLastModifiedDate")]
    _device_last_modified_date: Option<EpochSeconds>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateRecordsOutput {
    records: Vec<RecordShape>,
}

pub(super) async fn answer(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall, body: &[u8]) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::UpdateRecords(sync_call)).await?;
    let input: UpdateRecordsInput = json::read_body(AwsService::CognitoSync, body)?;
    let dataset = dataset_name(sync_call)?;
    let token = input.sync_session_token.as_deref().ok_or_else(|| invalid("SyncSessionToken is missing"))?;
    let changes = input.record_patches.unwrap_or_default().into_iter().map(change).collect::<Result<Vec<_>, _>>()?;
    if changes.is_empty() {
        return Err(invalid("RecordPatches is empty"));
    }
    tokens::check_session(services, sync_call, token).await?;
    let who = with_device(services, call, who, input.device_id.as_deref()).await?;
    let bases: Vec<(Key, Option<u64>)> = changes.iter().map(|change| (change.key.clone(), change.base)).collect();
    let decision = services.sync.write_exact(&who, dataset, changes).await.map_err(|why| call.unavailable(why))?;
    match decision {
        Decision::Written { results, .. } | Decision::Repeated { results, .. } => {
            let records = results.into_iter().map(RecordShape::of).collect::<Result<_, _>>()?;
            json::answer(call.wire, &UpdateRecordsOutput { records }, call.id)
        }
        Decision::Conflict(records) => Err(conflict(&records, &bases)),
        Decision::Refused(code, message) => Err(of_patch(code, message)),
        Decision::NoIdentity => Err(not_found(format!("Identity '{}' not found.", sync_call.identity_id))),
        Decision::DeviceRevoked | Decision::DeviceForgotten => Err(error("NotAuthorizedException", "The device was revoked")),
    }
}

fn change(patch: RecordPatch) -> Result<Change, AwsError> {
    let RecordPatch { op, key, value, sync_count, .. } = patch;
    let key = Key::new(&key).map_err(|_| invalid("Value at 'key' failed to satisfy constraint: it must have 1 to 1024 characters"))?;
    let base = u64::try_from(sync_count).map_err(|_| invalid("Value at 'syncCount' must not be negative"))?;
    let change = match (op.as_str(), value) {
        ("replace", Some(value)) if value.chars().count() <= MAX_VALUE_CHARS => Change::new(key, Op::Put, Value::from(value.as_str())),
        ("replace", Some(_)) => return Err(invalid(format!("Value at 'value' has more than {MAX_VALUE_CHARS} characters"))),
        ("replace", None) => return Err(invalid("A patch with the operation replace has a value")),
        // Clients send an empty value with it.
        ("remove", _) => Change::new(key, Op::Remove, None),
        _ => return Err(invalid("Value at 'op' failed to satisfy constraint: it must be replace or remove")),
    };
    Ok(change.with_base(base))
}

/// The first record that conflicts, in the words that clients know.
fn conflict(records: &[Record], bases: &[(Key, Option<u64>)]) -> AwsError {
    let Some(record) = records.first() else { return error("ResourceConflictException", "A record was changed meanwhile") };
    let base = bases.iter().find(|(key, _)| *key == record.key).and_then(|(_, base)| *base).unwrap_or(0);
    error("ResourceConflictException", format!("Current SyncCount for: {} is: {} not: {base}", record.key.as_str(), record.version))
}
