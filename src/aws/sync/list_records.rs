//! ListRecords.

use driftless_protocol::{Content, DatasetName, Record};
use serde::Serialize;

use super::refusal::invalid;
use super::shapes::RecordShape;
use super::subject::{principal, shown};
use super::{asks, tokens};
use crate::aws::call::{AwsAnswer, AwsCall};
use crate::aws::error::AwsError;
use crate::aws::json;
use crate::aws::rest::SyncCall;
use crate::aws::services::AwsServices;
use crate::store::{Cursor, DatasetState};
use tokens::RecordsPlace;

/// Records of an answer, unless the caller asks for fewer: as many as a dataset of Amazon Cognito has, so that a client that does not read on, as
/// that of iOS, has all of them.
const MOST_RECORDS: usize = 1024;

/// Bytes of records after which an answer ends: what [`MOST_RECORDS`] of a full dataset have, and a record more.
const MOST_BYTES: usize = 2 * 1024 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListRecordsOutput {
    records: Vec<RecordShape>,
    count: usize,
    next_token: Option<String>,
    dataset_sync_count: u64,
    last_modified_by: Option<String>,
    merged_dataset_names: Option<Vec<String>>,
    dataset_exists: bool,
    dataset_deleted_after_requested_sync_count: bool,
    sync_session_token: String,
}

pub(super) async fn answer(services: &AwsServices, call: &AwsCall, sync_call: &SyncCall) -> AwsAnswer {
    let who = principal(services, call, sync_call, &asks::ListRecords(sync_call)).await?;
    let dataset = dataset_name(sync_call)?;
    let most = limit(sync_call, MOST_RECORDS)?;
    if let Some(token) = sync_call.parameter("syncSessionToken")? {
        tokens::check_session(services, sync_call, token).await?;
    }
    let last_sync_count = number(sync_call, "lastSyncCount")?.unwrap_or(0);
    let mut place = match sync_call.parameter("nextToken")? {
        Some(token) => tokens::records_place(services, sync_call, token).await?,
        None => {
            let state = services.sync.dataset_state(&who, &dataset).await.map_err(|why| call.unavailable(why))?;
            first_place(&state, last_sync_count)
        }
    };
    let (mut records, mut bytes) = (Vec::new(), 0);
    let (state, more) = loop {
        let cursor = Cursor::at(place.version).at_place(place.place);
        let read = services.sync.page(&who, &dataset, cursor, most - records.len()).await.map_err(|why| call.unavailable(why))?;
        (place.version, place.place) = (read.page.cursor.version, read.page.cursor.place());
        bytes += read.page.records.iter().map(Record::memory_bytes).sum::<usize>();
        let is_told = |record: &Record| record.content != Content::Removed || record.version > place.deleted;
        records.extend(read.page.records.into_iter().filter(is_told));
        if !read.page.more || records.len() >= most || bytes >= MOST_BYTES {
            break (read.state, read.page.more);
        }
    };
    let exists = state.exists();
    let output = ListRecordsOutput {
        count: records.len(),
        records: records.into_iter().map(RecordShape::of).collect::<Result<_, _>>()?,
        next_token: more.then(|| tokens::next_records(services, sync_call, place)).transpose()?,
        // What the caller has with this answer: a later write is read from here on.
        dataset_sync_count: if more { state.version } else { place.version },
        last_modified_by: state.by.as_ref().filter(|_| exists).map(shown),
        merged_dataset_names: None,
        dataset_exists: exists,
        dataset_deleted_after_requested_sync_count: place.was_deleted,
        sync_session_token: tokens::new_session(services, sync_call, state.version)?,
    };
    json::answer(call.wire, &output, call.id)
}

/// Where a list begins for a caller that has everything up to a count: from nothing if the dataset was deleted since, or never had that count.
fn first_place(state: &DatasetState, last_sync_count: u64) -> RecordsPlace {
    let was_deleted = 0 < last_sync_count && last_sync_count < state.deleted;
    let is_from_nothing = was_deleted || last_sync_count > state.version || last_sync_count == 0;
    let version = if is_from_nothing { 0 } else { last_sync_count };
    RecordsPlace { version, place: None, deleted: if is_from_nothing { state.deleted } else { 0 }, was_deleted }
}

/// The dataset of a path.
pub(super) fn dataset_name(call: &SyncCall) -> Result<DatasetName, AwsError> {
    let is_valid = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
    let name = DatasetName::new(&call.dataset_name).ok().filter(|name| is_valid(name.as_str()));
    name.ok_or_else(|| {
        invalid("Value at 'datasetName' failed to satisfy constraint: it must match [a-zA-Z0-9_.:-]+ and have 1 to 128 characters")
    })
}

/// `maxResults`, if there is one, up to `most`.
pub(super) fn limit(call: &SyncCall, most: usize) -> Result<usize, AwsError> {
    let asked = number(call, "maxResults")?.map_or(most, |asked| usize::try_from(asked).unwrap_or(usize::MAX));
    if asked == 0 {
        Err(invalid("Value at 'maxResults' failed to satisfy constraint: it must be greater than 0"))
    } else {
        Ok(asked.min(most))
    }
}

/// A whole number of the query. The clients of iOS send -1 for a count that they do not have: it counts as 0.
fn number(call: &SyncCall, name: &str) -> Result<Option<u64>, AwsError> {
    let Some(text) = call.parameter(name)? else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| invalid(format!("Value at '{name}' must be a whole number")))?;
    Ok(Some(u64::try_from(number).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_from_before_a_deletion_begins_anew_and_is_told() {
        let state = DatasetState { version: 9, deleted: 5, ..DatasetState::default() };
        let of = |count| {
            let place = first_place(&state, count);
            (place.version, place.deleted, place.was_deleted)
        };
        assert_eq!(
            [0, 1, 4, 5, 6, 9, 10].map(of),
            [(0, 5, false), (0, 5, true), (0, 5, true), (5, 0, false), (6, 0, false), (9, 0, false), (0, 5, false),]
        );
    }
}
