//! A dataset's history: list versions, read one, compare two, restore one, list conflicts.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request;
use crate::http::error::{HttpError, ok_json};
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
    let history = state.admin.history(identity, dataset, below, limit.unwrap_or(DEFAULT_VERSIONS).min(MAX_VERSIONS)).await??;
    let versions: Vec<Value> = history.versions.into_iter().map(version_json).collect();
    Ok(ok_json(&json!({ "version": history.version, "oldest": history.oldest, "versions": versions })))
}

fn version_json(entry: VersionEntry) -> Value {
    let VersionEntry { version, at_ms, device, origin, touched, not_taken } = entry;
    let origin = match origin {
        VersionOrigin::Patch => json!({ "by": "write" }),
        VersionOrigin::Restored(to) => json!({ "by": "restore", "to": to }),
        VersionOrigin::Merged(from) => json!({ "by": "merge", "from": from }),
    };
    let touched: Vec<Value> = touched.into_iter().map(|(key, is_live)| json!({ "key": key, "live": is_live })).collect();
    json!({ "version": version, "at_ms": at_ms, "device": device, "origin": origin, "touched": touched, "not_taken": not_taken })
}

pub(super) async fn records_at(
    State(state): State<HttpState>,
    PathNames((identity, dataset, version)): PathNames<(String, String, String)>,
) -> Result<Response, HttpError> {
    let version = version.parse().map_err(|_| HttpError::BadAdminRequest("a version must be a whole number".to_owned()))?;
    let records = state.admin.records_at(request::identity(&identity)?, request::dataset(&dataset)?, version).await??;
    Ok(ok_json(&json!({ "dataset": dataset, "version": version, "records": records })))
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
    let differences = state.admin.compare(request::identity(&identity)?, request::dataset(&dataset)?, first, second).await??;
    let difference = |diff: RecordDiff| json!({ "key": diff.key, "before": diff.before, "after": diff.after });
    let differences: Vec<Value> = differences.into_iter().map(difference).collect();
    Ok(ok_json(&json!({ "dataset": dataset, "first": first, "second": second, "differences": differences })))
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
