//! Reads beside the committer: on a thread that may block. What they find is durable.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::warn;

use super::reader_pool::ReaderPool;
use super::unavailable::Unavailable;
use crate::store::{Store, StoreError};

/// Threads that read: enough to keep a disk busy while most reads are served from memory.
const READER_THREADS: usize = 8;

/// Reads the store. Clones share the threads.
#[derive(Clone)]
pub struct Reader {
    store: Store,
    pool: Arc<ReaderPool>,
}

impl Reader {
    /// Starts the reading threads.
    pub fn start(store: Store) -> std::io::Result<Reader> {
        Reader::with_threads(store, READER_THREADS)
    }

    pub(super) fn with_threads(store: Store, threads: usize) -> std::io::Result<Reader> {
        Ok(Reader { store, pool: Arc::new(ReaderPool::start(threads)?) })
    }

    /// The store itself, for constants of the store (its epoch) that need no thread.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs `read` on a reading thread.
    pub async fn read<T, F>(&self, read: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    {
        let (store, (reply, result)) = (self.store.clone(), oneshot::channel());
        self.pool.submit(Box::new(move || {
            // The caller may have gone while the read was queued.
            if !reply.is_closed() {
                let _ = reply.send(read(&store));
            }
        }));
        let found = result.await.map_err(|_| Unavailable::Now)?;
        found.map_err(|error| {
            // That the store failed was logged once.
            if !matches!(error, StoreError::Failed(_)) {
                warn!(%error, "read failed");
            }
            Unavailable::Now
        })
    }
}
