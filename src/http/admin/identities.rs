//! Identities: find, show, erase, export, link a login, merge.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{logins, request};
use crate::admin::ExportStream;
use crate::http::error::{HttpError, ok_json};
use crate::http::link::too_many_logins;
use crate::http::request::{PathNames, UrlQuery};
use crate::http::state::HttpState;
use crate::http::stream::{AbortReason, ChunkSource, streamed_response};
use crate::identity::{IdentityMergeOutcome, LinkOutcome, LoginName};
use crate::store::LoginInfo;

#[derive(Deserialize)]
pub(super) struct FindQuery {
    pool: String,
    subject: String,
}

pub(super) async fn find(State(state): State<HttpState>, UrlQuery(query): UrlQuery<FindQuery>) -> Result<Response, HttpError> {
    let FindQuery { pool, subject } = query;
    request::check_names(&[&pool, &subject])?;
    let login = |login: LoginInfo| json!({ "pool": login.pool, "issuer": login.issuer, "subject": login.subject, "identity": login.identity.as_str() });
    let logins: Vec<Value> = state.admin.find_logins(pool.clone(), subject).await?.into_iter().map(login).collect();
    logins::check_pool(&state, &pool, logins.is_empty())?;
    Ok(ok_json(&json!({ "logins": logins })))
}

pub(super) async fn account(State(state): State<HttpState>, PathNames(identity): PathNames<String>) -> Result<Response, HttpError> {
    let identity = request::identity(&identity)?;
    let account = state.admin.summary(identity.clone()).await??;
    Ok(ok_json(&json!({
        "identity": identity.as_str(), "pool": account.pool, "merged": account.merged, "owned_bytes": account.owned_bytes,
        "datasets": account.datasets,
    })))
}

pub(super) async fn erase(State(state): State<HttpState>, PathNames(identity): PathNames<String>) -> Result<Response, HttpError> {
    let identity = request::identity(&identity)?;
    let erased = state.admin.erase(identity.clone()).await??;
    Ok(ok_json(&json!({ "erased": identity.as_str(), "finished": erased.finished })))
}

pub(super) async fn export(State(state): State<HttpState>, PathNames(identity): PathNames<String>) -> Result<Response, HttpError> {
    let export = state.admin.export(request::identity(&identity)?).await??;
    Ok(streamed_response("application/json", export))
}

impl ChunkSource for ExportStream {
    async fn next(&mut self) -> Result<Option<Bytes>, AbortReason> {
        match ExportStream::next(self).await {
            Ok(chunk) => Ok(chunk.map(Bytes::from)),
            Err(_) => Err("the identity was erased or merged meanwhile, or the store cannot be read"),
        }
    }
}

#[derive(Deserialize)]
struct LinkLoginBody {
    issuer: String,
    subject: String,
}

pub(super) async fn link(
    State(state): State<HttpState>,
    PathNames(identity): PathNames<String>,
    body: Body,
) -> Result<Response, HttpError> {
    let identity = request::identity(&identity)?;
    let LinkLoginBody { issuer, subject } = request::json_body(body).await?;
    request::check_names(&[&issuer, &subject])?;
    match state.admin.link_login(identity.clone(), LoginName { issuer, subject }).await?? {
        LinkOutcome::Linked | LinkOutcome::Known => Ok(ok_json(&json!({ "identity": identity.as_str() }))),
        LinkOutcome::TooManyLogins => Err(too_many_logins()),
        LinkOutcome::LeadsElsewhere(other) => Err(HttpError::NotPossible(format!(
            "this login already belongs to {other}; merge one of {other} and {identity} into the other instead"
        ))),
    }
}

#[derive(Deserialize)]
struct MergeBody {
    into: String,
}

pub(super) async fn merge(
    State(state): State<HttpState>,
    PathNames(identity): PathNames<String>,
    body: Body,
) -> Result<Response, HttpError> {
    let from = request::identity(&identity)?;
    let into = request::identity(&request::json_body::<MergeBody>(body).await?.into)?;
    match state.admin.merge(from.clone(), into.clone()).await? {
        IdentityMergeOutcome::Merged { datasets, finished } => {
            Ok(ok_json(&json!({ "merged": from.as_str(), "into": into.as_str(), "datasets": datasets, "finished": finished })))
        }
        IdentityMergeOutcome::NoIdentity(missing) => Err(HttpError::NotFoundBecause(format!(
            "no such identity: {missing}; it never existed, was erased, or was merged into another one"
        ))),
        IdentityMergeOutcome::TooManyLogins => Err(too_many_logins()),
        IdentityMergeOutcome::SameIdentity => Err(HttpError::NotPossible("an identity cannot be merged into itself".to_owned())),
        IdentityMergeOutcome::OtherPool => {
            Err(HttpError::NotPossible("the two identities belong to different pools, which cannot be merged".to_owned()))
        }
    }
}
