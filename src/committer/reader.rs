//! Reads beside the committer: on a thread that may block. What they find is durable.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::warn;

use super::read_queue::READ_BYTES;
use super::reader_pool::ReaderPool;
use super::unavailable::Unavailable;
use crate::metrics::Metrics;
use crate::store::{Identity, Store, StoreError};

/// Threads that read: enough to keep a disk busy while most reads are served from memory.
const READER_THREADS: usize = 8;

/// Whose turn a read takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReadOwner {
    Identity(Identity),
    /// A login whose identity is not known yet, by its subject.
    Login(String),
    /// The server's own work, and what an operator asks.
    Server,
}

impl From<&Identity> for ReadOwner {
    fn from(identity: &Identity) -> ReadOwner {
        ReadOwner::Identity(identity.clone())
    }
}

/// Reads the store. Clones share the threads.
#[derive(Clone)]
pub struct Reader {
    store: Store,
    pool: Arc<ReaderPool<ReadOwner>>,
    metrics: Metrics,
}

impl Reader {
    /// Starts the reading threads.
    pub fn start(store: Store) -> std::io::Result<Reader> {
        Reader::with_threads(store, READER_THREADS)
    }

    pub(super) fn with_threads(store: Store, threads: usize) -> std::io::Result<Reader> {
        Ok(Reader { store, pool: Arc::new(ReaderPool::start(threads)?), metrics: Metrics::default() })
    }

    /// The same reader, which counts its reads here.
    pub fn counted_in(self, metrics: Metrics) -> Reader {
        Reader { metrics, ..self }
    }

    /// The store itself, for constants of the store (its epoch) that need no thread.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs `read` on a reading thread when it is its owner's turn. For a read of a few rows.
    pub async fn read<T, F>(&self, owner: impl Into<ReadOwner>, read: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    {
        self.read_counted(owner, read, |_| 0).await
    }

    /// The same for a read that can return much: `bytes_of` says how much, and its owner's next turn comes the later.
    pub async fn read_counted<T, F>(
        &self,
        owner: impl Into<ReadOwner>,
        read: F,
        bytes_of: impl FnOnce(&T) -> usize + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    {
        let (store, metrics, (reply, result)) = (self.store.clone(), self.metrics.clone(), oneshot::channel());
        let job = move || {
            // The caller may have gone while the read was queued.
            if reply.is_closed() {
                return 0;
            }
            let found = read(&store);
            let bytes = found.as_ref().map_or(0, bytes_of);
            metrics.read(READ_BYTES + bytes);
            let _ = reply.send(found);
            bytes
        };
        self.pool.submit(owner.into(), Box::new(job));
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
