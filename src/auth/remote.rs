//! The keys that an issuer publishes at a URL, kept at hand.
//!
//! They are fetched when a token needs them and never in the background. At most one fetch is under way, at most one
//! starts in [`REFETCH_AFTER_S`](super::config::REFETCH_AFTER_S), and who needs its outcome waits for it. A fetch goes on
//! when the login that caused it has gone away: otherwise a stranger could start and abandon each one in turn, and new
//! keys would never arrive. What fails changes nothing: the keys at hand stay in use.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::Uri;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::{info, warn};

use super::fetcher::Fetcher;
use super::freshness::{Need, elapsed_s, may_fetch, need};
use super::jwks::Jwks;
use super::key::Key;
use super::key_set::KeySet;
use super::refusal::TokenRefusal;

/// An issuer's published keys.
pub(super) struct Remote {
    issuer: Arc<str>,
    url: Uri,
    fetcher: Fetcher,
    held: RwLock<Held>,
    /// Locked while a fetch is under way.
    flight: Arc<Mutex<Flight>>,
}

/// The keys at hand.
#[derive(Clone, Default)]
struct Held {
    keys: Option<Arc<KeySet>>,
    fetched_s: u64,
    last_fetch_failed: bool,
}

#[derive(Default)]
struct Flight {
    last_start_s: Option<u64>,
}

impl Remote {
    /// An issuer whose keys have not been fetched yet.
    pub(super) fn new(issuer: Arc<str>, url: Uri, fetcher: Fetcher) -> Self {
        Self { issuer, url, fetcher, held: RwLock::default(), flight: Arc::default() }
    }

    /// The key for a token with this `kid`, fetched if that is needed and allowed. Waits for one fetch at most.
    ///
    /// Cancel safe: a fetch that has started goes on.
    pub(super) async fn key(self: &Arc<Self>, kid: Option<&str>, now_s: u64) -> Result<Arc<Key>, TokenRefusal> {
        let held = self.held();
        let flight = match held.need(kid, now_s) {
            Need::Nothing => return held.choose(kid),
            Need::Fresher => match self.flight.clone().try_lock_owned() {
                Ok(flight) => flight,
                Err(_) => return held.choose(kid),
            },
            Need::Keys => self.flight.clone().lock_owned().await,
        };
        self.refetch(flight, now_s).await;
        self.held().choose(kid)
    }

    /// Fetches, unless that was done not long ago: by another while we waited for the lock, for example.
    async fn refetch(self: &Arc<Self>, mut flight: OwnedMutexGuard<Flight>, now_s: u64) {
        let keys_at_hand = self.held().keys.is_some();
        let last_start_s = flight.last_start_s.map(|then_s| elapsed_s(now_s, then_s));
        if !may_fetch(keys_at_hand, last_start_s) {
            return;
        }
        flight.last_start_s = Some(now_s);
        // The task ends by itself: a fetch has a timeout. It frees the lock for those who wait.
        let task = tokio::spawn(self.clone().fetch(flight, now_s));
        if let Err(error) = task.await {
            warn!(issuer = %self.issuer, %error, "fetching an issuer's keys was cut off");
        }
    }

    async fn fetch(self: Arc<Self>, flight: OwnedMutexGuard<Flight>, now_s: u64) {
        match self.get().await {
            Ok(keys) => {
                info!(issuer = %self.issuer, keys = keys.len(), "fetched an issuer's keys");
                self.hold(|held| *held = Held { keys: Some(keys.into()), fetched_s: now_s, last_fetch_failed: false });
            }
            Err(error) => {
                warn!(issuer = %self.issuer, %error, "could not fetch an issuer's keys, those at hand stay in use");
                self.hold(|held| held.last_fetch_failed = true);
            }
        }
        drop(flight);
    }

    async fn get(&self) -> Result<KeySet, String> {
        let document = self.fetcher.get(&self.url).await.map_err(|error| error.to_string())?;
        let jwks = Jwks::read(&document).map_err(|error| error.to_string())?;
        for flaw in &jwks.flaws {
            warn!(issuer = %self.issuer, %flaw, "passing over an issuer's key");
        }
        KeySet::new(jwks.keys).ok_or_else(|| "no key in the document can be used".to_owned())
    }

    // Both sides of the lock hold it for a few instructions that cannot panic, so a poisoned one is whole all the same.
    fn held(&self) -> Held {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, change: impl FnOnce(&mut Held)) {
        change(&mut self.held.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Held {
    fn need(&self, kid: Option<&str>, now_s: u64) -> Need {
        match &self.keys {
            None => need(None, false),
            // That a token has no kid is not cured by other keys.
            Some(keys) => need(Some(elapsed_s(now_s, self.fetched_s)), kid.is_none() || keys.choose(kid).is_some()),
        }
    }

    /// A key that is not at hand may exist if the issuer could not be asked just now.
    fn choose(&self, kid: Option<&str>) -> Result<Arc<Key>, TokenRefusal> {
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
