//! FCM's access tokens: an assertion signed by a service account is exchanged for a token that is valid for an hour (RFC 7523 section 2.1;
//! Google's page "Using OAuth 2.0 for Server to Server Applications").
//!
//! Concurrent sends share one token request. A token is renewed before it expires, and the old one is used while the renewal fails.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::uri::Authority;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::{Algorithm, Header};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use super::credentials::ServiceAccount;
use super::failure::FailureCause;
use super::proxied_connector::ProxiedConnector;
use super::transport_fault::TransportFault;
use super::verdict::{FaultScope, RefusalCause, Verdict, status_reason};
use crate::auth::ProxyRoutes;

/// The scope of the tokens.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// How long before its expiry a token is renewed, in milliseconds; one with less than twice this lifetime is renewed after half of it.
const RENEW_EARLY_MS: u64 = 5 * 60 * 1000;

/// How long an assertion is valid, in seconds: an hour is the most that Google accepts.
const ASSERTION_LIFETIME_S: u64 = 60 * 60;

/// The longest lifetime of a token that is believed, in seconds.
const MAX_LIFETIME_S: u64 = 24 * 60 * 60;

/// How long a token request may take: less than `SEND_TIMEOUT`, so that every waiting send gets its result.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long no token is requested after a failure, in milliseconds.
const FAILURE_PAUSE_MS: u64 = 10_000;

/// The largest response body that is read, in bytes. A token has at most 2,048 ("Using OAuth 2.0": token size).
const BODY_BYTES: usize = 8 * 1024;

/// The access tokens of one service account.
pub(super) struct AccessTokenSource {
    shared: Arc<AccessTokenShared>,
}

struct AccessTokenShared {
    account: ServiceAccount,
    client: Client<HttpsConnector<ProxiedConnector>, Full<Bytes>>,
    cache: Mutex<AccessTokenCache>,
}

#[derive(Default)]
struct AccessTokenCache {
    token: Option<AccessToken>,
    pending: Option<PendingFetch>,
    /// The last request's failure, and until when no token is requested, in milliseconds.
    failed: Option<(AccessTokenError, u64)>,
}

type AccessTokenResult = Result<AccessToken, AccessTokenError>;
type PendingFetch = Shared<BoxFuture<'static, AccessTokenResult>>;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct AccessToken {
    /// `Bearer` and the token, for the header `authorization`.
    pub(super) header: HeaderValue,
    renew_ms: u64,
    expires_ms: u64,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AccessTokenError {
    /// The token endpoint rejects the service account, with this code of RFC 6749 section 5.2 or of ours.
    Rejected(String),
    /// The token endpoint cannot be reached, or its response is of no use.
    Unavailable(TransportFault),
}

impl AccessTokenError {
    /// The same error, which names the token endpoint's server.
    fn at(self, token_uri: &str) -> AccessTokenError {
        match self {
            AccessTokenError::Rejected(code) => AccessTokenError::Rejected(code),
            AccessTokenError::Unavailable(fault) => {
                let uri: Option<Uri> = token_uri.parse().ok();
                let server = uri.as_ref().and_then(Uri::authority).map_or("", Authority::as_str);
                AccessTokenError::Unavailable(fault.at(server))
            }
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        match self {
            AccessTokenError::Rejected(code) => Verdict::refused(format!("service account refused: {code}"), RefusalCause::App),
            AccessTokenError::Unavailable(fault) => {
                Verdict::later(format!("no access token: {fault}"), FaultScope::App).because(fault.cause)
            }
        }
    }
}

impl AccessTokenSource {
    /// The caller has checked the scheme of the account's token endpoint.
    pub(super) fn new(account: ServiceAccount, tls: ClientConfig, routes: ProxyRoutes) -> AccessTokenSource {
        let proxied = ProxiedConnector::new(tls.clone(), routes);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = https.enable_http1().enable_http2().wrap_connector(proxied);
        // Requests are an hour apart: no connection is kept for the next one.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        AccessTokenSource { shared: Arc::new(AccessTokenShared { account, client, cache: Mutex::default() }) }
    }

    /// The id of the project that owns the account.
    pub(super) fn project(&self) -> &str {
        &self.shared.account.project
    }

    /// The token to use now, requested if there is none.
    pub(super) async fn current(&self, now_ms: u64) -> AccessTokenResult {
        let pending = {
            let mut cache = self.shared.lock();
            match (&cache.token, &cache.pending, cache.failed.clone()) {
                (Some(cached), _, _) if now_ms < cached.renew_ms => return Ok(cached.clone()),
                (_, Some(pending), _) => pending.clone(),
                (_, None, Some((why, until_ms))) if now_ms < until_ms => return cache.or_unexpired(why, now_ms),
                (_, None, _) => cache.pending.insert(fetch(self.shared.clone(), now_ms).boxed().shared()).clone(),
            }
        };
        // Every waiting send polls the shared request, so it goes on if the send that started it is dropped.
        pending.await.or_else(|why| self.shared.lock().or_unexpired(why, now_ms))
    }

