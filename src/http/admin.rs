//! `/admin/api`: what an operator asks, in JSON. Nothing here is answered without the operator key.

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use driftless_protocol::DatasetName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::datasets::{bearer, read};
use super::error::{self, Error, granted};
use super::stream::{self, BrokenOff, Line, Source};
use super::{HttpState, devices};
use crate::admin::{self, Backup, Export, LinkOutcome, Merged};
use crate::store::{BackupRefused, Conflict, Identity, LoginInfo, RecordDiff, VersionEntry, VersionOrigin};

/// Versions of one answer at most: as many as are kept by default.
const HISTORY: u64 = 1000;

/// Versions of one answer, where the request does not say.
const HISTORY_DEFAULT: u64 = 50;

/// The most bytes of a pool's, an issuer's or a subject's name: as long as the longest that a token may name, far over all there are.
const NAME_BYTES: usize = 4096;

pub(super) fn routes(rooms: HttpState) -> Router<HttpState> {
    Router::new()
        .route("/identities", get(find))
        .route("/identities/{identity}", get(account).delete(erase))
        .route("/identities/{identity}/export", get(export))
        .route("/identities/{identity}/logins", post(link))
        .route("/identities/{identity}/merge", post(merge))
        .route("/identities/{identity}/datasets/{dataset}/history", get(history))
        .route("/identities/{identity}/datasets/{dataset}/at/{version}", get(at))
        .route("/identities/{identity}/datasets/{dataset}/compare", get(compare))
        .route("/identities/{identity}/datasets/{dataset}/restore", post(restore))
        .route("/identities/{identity}/datasets/{dataset}/conflicts", get(conflicts))
        .route("/backup", get(backup))
        .merge(devices::routes())
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(middleware::from_fn_with_state(rooms, only_operators))
}

async fn only_operators(State(rooms): State<HttpState>, request: Request, next: Next) -> Result<Response, Error> {
    let key = rooms.operator.as_ref().ok_or(Error::NoOperators)?;
    match bearer(request.headers()).is_some_and(|given| key.opens(given)) {
        true => Ok(next.run(request).await),
        false => Err(Error::NoOperator),
    }
}

type Asks<T> = Result<Query<T>, QueryRejection>;

#[derive(Deserialize)]
struct Find {
    pool: String,
    subject: String,
}

async fn find(State(rooms): State<HttpState>, find: Asks<Find>) -> Result<Response, Error> {
    let Find { pool, subject } = asked(find)?;
    bounded(&[&pool, &subject])?;
    let one = |login: LoginInfo| json!({ "pool": login.pool, "issuer": login.issuer, "subject": login.subject, "identity": login.identity.as_str() });
    let found: Vec<Value> = rooms.admin.logins(pool, subject).await?.into_iter().map(one).collect();
    Ok(granted(&json!({ "logins": found })))
}

async fn account(State(rooms): State<HttpState>, Path(identity): Path<String>) -> Result<Response, Error> {
    let identity = identified(&identity)?;
    let account = rooms.admin.account(identity.clone()).await??;
    Ok(granted(&json!({
        "identity": identity.as_str(), "pool": account.pool, "merged": account.merged, "datasets": account.datasets,
    })))
}

async fn erase(State(rooms): State<HttpState>, Path(identity): Path<String>) -> Result<Response, Error> {
    let identity = identified(&identity)?;
    let erased = rooms.admin.erase(identity.clone()).await??;
    Ok(granted(&json!({ "erased": identity.as_str(), "finished": erased.finished })))
}

async fn export(State(rooms): State<HttpState>, Path(identity): Path<String>, line: Line) -> Result<Response, Error> {
    let export = rooms.admin.export(identified(&identity)?).await??;
    Ok(stream::answer("application/json", line, export))
}

impl Source for Export {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        match Export::next(self).await {
            Ok(part) => Ok(part.map(Bytes::from)),
            Err(_) => Err("the identity went, or the store cannot be read"),
        }
    }
}

#[derive(Deserialize)]
struct LinkTo {
    issuer: String,
    subject: String,
}

async fn link(State(rooms): State<HttpState>, Path(identity): Path<String>, body: Body) -> Result<Response, Error> {
    let identity = identified(&identity)?;
    let LinkTo { issuer, subject } = said(body).await?;
    bounded(&[&issuer, &subject])?;
    match rooms.admin.link_login(identity.clone(), issuer, subject).await?? {
        LinkOutcome::Linked => Ok(granted(&json!({ "identity": identity.as_str() }))),
        LinkOutcome::LinkedElsewhere(other) => {
            Err(Error::Stands(format!("this login leads to {other} already; merge that one, or {identity}, into the other")))
        }
    }
}

#[derive(Deserialize)]
struct MergeInto {
    into: String,
}

async fn merge(State(rooms): State<HttpState>, Path(identity): Path<String>, body: Body) -> Result<Response, Error> {
    let from = identified(&identity)?;
    let into = identified(&said::<MergeInto>(body).await?.into)?;
    match rooms.admin.merge(from.clone(), into.clone()).await? {
        Merged::Done { datasets, finished } => {
            Ok(granted(&json!({ "merged": from.as_str(), "into": into.as_str(), "datasets": datasets, "finished": finished })))
        }
        Merged::NoIdentity(which) => {
            Err(Error::Unknown(format!("there is no identity {which}: there never was, it was erased, or it was merged into another one")))
        }
        Merged::Same => Err(Error::Stands("an identity cannot be merged into itself".to_owned())),
        Merged::OtherPool => Err(Error::Stands("the two identities belong to different pools, which never meet".to_owned())),
    }
}

