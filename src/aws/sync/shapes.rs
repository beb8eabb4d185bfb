//! Records and datasets as the service's model has them.

use driftless_protocol::{Content, Record, Value};
use serde::Serialize;

use super::subject::shown;
use crate::aws::error::AwsError;
use crate::aws::rest::SyncCall;
use crate::aws::service::AwsWire;
use crate::aws::timestamp::EpochSeconds;
use crate::store::DatasetState;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordShape {
    pub key: String,
    /// `None`: the record was removed.
    pub value: Option<String>,
    pub sync_count: u64,
    pub last_modified_date: EpochSeconds,
    pub last_modified_by: String,
    pub device_last_modified_date: EpochSeconds,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DatasetShape {
    pub identity_id: String,
    pub dataset_name: String,
    pub creation_date: EpochSeconds,
    pub last_modified_date: EpochSeconds,
    pub last_modified_by: Option<String>,
    pub data_storage: u64,
    pub num_records: u64,
}

impl RecordShape {
    pub(super) fn of(record: Record) -> Result<RecordShape, AwsError> {
        let value = match &record.content {
            Content::Value(value) => Some(text(value)?),
            Content::Removed => None,
        };
        let modified = EpochSeconds::from_ms(record.modified_ms);
        Ok(RecordShape {
            key: record.key.as_str().to_owned(),
            value,
            sync_count: record.version,
            last_modified_date: modified,
            last_modified_by: shown(&record.device),
            device_last_modified_date: modified,
        })
    }
}

impl DatasetShape {
    pub(super) fn of(call: &SyncCall, name: &str, state: &DatasetState) -> DatasetShape {
        DatasetShape {
            identity_id: call.identity_id.clone(),
            dataset_name: name.to_owned(),
            creation_date: EpochSeconds::from_ms(state.made_ms),
            last_modified_date: EpochSeconds::from_ms(state.modified_ms),
            last_modified_by: state.by.as_ref().map(shown),
            data_storage: state.bytes,
            num_records: state.records,
        }
    }
}

/// A value as the service knows values: a text. Another value is its JSON.
fn text(value: &Value) -> Result<String, AwsError> {
    match value.text() {
        Some(text) => Ok(text.to_owned()),
        None => serde_json::to_string(value).map_err(|_| AwsError::internal(AwsWire::RestJson)),
    }
}