    /// Drops a token that FCM rejected, unless it was replaced meanwhile.
    pub(super) fn invalidate(&self, token: &AccessToken) {
        let mut cache = self.shared.lock();
        if cache.token.as_ref().is_some_and(|cached| cached.header == token.header) {
            cache.token = None;
        }
    }
}

impl AccessTokenCache {
    /// The old token if it has not expired, else the error.
    fn or_unexpired(&self, why: AccessTokenError, now_ms: u64) -> AccessTokenResult {
        self.token.clone().filter(|cached| now_ms < cached.expires_ms).ok_or(why)
    }
}

impl AccessTokenShared {
    fn lock(&self) -> MutexGuard<'_, AccessTokenCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(shared: Arc<AccessTokenShared>, now_ms: u64) -> AccessTokenResult {
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, request_token(&shared, now_ms)).await;
    let fetched = fetched.unwrap_or_else(|_| Err(AccessTokenError::Unavailable(TransportFault::new(FailureCause::Timeout))));
    let fetched = fetched.map_err(|error| error.at(&shared.account.token_uri));
    let mut cache = shared.lock();
    cache.pending = None;
    match &fetched {
        Ok(token) => (cache.token, cache.failed) = (Some(token.clone()), None),
        Err(why) => cache.failed = Some((why.clone(), now_ms + FAILURE_PAUSE_MS)),
    }
    fetched
}

async fn request_token(shared: &AccessTokenShared, now_ms: u64) -> AccessTokenResult {
    let rejected = |code: &str| AccessTokenError::Rejected(code.to_owned());
    let assertion = signed_assertion(&shared.account, now_ms / 1000).ok_or_else(|| rejected("key_cannot_sign"))?;
    // An assertion has no character that a form must escape (RFC 7515 section 2); the grant type's colons are escaped here.
    let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
    let request = Request::post(&shared.account.token_uri)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(form))
        .map_err(|_| rejected("token_uri_unusable"))?;
    let response = shared.client.request(request).await.map_err(|error| unavailable(&error))?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_BYTES).collect().await.map_err(|error| unavailable(&*error))?;
    parse_response(status, &body.to_bytes(), now_ms)
}

/// A request without a complete response. An error of no known cause can only be one of HTTP.
fn unavailable(error: &(dyn Error + 'static)) -> AccessTokenError {
    let unknown = || TransportFault::new(FailureCause::ConnectionLost);
    AccessTokenError::Unavailable(TransportFault::in_chain(error).unwrap_or_else(unknown))
}

#[derive(Serialize)]
struct AssertionClaims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

fn signed_assertion(account: &ServiceAccount, now_s: u64) -> Option<String> {
    let header = Header { kid: account.key_id.clone(), ..Header::new(Algorithm::RS256) };
    let claims =
        AssertionClaims { iss: &account.email, scope: SCOPE, aud: &account.token_uri, iat: now_s, exp: now_s + ASSERTION_LIFETIME_S };
    jsonwebtoken::encode(&header, &claims, &account.key).ok()
}

#[derive(Deserialize)]
struct TokenGrantBody {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct TokenErrorBody {
    error: String,
}

/// Parses a token endpoint's response (RFC 6749 sections 5.1 and 5.2). Pure.
fn parse_response(status: u16, body: &[u8], now_ms: u64) -> AccessTokenResult {
    let failed = |detail: String| AccessTokenError::Unavailable(TransportFault::with_detail(FailureCause::GatewayFailed, detail));
    let useless = || failed("its response has no token".to_owned());
    if status == 200 {
        let TokenGrantBody { access_token, expires_in } = serde_json::from_slice(body).map_err(|_| useless())?;
        let mut header = HeaderValue::try_from(format!("Bearer {access_token}")).map_err(|_| useless())?;
        header.set_sensitive(true);
        let lifetime_ms = expires_in.min(MAX_LIFETIME_S) * 1000;
        return Ok(AccessToken {
            header,
            renew_ms: now_ms + lifetime_ms - RENEW_EARLY_MS.min(lifetime_ms / 2),
            expires_ms: now_ms + lifetime_ms,
        });
    }
    match serde_json::from_slice::<TokenErrorBody>(body).map(|denied| denied.error).as_deref() {
        Ok(code @ ("invalid_grant" | "invalid_client" | "unauthorized_client" | "invalid_scope" | "access_denied")) => {
            Err(AccessTokenError::Rejected(code.to_owned()))
        }
        _ => Err(failed(status_reason(status))),
    }
}

#[cfg(test)]
#[path = "access_token_tests.rs"]
mod tests;