#[derive(Deserialize)]
struct Stretch {
    below: Option<u64>,
    limit: Option<u64>,
}

async fn history(
    State(rooms): State<HttpState>,
    Path((identity, dataset)): Path<(String, String)>,
    stretch: Asks<Stretch>,
) -> Result<Response, Error> {
    let (identity, dataset) = (identified(&identity)?, named(&dataset)?);
    let Stretch { below, limit } = asked(stretch)?;
    let history = rooms.admin.history(identity, dataset, below, limit.unwrap_or(HISTORY_DEFAULT).min(HISTORY)).await??;
    let steps: Vec<Value> = history.versions.into_iter().map(step).collect();
    Ok(granted(&json!({ "version": history.version, "oldest": history.oldest, "steps": steps })))
}

fn step(step: VersionEntry) -> Value {
    let VersionEntry { version, at_ms, device, origin, touched, not_taken } = step;
    let what = match origin {
        VersionOrigin::Patch => json!({ "by": "write" }),
        VersionOrigin::Restored(to) => json!({ "by": "restore", "to": to }),
        VersionOrigin::Merged(from) => json!({ "by": "merge", "from": from }),
    };
    let touched: Vec<Value> = touched.into_iter().map(|(key, lives)| json!({ "key": key, "lives": lives })).collect();
    json!({ "version": version, "at_ms": at_ms, "device": device, "what": what, "touched": touched, "not_taken": not_taken })
}

async fn at(State(rooms): State<HttpState>, Path((identity, dataset, version)): Path<(String, String, String)>) -> Result<Response, Error> {
    let version = version.parse().map_err(|_| Error::Unclear("a version is a whole number".to_owned()))?;
    let records = rooms.admin.at(identified(&identity)?, named(&dataset)?, version).await??;
    Ok(granted(&json!({ "dataset": dataset, "version": version, "records": records })))
}

#[derive(Deserialize)]
struct Two {
    first: u64,
    second: u64,
}

async fn compare(
    State(rooms): State<HttpState>,
    Path((identity, dataset)): Path<(String, String)>,
    two: Asks<Two>,
) -> Result<Response, Error> {
    let Two { first, second } = asked(two)?;
    let differences = rooms.admin.compare(identified(&identity)?, named(&dataset)?, first, second).await??;
    let one = |one: RecordDiff| json!({ "key": one.key, "before": one.before, "after": one.after });
    let differences: Vec<Value> = differences.into_iter().map(one).collect();
    Ok(granted(&json!({ "dataset": dataset, "first": first, "second": second, "differences": differences })))
}

#[derive(Deserialize)]
struct RestoreTo {
    version: u64,
}

async fn restore(State(rooms): State<HttpState>, Path((identity, dataset)): Path<(String, String)>, body: Body) -> Result<Response, Error> {
    let (identity, name) = (identified(&identity)?, named(&dataset)?);
    let to = said::<RestoreTo>(body).await?.version;
    let (version, records) = rooms.admin.restore_version(identity, name, to).await??.unzip();
    Ok(granted(&json!({ "dataset": dataset, "restored": to, "version": version, "records": records.unwrap_or(0) })))
}

async fn conflicts(State(rooms): State<HttpState>, Path((identity, dataset)): Path<(String, String)>) -> Result<Response, Error> {
    let conflicts = rooms.admin.conflicts(identified(&identity)?, named(&dataset)?).await??;
    let one = |one: Conflict| {
        let met = one.records.into_iter().map(|(key, version, device)| json!({ "key": key, "version": version, "device": device }));
        json!({ "number": one.number, "at_ms": one.at_ms, "device": one.device, "applied": one.applied, "met": met.collect::<Vec<_>>() })
    };
    let conflicts: Vec<Value> = conflicts.into_iter().map(one).collect();
    Ok(granted(&json!({ "dataset": dataset, "conflicts": conflicts })))
}

async fn backup(State(rooms): State<HttpState>, line: Line) -> Result<Response, Error> {
    match rooms.admin.backup().await? {
        Err(BackupRefused::Busy | BackupRefused::TooSlow) => {
            Err(Error::Stands("another backup is under way; there is one at a time: try again when it is done".to_owned()))
        }
        Ok(backup) => Ok(stream::answer("application/octet-stream", line, backup)),
    }
}

impl Source for Backup {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        match Backup::next(self).await {
            Ok(Ok(part)) => Ok(part.map(|part| Bytes::from(part.bytes))),
            Ok(Err(BackupRefused::TooSlow | BackupRefused::Busy)) => Err("its reader is slower than the writes, or the store failed"),
            Err(_) => Err("the store cannot be read"),
        }
    }
}

pub(super) fn identified(text: &str) -> Result<Identity, Error> {
    admin::identity(text).ok_or(Error::NotFound(admin::NotFound::Identity))
}

fn named(dataset: &str) -> Result<DatasetName, Error> {
    DatasetName::new(dataset).map_err(|error| Error::Unclear(error.to_string()))
}

fn asked<T>(query: Asks<T>) -> Result<T, Error> {
    query.map(|Query(query)| query).map_err(|error| Error::Unclear(error.body_text()))
}

pub(super) async fn said<T: DeserializeOwned>(body: Body) -> Result<T, Error> {
    serde_json::from_slice(&read(body).await?).map_err(|error| Error::Unclear(format!("the body is not what it must be: {error}")))
}

fn bounded(names: &[&str]) -> Result<(), Error> {
    match names.iter().all(|name| (1..=NAME_BYTES).contains(&name.len())) {
        true => Ok(()),
        false => Err(Error::Unclear(format!("a name has 1 to {NAME_BYTES} bytes"))),
    }
}
