//! The pools, and the logins of a pool in pages.

use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request;
use crate::http::error::{HttpError, ok_json};
use crate::http::request::UrlQuery;
use crate::http::state::HttpState;
use crate::pools::PoolOrigin;
use crate::store::{ListedLogin, LoginPosition, LoginSearch};

/// The maximum number of logins in one response.
const MAX_LOGINS: usize = 1000;

/// The number of logins in one response if the request names none.
const DEFAULT_LOGINS: usize = 100;

#[derive(Deserialize)]
pub(super) struct LoginsQuery {
    pool: String,
    issuer: Option<String>,
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn pools(State(state): State<HttpState>) -> Response {
    let pools = state.admin.pools();
    let entry = |(name, id, origin): &(_, _, PoolOrigin)| json!({ "name": name, "id": id, "declared": *origin == PoolOrigin::Declared });
    ok_json(&json!({ "pools": pools.iter().map(entry).collect::<Vec<_>>() }))
}

pub(super) async fn list(State(state): State<HttpState>, UrlQuery(query): UrlQuery<LoginsQuery>) -> Result<Response, HttpError> {
    let LoginsQuery { pool, issuer, prefix, after, limit } = query;
    request::check_names(&[&pool, issuer.as_deref().unwrap_or("any"), prefix.as_deref().filter(|text| !text.is_empty()).unwrap_or("any")])?;
    let position = |text: &String| URL_SAFE_NO_PAD.decode(text).map(LoginPosition);
    let after = after.as_ref().map(position).transpose();
    let after = after.map_err(|_| HttpError::BadAdminRequest("after must be the next of an earlier answer".to_owned()))?;
    let limit = limit.unwrap_or(DEFAULT_LOGINS).clamp(1, MAX_LOGINS);
    let page =
        state.admin.list_logins(LoginSearch { pool: pool.clone(), issuer, prefix: prefix.unwrap_or_default(), after, limit }).await?;
    check_pool(&state, &pool, page.logins.is_empty())?;
    let logins: Vec<Value> = page.logins.iter().map(login_json).collect();
    Ok(ok_json(&json!({ "logins": logins, "next": page.next.map(|next| URL_SAFE_NO_PAD.encode(next.0)) })))
}

/// Refuses a name that no configured pool has. Logins of a pool that is not configured any more are still shown.
pub(super) fn check_pool(state: &HttpState, pool: &str, is_empty: bool) -> Result<(), HttpError> {
    let pools: Vec<_> = state.admin.pools().into_iter().map(|(name, ..)| name).collect();
    match is_empty && !pools.iter().any(|known| **known == *pool) {
        true => Err(HttpError::NotFoundBecause(format!("no such pool: {pool}; the server's pools: {}", pools.join(", ")))),
        false => Ok(()),
    }
}

fn login_json(ListedLogin { login, created_ms }: &ListedLogin) -> Value {
    json!({
        "pool": login.pool, "issuer": login.issuer, "subject": login.subject, "identity": login.identity.as_str(), "created_ms": created_ms,
    })
}
