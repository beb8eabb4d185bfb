//! What everything about accounts is done with: the store, the keyring, and the policies that were read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::grants_cache::GrantsCache;
use crate::clock::Clock;
use crate::committer::{Committer, Reader, Unavailable};
use crate::keyring::{Keyring, OpenError, SharedKeyring};

/// The accounts of a server. Clones share them.
#[derive(Clone)]
pub struct Accounts {
    pub(super) reader: Reader,
    pub(super) committer: Committer,
    pub(super) keyring: SharedKeyring,
    pub(super) clock: Clock,
    pub(super) grants_cache: GrantsCache,
    renewals: Arc<KeyringRenewals>,
}

impl Accounts {
    pub fn new(reader: Reader, committer: Committer, keyring: SharedKeyring, clock: Clock) -> Accounts {
        Accounts { reader, committer, keyring, clock, grants_cache: GrantsCache::default(), renewals: Arc::default() }
    }

    /// What the keyring opens. If its generation is not known, another server of this store may have made it a moment ago: the store's keys are read
    /// again, at most once a second, because anybody can name a generation.
    pub(super) async fn opened<T>(&self, open: impl Fn(&Keyring) -> Result<T, OpenError>) -> Result<Result<T, OpenError>, Unavailable> {
        match open(&self.keyring.current()) {
            Err(OpenError::UnknownGeneration) if self.renewals.is_due(self.clock.unix_ms()) => {
                self.keyring.refresh().await.map_err(|_| Unavailable::Now)?;
                Ok(open(&self.keyring.current()))
            }
            opened => Ok(opened),
        }
    }
}

/// When the store's keys were last read again.
#[derive(Default)]
struct KeyringRenewals(AtomicU64);

impl KeyringRenewals {
    /// How often they may be, in milliseconds.
    const EVERY_MS: u64 = 1000;

    /// Whether they may be read again; if so, that is noted.
    fn is_due(&self, now_ms: u64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        // A clock that was set back does not stop it.
        let is_due = now_ms >= last.saturating_add(Self::EVERY_MS) || now_ms < last;
        is_due && self.0.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
