//! The issuers that the pools trust, as they are now: they change while tokens are verified.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::config_error::IssuerConfigError;
use super::fetcher::Fetchers;
use super::issuers::TrustedIssuers;

/// A table that is replaced as a whole: a token is verified with the table that it was found in.
pub(super) struct SharedIssuers {
    current: RwLock<Arc<TrustedIssuers>>,
    /// Also the order of changes.
    fetchers: Mutex<Fetchers>,
}

impl SharedIssuers {
    /// No issuers yet.
    pub(super) fn new(fetchers: Fetchers) -> SharedIssuers {
        SharedIssuers { current: RwLock::default(), fetchers: Mutex::new(fetchers) }
    }

    pub(super) fn current(&self) -> Arc<TrustedIssuers> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes a copy of the table, which takes its place unless there is an error. Reads files while no token waits.
    pub(super) fn change(
        &self,
        change: impl FnOnce(&mut TrustedIssuers, &mut Fetchers) -> Result<(), IssuerConfigError>,
    ) -> Result<(), IssuerConfigError> {
        let mut fetchers = self.fetchers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = TrustedIssuers::clone(&self.current());
        change(&mut changed, &mut fetchers)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(changed);
        Ok(())
    }
}
