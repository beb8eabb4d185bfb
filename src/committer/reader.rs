//! Reads beside the committer: on a thread that may block, and held back until what was read is durable.

use tracing::warn;

use super::{Gate, Unavailable};
use crate::store::{Store, StoreError};

/// Reads the store; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    store: Store,
    gate: Gate,
}

impl Reader {
    /// Over a store and its committer's gate.
    pub fn new(store: Store, gate: Gate) -> Reader {
        Reader { store, gate }
    }

    /// The store, for what never changes.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads something.
    pub async fn read<T, F>(&self, read: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    {
        let entered = self.gate.enter();
        let store = self.store.clone();
        let found = tokio::task::spawn_blocking(move || read(&store)).await.map_err(|_| Unavailable::Now)?;
        self.gate.pass(entered).await?;
        found.map_err(|error| {
            warn!(%error, "a read failed");
            Unavailable::Now
        })
    }
}
