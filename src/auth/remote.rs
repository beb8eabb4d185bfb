//! The keys that an issuer publishes at a URL, fetched when needed and cached.
//!
//! A token that no cached key verifies triggers a fetch, and so does one that meets an old cache; there is no background refresh. Fetches are
//! single-flight: at most one is in progress, at most
//! one starts in [`REFETCH_AFTER_S`](super::config::REFETCH_AFTER_S), and logins that need its result wait for it. A fetch continues after the
//! login that started it was cancelled: otherwise an attacker could start and abandon every fetch, and new keys would never arrive. A
//! failed fetch changes nothing: the cached keys stay in use.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::Uri;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::{info, warn};

use super::fetcher::Fetcher;
use super::freshness::{KeyNeed, elapsed_s, key_need, may_fetch};
use super::jwks::Jwks;
use super::key_set::{KeySet, SignedMessage};
use super::refusal::TokenRefusal;

/// The published keys of one issuer.
pub(super) struct RemoteKeys {
    issuer: Arc<str>,
    url: Uri,
    fetcher: Fetcher,
    cache: RwLock<CachedKeys>,
    /// Locked while a fetch is in progress.
    single_flight: Arc<Mutex<FetchState>>,
}

#[derive(Clone, Default)]
struct CachedKeys {
    keys: Option<Arc<KeySet>>,
    fetched_s: u64,
    last_fetch_failed: bool,
}

#[derive(Default)]
struct FetchState {
    last_start_s: Option<u64>,
}

impl RemoteKeys {
    /// The keys of an issuer, not fetched yet.
    pub(super) fn new(issuer: Arc<str>, url: Uri, fetcher: Fetcher) -> Self {
        Self { issuer, url, fetcher, cache: RwLock::default(), single_flight: Arc::default() }
    }

    /// Verifies the signature of a token, with keys that are fetched if that is necessary and allowed. Waits for one fetch at most.
    ///
    /// Cancel safe: a fetch that has started continues.
    pub(super) async fn verify(self: &Arc<Self>, token: &SignedMessage<'_>, now_s: u64) -> Result<(), TokenRefusal> {
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
        if fetched.has_keys_of(&cached) && !fetched.last_fetch_failed { verified } else { fetched.verify(token) }
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

    async fn fetch(self: Arc<Self>, fetch: OwnedMutexGuard<FetchState>, now_s: u64) {
        match self.get().await {
            Ok(keys) => {
                info!(issuer = %self.issuer, keys = keys.len(), "issuer keys fetched");
                self.update(|cached| *cached = CachedKeys { keys: Some(keys.into()), fetched_s: now_s, last_fetch_failed: false });
            }
            Err(error) => {
                warn!(issuer = %self.issuer, %error, "fetch of issuer keys failed, cached keys stay in use");
                self.update(|cached| cached.last_fetch_failed = true);
            }
        }
        drop(fetch);
    }

    async fn get(&self) -> Result<KeySet, String> {
        let document = self.fetcher.get(&self.url).await.map_err(|error| error.to_string())?;
        let jwks = Jwks::read(&document).map_err(|error| error.to_string())?;
        for flaw in &jwks.flaws {
            warn!(issuer = %self.issuer, %flaw, "issuer key ignored");
        }
        KeySet::new(jwks.keys).ok_or_else(|| "the document contains no usable key".to_owned())
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
                keys.verify(token).map_err(|refusal| if self.last_fetch_failed { TokenRefusal::KeysUnavailable } else { refusal })
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
