//! What every engine promises. The suite (`suite.rs`) holds each of them to it.

use super::{Batch, Bytes, Committed, EngineError};

/// One ordered key space on some storage.
///
/// **Isolation.** A call of `scan` sees one state of the store: all of a batch or nothing of it, whatever is committed meanwhile.
/// Two calls, of `scan` or of `get`, may see two states. What is seen may not be durable yet; whoever shows it to the outside waits for the
/// covering commit to return.
///
/// **Atomicity.** Of a batch all rows are applied or none, now and after any crash. It is applied only if its guards hold on what stands
/// before it, the earlier batches of the same call included.
///
/// **Order and durability.** The batches of a call are applied in order, the calls one after the other, whichever thread they come from. When
/// `commit` returns success, all of it survives a crash of the process and a loss of power. What is found after a crash is a prefix of what
/// was committed.
///
/// **Errors.** After [`EngineError::Damaged`] and [`EngineError::Full`] nothing of the call was applied, and the engine can be used further.
/// After any other error of `commit` its outcome is unknown, and the engine may show rows that are not durable and never will be: it is
/// dropped and opened again before anything more is asked of it.
pub trait Engine: Send + Sync {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Up to `limit` rows from `start` on, below `end`, in the order of their bytes. A range that ends before it starts is empty.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError>;

    /// Applies batches in order and makes them durable together.
    fn commit(&self, batches: Vec<Batch>) -> Result<Vec<Committed>, EngineError>;

    /// Bytes that the store takes on disk.
    fn bytes_on_disk(&self) -> Result<u64, EngineError>;
}
