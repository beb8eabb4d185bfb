//! The keys that an issuer publishes at a URL, fetched when needed and cached.
//!
//! A token that no cached key verifies triggers a fetch, and so does one that meets an old cache. In the background only the first keys are
//! fetched. Fetches are single-flight: at most one is in progress, at most one starts in [`REFETCH_AFTER_S`](super::config::REFETCH_AFTER_S), or in
//! [`RETRY_AFTER_S`](super::config::RETRY_AFTER_S) while there are no keys, and logins that need its result wait for it. A fetch continues after the
//! login that started it was cancelled: otherwise an attacker could start and abandon every fetch, and new keys would never arrive. A
//! failed fetch changes nothing: the cached keys stay in use.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::Uri;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::{debug, info, warn};

use super::algorithm::KeyKind;
use super::discovery::KeyLocation;
use super::fetcher::Fetcher;
use super::freshness::{KeyNeed, elapsed_s, key_need, may_fetch};
use super::jwks::Jwks;
use super::key_set::{KeySet, SignedMessage};
use super::refusal::TokenRefusal;

/// The published keys of one issuer.
pub(super) struct RemoteKeys {
    pool: Arc<str>,
    issuer: Arc<str>,
    location: KeyLocation,
    fetcher: Fetcher,
    cache: RwLock<CachedKeys>,
    /// Locked while a fetch is in progress.
    single_flight: Arc<Mutex<FetchState>>,
}

/// An issuer whose keys could not be fetched yet: none of its tokens is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerWithoutKeys {
    pub pool: Arc<str>,
    pub issuer: Arc<str>,
    pub reason: Arc<str>,
}

#[derive(Clone, Default)]
struct CachedKeys {
    keys: Option<Arc<KeySet>>,
    fetched_s: u64,
    /// Why the last fetch failed, if it did.
    failure: Option<Arc<str>>,
}

#[derive(Default)]
struct FetchState {
    last_start_s: Option<u64>,
    /// What the log has said about the last document that was read.
    logged: Option<DocumentNews>,
}

/// What the log says about a document with keys, when it changes.
#[derive(PartialEq, Eq)]
struct DocumentNews {
    keys: usize,
    /// The flaws of keys that are ignored, in words.
    flaws: Vec<String>,
}

impl RemoteKeys {
    /// The keys of an issuer, not fetched yet.
    pub(super) fn new(pool: Arc<str>, issuer: Arc<str>, location: KeyLocation, fetcher: Fetcher) -> Self {
        Self { pool, issuer, location, fetcher, cache: RwLock::default(), single_flight: Arc::default() }
    }

    /// The pool and the name of the issuer, and why its keys could not be fetched, if it has none.
    pub(super) fn without_keys(&self) -> Option<IssuerWithoutKeys> {
        let CachedKeys { keys, failure, .. } = self.cached();
        let reason = failure.unwrap_or_else(|| "its keys are being fetched for the first time".into());
        keys.is_none().then(|| IssuerWithoutKeys { pool: self.pool.clone(), issuer: self.issuer.clone(), reason })
    }

    /// Fetches the keys unless there are some.
    pub(super) async fn prefetch(self: &Arc<Self>, now_s: u64) {
        let fetch = self.single_flight.clone().lock_owned().await;
        if self.cached().keys.is_none() {
            self.refetch(fetch, now_s).await;
        }
    }

    /// Verifies the signature of a token, with keys that are fetched if that is necessary and allowed. Waits for one fetch at most.
    ///
    /// Cancel safe: a fetch that has started continues.
    pub(super) async fn verify(self: &Arc<Self>, token: &SignedMessage<'_>, now_s: u64) -> Result<(), TokenRefusal> {
        // No published key is a secret, so no fetch could bring one for this token.
        if token.header.algorithm.key_kind() == KeyKind::Secret {
            return Err(TokenRefusal::WrongAlgorithm);
        }
        let cached = self.cached();
        let verified = cached.verify(token);
        let age_s = cached.keys.is_some().then(|| elapsed_s(now_s, cached.fetched_s));
        let fetch = match key_need(age_s, verified.is_ok()) {
            KeyNeed::Nothing => return verified,
            KeyNeed::Refresh => match self.single_flight.clone().try_lock_owned() {
                Ok(fetch) => fetch,
                Err(_) => return verified,
            },
            KeyNeed::Fetch => self.single_flight.clone().lock_owned().await,
        };
        self.refetch(fetch, now_s).await;
        let fetched = self.cached();
        // The same keys would only verify the same signature once more.
        if fetched.has_keys_of(&cached) && fetched.failure.is_none() { verified } else { fetched.verify(token) }
    }

