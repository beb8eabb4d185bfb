//! A dataset's history: list versions, read one, compare two, restore one, list conflicts.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use driftless_protocol::{DeviceId, Key, Record};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request;
use crate::http::error::{HttpError, ok_json};
use crate::http::json_list::json_list;
use crate::http::request::{PathNames, UrlQuery};
use crate::http::state::HttpState;
use crate::store::{Conflict, RecordDiff, VersionEntry, VersionOrigin};

/// The maximum number of versions in one response: as many as the default retention keeps.
const MAX_VERSIONS: u64 = 1000;

/// The number of versions in one response if the request names none.
const DEFAULT_VERSIONS: u64 = 50;

#[derive(Deserialize)]
pub(super) struct HistoryQuery {
    below: Option<u64>,
    limit: Option<u64>,
}

pub(super) async fn versions(
    State(state): State<HttpState>,
    PathNames((identity, dataset)): PathNames<(String, String)>,
    UrlQuery(query): UrlQuery<HistoryQuery>,
) -> Result<Response, HttpError> {
    let (identity, dataset) = (request::identity(&identity)?, request::dataset(&dataset)?);
    let HistoryQuery { below, limit } = query;
    let limit = limit.unwrap_or(DEFAULT_VERSIONS).min(MAX_VERSIONS);
    let (history, memory) = state.admin.history(identity, dataset, below, limit).await??;
    let head = json!({ "version": history.version, "oldest": history.oldest });
    Ok(json_list(&head, "versions", history.versions.into_iter().map(ListedVersion::of), memory))
}

/// Values stay packed until they are written as text: as trees they would take many times as much memory.
#[derive(Serialize)]
struct ListedVersion {
    version: u64,
    at_ms: u64,
    device: DeviceId,
    origin: Value,
    touched: Vec<ListedKey>,
    not_taken: Vec<Record>,
}

#[derive(Serialize)]
struct ListedKey {
    key: Key,
    live: bool,
}

impl ListedVersion {
    fn of(entry: VersionEntry) -> ListedVersion {
        let VersionEntry { version, at_ms, device, origin, touched, not_taken } = entry;
        let origin = match origin {
            VersionOrigin::Patch => json!({ "by": "write" }),
            VersionOrigin::Restored(to) => json!({ "by": "restore", "to": to }),
            VersionOrigin::Merged(from) => json!({ "by": "merge", "from": from }),
        };
        let touched = touched.into_iter().map(|(key, live)| ListedKey { key, live }).collect();
        ListedVersion { version, at_ms, device, origin, touched, not_taken }
    }
}

pub(super) async fn records_at(
    State(state): State<HttpState>,
    PathNames((identity, dataset, version)): PathNames<(String, String, String)>,
) -> Result<Response, HttpError> {
    let version = version.parse().map_err(|_| HttpError::BadAdminRequest("a version must be a whole number".to_owned()))?;
    let (records, memory) = state.admin.records_at(request::identity(&identity)?, request::dataset(&dataset)?, version).await??;
    Ok(json_list(&json!({ "dataset": dataset, "version": version }), "records", records.into_iter(), memory))
}

#[derive(Deserialize)]
pub(super) struct CompareQuery {
    first: u64,
    second: u64,
}

pub(super) async fn compare(
    State(state): State<HttpState>,
    PathNames((identity, dataset)): PathNames<(String, String)>,
    UrlQuery(query): UrlQuery<CompareQuery>,
) -> Result<Response, HttpError> {
    let CompareQuery { first, second } = query;
    let compared = state.admin.compare(request::identity(&identity)?, request::dataset(&dataset)?, first, second);
    let (differences, memory) = compared.await??;
    let difference = |RecordDiff { key, before, after }| ListedDifference { key, before, after };
    let head = json!({ "dataset": dataset, "first": first, "second": second });
    Ok(json_list(&head, "differences", differences.into_iter().map(difference), memory))
}

#[derive(Serialize)]
struct ListedDifference {
    key: Key,
    before: Option<Record>,
    after: Option<Record>,
}

#[derive(Deserialize)]
struct RestoreBody {
    version: u64,
}

pub(super) async fn restore(
    State(state): State<HttpState>,
    PathNames((identity, dataset)): PathNames<(String, String)>,
    body: Body,
) -> Result<Response, HttpError> {
    let (identity, name) = (request::identity(&identity)?, request::dataset(&dataset)?);
    let target = request::json_body::<RestoreBody>(body).await?.version;
    let (version, records) = state.admin.restore_version(identity, name, target).await??.unzip();
    Ok(ok_json(&json!({ "dataset": dataset, "restored": target, "version": version, "records": records.unwrap_or(0) })))
}

pub(super) async fn conflicts(
    State(state): State<HttpState>,
    PathNames((identity, dataset)): PathNames<(String, String)>,
) -> Result<Response, HttpError> {
    let conflicts = state.admin.conflicts(request::identity(&identity)?, request::dataset(&dataset)?).await??;
    let conflicts: Vec<Value> = conflicts.into_iter().map(conflict_json).collect();
    Ok(ok_json(&json!({ "dataset": dataset, "conflicts": conflicts })))
}

fn conflict_json(conflict: Conflict) -> Value {
    let Conflict { number, at_ms, device, applied, records } = conflict;
    let record = |(key, version, device)| json!({ "key": key, "version": version, "device": device });
    let records: Vec<Value> = records.into_iter().map(record).collect();
    json!({ "number": number, "at_ms": at_ms, "device": device, "applied": applied, "records": records })
}
