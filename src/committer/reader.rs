//! Reads beside the committer: on a thread that may block. A result is returned only when the rows that were read are durable.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::warn;

use super::gate::DurabilityGate;
use super::reader_pool::ReaderPool;
use super::unavailable::Unavailable;
use crate::store::{Store, StoreError};

/// Threads that read: enough to keep a disk busy while most reads are served from memory.
const READER_THREADS: usize = 8;

/// Reads the store. Clones share the threads.
#[derive(Clone)]
pub struct Reader {
    store: Store,
    gate: DurabilityGate,
    pool: Arc<ReaderPool>,
}

impl Reader {
    /// Starts the reading threads. `gate` is the gate of the store's committer.
    pub fn start(store: Store, gate: DurabilityGate) -> std::io::Result<Reader> {
        Reader::with_threads(store, gate, READER_THREADS)
    }

    pub(super) fn with_threads(store: Store, gate: DurabilityGate, threads: usize) -> std::io::Result<Reader> {
        Ok(Reader { store, gate, pool: Arc::new(ReaderPool::start(threads)?) })
    }

    /// The store itself, for constants of the store (its epoch) that need neither thread nor gate.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs `read` on a reading thread, and returns its result once the rows it read are durable.
    pub async fn read<T, F>(&self, read: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    {
        let ticket = self.gate.ticket();
        let (store, (reply, result)) = (self.store.clone(), oneshot::channel());
        self.pool.submit(Box::new(move || {
            // The caller may have gone while the read was queued.
            if !reply.is_closed() {
                let _ = reply.send(read(&store));
            }
        }));
        let found = result.await.map_err(|_| Unavailable::Now)?;
        self.gate.pass(ticket).await?;
        found.map_err(|error| {
            warn!(%error, "read failed");
            Unavailable::Now
        })
    }
}