    /// Fetches the keys, unless the last fetch started recently, possibly while this caller waited for the lock.
    async fn refetch(self: &Arc<Self>, mut fetch: OwnedMutexGuard<FetchState>, now_s: u64) {
        let has_keys = self.cached().keys.is_some();
        let last_start_s = fetch.last_start_s.map(|then_s| elapsed_s(now_s, then_s));
        if !may_fetch(has_keys, last_start_s) {
            return;
        }
        fetch.last_start_s = Some(now_s);
        // The task ends within the fetch timeout, and releases the lock for the callers that wait.
        let task = tokio::spawn(self.clone().fetch(fetch, now_s));
        if let Err(error) = task.await {
            warn!(issuer = %self.issuer, %error, "fetch of issuer keys was interrupted");
        }
    }

    async fn fetch(self: Arc<Self>, mut fetch: OwnedMutexGuard<FetchState>, now_s: u64) {
        let (pool, issuer) = (&self.pool, &self.issuer);
        let fetched = tokio::time::timeout(self.fetcher.timeout(), self.get()).await;
        let fetched = fetched.unwrap_or_else(|_| Err("no complete response within the timeout".to_owned()));
        let keys = fetched.and_then(|(url, jwks)| {
            self.log_news(&jwks, &mut fetch.logged);
            KeySet::new(jwks.keys).ok_or_else(|| format!("{url}: the document contains no usable key"))
        });
        match keys {
            Ok(keys) => self.update(|cached| *cached = CachedKeys { keys: Some(keys.into()), fetched_s: now_s, failure: None }),
            Err(error) => {
                let CachedKeys { keys, failure, .. } = self.cached();
                match (failure.as_deref() == Some(error.as_str()), keys) {
                    // The log has said so, and nothing has changed.
                    (true, _) => debug!(%pool, %issuer, %error, "fetch of issuer keys failed again"),
                    (false, Some(_)) => warn!(%pool, %issuer, %error, "fetch of issuer keys failed, cached keys stay in use"),
                    (false, None) => {
                        warn!(%pool, %issuer, %error, "fetch of issuer keys failed, no token of the issuer is accepted until one succeeds")
                    }
                }
                self.update(|cached| cached.failure = Some(error.into()));
            }
        }
        drop(fetch);
    }

    async fn get(&self) -> Result<(Uri, Jwks), String> {
        let url = match &self.location {
            KeyLocation::Document(url) => url.clone(),
            KeyLocation::Discovered(metadata) => {
                let document = self.fetcher.get(&metadata.url).await.map_err(|error| format!("{}: {error}", metadata.url))?;
                metadata.keys_url(&document).map_err(|error| format!("{}: {error}", metadata.url))?
            }
        };
        let document = self.fetcher.get(&url).await.map_err(|error| format!("{url}: {error}"))?;
        let jwks = Jwks::read(&document).map_err(|error| format!("{url}: {error}"))?;
        Ok((url, jwks))
    }

    /// Logs what a document has, unless the last one had the same: forged tokens make the server fetch it every [`REFETCH_AFTER_S`](super::config::REFETCH_AFTER_S).
    fn log_news(&self, jwks: &Jwks, logged: &mut Option<DocumentNews>) {
        let mut flaws: Vec<_> = jwks.flaws.iter().map(ToString::to_string).collect();
        flaws.sort_unstable();
        let (pool, issuer, news) = (&self.pool, &self.issuer, DocumentNews { keys: jwks.keys.len(), flaws });
        if logged.as_ref() == Some(&news) {
            return debug!(%pool, %issuer, keys = news.keys, "issuer keys fetched");
        }
        info!(%pool, %issuer, keys = news.keys, "issuer keys fetched");
        if !news.flaws.is_empty() {
            let mut different = news.flaws.clone();
            different.dedup();
            warn!(%pool, %issuer, keys = news.flaws.len(), flaws = ?different, "issuer keys ignored");
        }
        *logged = Some(news);
    }

    // Readers and writers hold the lock for a few instructions that cannot panic, so a poisoned lock still protects a complete value.
    fn cached(&self) -> CachedKeys {
        self.cache.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut CachedKeys)) {
        change(&mut self.cache.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl CachedKeys {
    /// Verifies a signature with the cached keys. If the last fetch failed, the issuer may have a key that is not cached.
    fn verify(&self, token: &SignedMessage<'_>) -> Result<(), TokenRefusal> {
        match &self.keys {
            None => Err(TokenRefusal::KeysUnavailable),
            Some(keys) => {
                keys.verify(token).map_err(|refusal| if self.failure.is_some() { TokenRefusal::KeysUnavailable } else { refusal })
            }
        }
    }

    fn has_keys_of(&self, other: &Self) -> bool {
        match (&self.keys, &other.keys) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (None, None) => true,
            _ => false,
        }
    }
}
