//! `/admin/api`: the admin API, in JSON. Every request is refused unless it carries the operator key.

mod access;
mod backup;
mod devices;
mod history;
mod identities;
mod logins;
mod request;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, post};
use tracing::info;

use super::error::HttpError;
use super::fallback;
use super::middleware::run_to_its_end;
use super::page_guard::{self, PageRefusal};
use super::party::RequestParty;
use super::permit::ConnectionPermit;
use super::request::bearer_token;
use super::state::HttpState;
use crate::session::TransferParty;

pub(super) fn routes(state: HttpState) -> Router<HttpState> {
    Router::new()
        .route("/pools", get(logins::pools))
        .route("/access/accounts", get(access::accounts).post(access::init))
        .route("/access/accounts/{account}/explain", post(access::explain))
        .route("/access/accounts/{account}/keys", get(access::keys).post(access::add_key))
        .route("/access/accounts/{account}/keys/{key}", delete(access::delete_key))
        .route("/access/accounts/{account}/keys/{key}/status", post(access::set_status))
        .route("/logins", get(logins::list))
        .route("/identities", get(identities::find))
        .route("/identities/{identity}", get(identities::account).delete(identities::erase))
        .route("/identities/{identity}/export", get(identities::export))
        .route("/identities/{identity}/logins", post(identities::link))
        .route("/identities/{identity}/merge", post(identities::merge))
        .route("/identities/{identity}/datasets/{dataset}/history", get(history::versions))
        .route("/identities/{identity}/datasets/{dataset}/at/{version}", get(history::records_at))
        .route("/identities/{identity}/datasets/{dataset}/compare", get(history::compare))
        .route("/identities/{identity}/datasets/{dataset}/restore", post(history::restore))
        .route("/identities/{identity}/datasets/{dataset}/conflicts", get(history::conflicts))
        .route("/identities/{identity}/devices", get(devices::list))
        .route("/identities/{identity}/devices/{device}/push", get(devices::push_log))
        .route("/identities/{identity}/devices/{device}/push/test", post(devices::push_test))
        .route("/identities/{identity}/devices/{device}/revoke", post(devices::revoke))
        .route("/identities/{identity}/devices/{device}/allow", post(devices::allow))
        .route("/identities/{identity}/devices/{device}", delete(devices::forget))
        .route("/push", get(devices::stopped_apps))
        .route("/push/resume", post(devices::resume_apps))
        .route("/backup", get(backup::backup))
        .fallback(fallback::no_such_path)
        .method_not_allowed_fallback(fallback::method_not_allowed)
        .layer(middleware::from_fn_with_state(state, require_operator_key))
}

/// Metrics need no operator key, unless a web page can have asked for them under a name of its own.
pub(super) async fn own_name_or_key(state: State<HttpState>, request: Request, next: Next) -> Result<Response, HttpError> {
    match (page_guard::has_foreign_name(&request), bearer_token(request.headers())) {
        (false, _) => Ok(next.run(request).await),
        (true, None) => Err(HttpError::ForeignPage(PageRefusal::MetricsUnderForeignName)),
        (true, Some(_)) => require_operator_key(state, request, next).await,
    }
}

async fn require_operator_key(State(state): State<HttpState>, request: Request, next: Next) -> Result<Response, HttpError> {
    let key = state.operator_key.as_ref().ok_or(HttpError::AdminDisabled)?;
    let (connection, now_ms) = (ConnectionPermit::of_request(request.extensions()), state.transfers.clock.running_ms());
    if let Some((_, client)) = &connection {
        state.authenticator.within_limits(client, client.check_tokens(now_ms))?;
    }
    let is_right = bearer_token(request.headers()).is_some_and(|given| key.matches(given));
    match (is_right, connection) {
        (true, connection) => {
            if let Some((permit, _)) = connection {
                permit.authenticated();
            }
            RequestParty::authenticated(request.extensions(), TransferParty::Operator);
            run_to_its_end(request, next).await
        }
        (false, Some((_, client))) => {
            info!(address = %client.address(), "operator key refused");
            client.token_refused(now_ms);
            Err(HttpError::WrongOperatorKey)
        }
        (false, None) => Err(HttpError::WrongOperatorKey),
    }
}
