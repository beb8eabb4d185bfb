//! Accounts and the access keys of their roots. A secret is in one answer only: that of the request that made its key.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::request;
use crate::access::{AccountRefused, ExplainAsk, Explanation, NewAccessKey};
use crate::http::error::{HttpError, ok_json};
use crate::http::request::{PathNames, UrlQuery};
use crate::http::state::HttpState;
use crate::store::{AccessKey, AccessKeyStatus, Account, AccountId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountsQuery {
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InitBody {
    name: String,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainBody {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    context: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusBody {
    active: bool,
}

pub(super) async fn accounts(State(state): State<HttpState>, UrlQuery(query): UrlQuery<AccountsQuery>) -> Result<Response, HttpError> {
    let after = query.after.as_deref().map(account).transpose()?;
    let accounts = state.accounts.list(after).await?;
    let entry = |account: &Account| json!({ "account": account.id.as_str(), "name": account.name, "made_ms": account.made_ms });
    Ok(ok_json(&json!({ "accounts": accounts.iter().map(entry).collect::<Vec<_>>() })))
}

pub(super) async fn init(State(state): State<HttpState>, body: Body) -> Result<Response, HttpError> {
    let InitBody { name, id } = request::json_body(body).await?;
    let id = id.as_deref().map(account).transpose()?;
    Ok(new_key(state.accounts.init(&name, id).await?.map_err(refused)?))
}

pub(super) async fn keys(State(state): State<HttpState>, PathNames(id): PathNames<String>) -> Result<Response, HttpError> {
    let keys = state.accounts.root_keys(account(&id)?).await?.map_err(refused)?;
    let entry =
        |key: &AccessKey| json!({ "access_key_id": key.id, "active": key.status == AccessKeyStatus::Active, "made_ms": key.made_ms });
    Ok(ok_json(&json!({ "account": id, "keys": keys.iter().map(entry).collect::<Vec<_>>() })))
}

pub(super) async fn add_key(State(state): State<HttpState>, PathNames(id): PathNames<String>) -> Result<Response, HttpError> {
    Ok(new_key(state.accounts.add_root_key(account(&id)?).await?.map_err(refused)?))
}

pub(super) async fn set_status(
    State(state): State<HttpState>,
    PathNames((id, key)): PathNames<(String, String)>,
    body: Body,
) -> Result<Response, HttpError> {
    let StatusBody { active } = request::json_body(body).await?;
    let status = if active { AccessKeyStatus::Active } else { AccessKeyStatus::Inactive };
    state.accounts.set_root_key_status(account(&id)?, key.clone(), status).await?.map_err(refused)?;
    Ok(ok_json(&json!({ "access_key_id": key, "active": active })))
}

pub(super) async fn delete_key(
    State(state): State<HttpState>,
    PathNames((id, key)): PathNames<(String, String)>,
) -> Result<Response, HttpError> {
    state.accounts.delete_root_key(account(&id)?, key.clone()).await?.map_err(refused)?;
    Ok(ok_json(&json!({ "access_key_id": key, "deleted": true })))
}

/// Whether a principal of the account may do something, and which policy says so.
pub(super) async fn explain(State(state): State<HttpState>, PathNames(id): PathNames<String>, body: Body) -> Result<Response, HttpError> {
    let ExplainBody { principal, action, resource, context } = request::json_body(body).await?;
    let ask = ExplainAsk { principal: principal.clone(), action, resource, context: context.into_iter().collect() };
    let explained = state.accounts.explain(&account(&id)?, ask).await?;
    let Explanation { is_allowed, why, policy } = explained.map_err(|error| match error.code {
        "NoSuchEntity" => HttpError::NotFoundBecause(error.message),
        _ => HttpError::BadAdminRequest(error.message),
    })?;
    let (policy, statement) = policy.unzip();
    Ok(ok_json(&json!({ "principal": principal, "allowed": is_allowed, "why": why, "policy": policy, "statement": statement })))
}

fn new_key(key: NewAccessKey) -> Response {
    let NewAccessKey { account, id, secret } = key;
    let secret = secret.expose();
    ok_json(&json!({ "account": account.id.as_str(), "name": account.name, "access_key_id": id, "secret_access_key": secret }))
}

fn account(text: &str) -> Result<AccountId, HttpError> {
    AccountId::parse(text).ok_or(HttpError::BadAdminRequest("an account is twelve digits".to_owned()))
}

fn refused(why: AccountRefused) -> HttpError {
    match why {
        AccountRefused::NoAccount | AccountRefused::NoKey => HttpError::NotFoundBecause(why.to_string()),
        AccountRefused::BadName => HttpError::BadAdminRequest(why.to_string()),
        AccountRefused::IdTaken | AccountRefused::TooMany | AccountRefused::TooManyKeys => HttpError::NotPossible(why.to_string()),
    }
}
