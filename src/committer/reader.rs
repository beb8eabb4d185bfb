//! Reads beside the committer: on a thread that may block, and held back until what was read is durable.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::warn;

use super::readers::Readers;
use super::{Gate, Unavailable};
use crate::store::{Store, StoreError};

/// Threads that read: enough to keep a disk busy while most of what is read is in memory.
const READERS: usize = 8;

/// Reads the store; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    store: Store,
    gate: Gate,
    readers: Arc<Readers>,
}

impl Reader {
    /// Over a store and its committer's gate.
    pub fn start(store: Store, gate: Gate) -> std::io::Result<Reader> {
        Reader::with(store, gate, READERS)
    }

    pub(super) fn with(store: Store, gate: Gate, threads: usize) -> std::io::Result<Reader> {
        Ok(Reader { store, gate, readers: Arc::new(Readers::start(threads)?) })
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
        let (store, (reply, answer)) = (self.store.clone(), oneshot::channel());
        self.readers.hand_in(Box::new(move || {
            // Whoever asked may have gone while it waited.
            if !reply.is_closed() {
                let _ = reply.send(read(&store));
            }
        }));
        let found = answer.await.map_err(|_| Unavailable::Now)?;
        self.gate.pass(entered).await?;
        found.map_err(|error| {
            warn!(%error, "a read failed");
            Unavailable::Now
        })
    }
}
