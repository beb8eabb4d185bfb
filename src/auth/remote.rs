//! The keys that an issuer publishes at a URL, fetched when needed and cached.
//!
//! A token that needs keys triggers the fetch; there is no background refresh. Fetches are single-flight: at most one is in progress, at most
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
use super::key::VerificationKey;
use super::key_set::KeySet;
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

    /// The key for a token with this `kid`, fetched if that is necessary and allowed. Waits for one fetch at most.
    ///
    /// Cancel safe: a fetch that has started continues.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>, now_s: u64) -> Result<Arc<VerificationKey>, TokenRefusal> {
        let cached = self.cached();
        let fetch = match cached.need(kid, now_s) {
            KeyNeed::Nothing => return cached.choose(kid),
            KeyNeed::Refresh => match self.single_flight.clone().try_lock_owned() {
                Ok(fetch) => fetch,
                Err(_) => return cached.choose(kid),
            },
            KeyNeed::Fetch => self.single_flight.clone().lock_owned().await,
        };
        self.refetch(fetch, now_s).await;
        self.cached().choose(kid)
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
    fn need(&self, kid: Option<&str>, now_s: u64) -> KeyNeed {
        match &self.keys {
            None => key_need(None, false),
            // A token without `kid` is not helped by a fetch.
            Some(keys) => key_need(Some(elapsed_s(now_s, self.fetched_s)), kid.is_none() || keys.choose(kid).is_some()),
        }
    }

    /// The key, if it is cached. If the last fetch failed, a `kid` that is not cached may still exist at the issuer.
    fn choose(&self, kid: Option<&str>) -> Result<Arc<VerificationKey>, TokenRefusal> {
        match &self.keys {
            None => Err(TokenRefusal::KeysUnavailable),
            Some(keys) => match keys.choose(kid) {
                Some(key) => Ok(key.clone()),
                None if kid.is_some() && self.last_fetch_failed => Err(TokenRefusal::KeysUnavailable),
                None => Err(TokenRefusal::UnknownKey),
            },
        }
    }
}
