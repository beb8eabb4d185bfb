//! What every engine promises. `contract_tests` runs one set of tests against each of them.

use super::batch::{Batch, Bytes, Committed};
use super::error::EngineError;

/// One ordered key space on some storage.
///
/// **Isolation.** A `scan` sees one state of the store: all of a batch or nothing of it, whatever is committed meanwhile. Two calls of
/// `scan` or `get` may see two states. A read may return rows that are not durable yet; before they leave the process, the reader waits for
/// the covering commit to return.
///
/// **Atomicity.** All rows of a batch are applied or none, now and after any crash. A batch is applied only if its preconditions hold on
/// the state before it, the earlier batches of the same call included.
///
/// **Order and durability.** The batches of a call are applied in order, and calls one after the other, whichever thread makes them. When
/// `commit` returns success, all of it survives a crash of the process and a loss of power. A crash leaves a prefix of the commits.
///
/// **Errors.** After [`EngineError::Damaged`] and [`EngineError::Full`] nothing of the call was applied, and the engine stays usable. After
/// any other error of `commit` its outcome is unknown, and the engine may show rows that are not durable and never will be: the caller must
/// drop it and open it again before any other call.
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
