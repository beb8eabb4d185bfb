//! FCM's access tokens: a service account's signature exchanged for a token that is good for an hour (RFC 7523 section 2.1; Google's page "Using
//! OAuth 2.0 for Server to Server Applications").
//!
//! However many need a token, one request fetches it. It is renewed before it ends, and the old one serves while that does not succeed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http::Request;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::{Algorithm, Header};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};

use super::credentials::ServiceAccount;
use super::verdict::{Fault, Verdict, Whom};

/// What the token is for.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// How long before its end a token is renewed, in milliseconds; one that lives shorter than twice this, at half of its life.
const EARLY_MS: u64 = 5 * 60 * 1000;

/// How long a signature is good for, in seconds: an hour is the most that Google takes.
const SIGNED_FOR_S: u64 = 60 * 60;

/// The longest that a token is believed to live, in seconds.
const LIFE_S: u64 = 24 * 60 * 60;

/// How long fetching may take: less than a send may, so that all who wait learn the same.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nobody asks again after a failure, in milliseconds.
const PAUSE_MS: u64 = 10_000;

/// The largest answer that is read, in bytes. A token has at most 2,048 ("Using OAuth 2.0": token size).
const ANSWER_BYTES: usize = 8 * 1024;

/// The access tokens of one service account.
pub(super) struct Bearer {
    inner: Arc<Inner>,
}

struct Inner {
    account: ServiceAccount,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<AccessToken>,
    flight: Option<Flight>,
    /// Why the last fetch failed, and until when nobody asks again.
    failed: Option<(NoToken, u64)>,
}

type Fetched = Result<AccessToken, NoToken>;
type Flight = Shared<BoxFuture<'static, Fetched>>;

/// A token, cheap to copy.
#[derive(Clone)]
pub(super) struct AccessToken {
    /// `Bearer` and the token.
    pub(super) header: HeaderValue,
    renew_ms: u64,
    end_ms: u64,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoToken {
    /// The account is not, or no longer, one that gets tokens.
    Invalid,
    /// There was no answer of use.
    NotNow,
}

impl NoToken {
    /// What that means for what was to be sent.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            NoToken::Invalid => Verdict::refused("service_account_refused", Fault::App),
            NoToken::NotNow => Verdict::later("no_access_token", Whom::App),
        }
    }
}

impl Bearer {
    /// For an account, whose token address must have been checked.
    pub(super) fn new(account: ServiceAccount, tls: ClientConfig) -> Bearer {
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().enable_http2().build();
        // Fetches are an hour apart: a connection is not kept for the next.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Bearer { inner: Arc::new(Inner { account, client, state: Mutex::default() }) }
    }

    /// The project that the account belongs to.
    pub(super) fn project(&self) -> &str {
        &self.inner.account.project
    }

    /// The token to use now.
    pub(super) async fn token(&self, now_ms: u64) -> Fetched {
        let flight = {
            let mut state = self.inner.locked();
            match (&state.kept, &state.flight, state.failed) {
                (Some(kept), _, _) if now_ms < kept.renew_ms => return Ok(kept.clone()),
                (_, Some(flight), _) => flight.clone(),
                (_, None, Some((why, until_ms))) if now_ms < until_ms => return state.or_old(why, now_ms),
                (_, None, _) => state.flight.insert(fetch(self.inner.clone(), now_ms).boxed().shared()).clone(),
            }
        };
        // Whoever polls carries it on, so it goes on when who began it gives up.
        flight.await.or_else(|why| self.inner.locked().or_old(why, now_ms))
    }

    /// Forgets a token that FCM does not take, unless it has been renewed already.
    pub(super) fn refused(&self, token: &AccessToken) {
        let mut state = self.inner.locked();
        if state.kept.as_ref().is_some_and(|kept| kept.header == token.header) {
            state.kept = None;
        }
    }
}

impl State {
    /// The old token while it lives, else why there is none.
    fn or_old(&self, why: NoToken, now_ms: u64) -> Fetched {
        self.kept.clone().filter(|kept| now_ms < kept.end_ms).ok_or(why)
    }
}

impl Inner {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn fetch(inner: Arc<Inner>, now_ms: u64) -> Fetched {
    let fetched = tokio::time::timeout(FETCH_TIMEOUT, exchange(&inner, now_ms)).await.unwrap_or(Err(NoToken::NotNow));
    let mut state = inner.locked();
    state.flight = None;
    match &fetched {
        Ok(token) => (state.kept, state.failed) = (Some(token.clone()), None),
        Err(why) => state.failed = Some((*why, now_ms + PAUSE_MS)),
    }
    fetched
}

async fn exchange(inner: &Inner, now_ms: u64) -> Fetched {
    let assertion = assertion(&inner.account, now_ms / 1000).ok_or(NoToken::Invalid)?;
    // Neither part has a character that a form must escape (RFC 7515 section 2), but for the colons.
    let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
    let request = Request::post(&inner.account.token_uri)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(form))
        .map_err(|_| NoToken::Invalid)?;
    let answer = inner.client.request(request).await.map_err(|_| NoToken::NotNow)?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await.map_err(|_| NoToken::NotNow)?;
    read(status, &body.to_bytes(), now_ms)
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

fn assertion(account: &ServiceAccount, now_s: u64) -> Option<String> {
    let header = Header { kid: account.key_id.clone(), ..Header::new(Algorithm::RS256) };
    let claims = Claims { iss: &account.email, scope: SCOPE, aud: &account.token_uri, iat: now_s, exp: now_s + SIGNED_FOR_S };
    jsonwebtoken::encode(&header, &claims, &account.key).ok()
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
}

/// Reads the answer of a token endpoint (RFC 6749 sections 5.1 and 5.2). Pure.
fn read(status: u16, body: &[u8], now_ms: u64) -> Fetched {
    if status == 200 {
        let Granted { access_token, expires_in } = serde_json::from_slice(body).map_err(|_| NoToken::NotNow)?;
        let mut header = HeaderValue::try_from(format!("Bearer {access_token}")).map_err(|_| NoToken::NotNow)?;
        header.set_sensitive(true);
        let life_ms = expires_in.min(LIFE_S) * 1000;
        return Ok(AccessToken { header, renew_ms: now_ms + life_ms - EARLY_MS.min(life_ms / 2), end_ms: now_ms + life_ms });
    }
    match serde_json::from_slice::<Denied>(body).map(|denied| denied.error).as_deref() {
        Ok("invalid_grant" | "invalid_client" | "unauthorized_client" | "invalid_scope" | "access_denied") => Err(NoToken::Invalid),
        _ => Err(NoToken::NotNow),
    }
}

#[cfg(test)]
#[path = "bearer_tests.rs"]
mod tests;
