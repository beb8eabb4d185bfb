//! The storage below the embedded engine: one ordered key space whose writes are atomic and durable.

use super::batch::{Bytes, RowBatch};
use super::error::EngineError;

/// Rows in the order of their keys. What a read returns is durable; a scan sees all of a write or nothing of it.
///
/// After [`EngineError::Damaged`] and [`EngineError::Full`] nothing of a write was applied. After any other error the outcome of a write is
/// unknown, and the caller must drop the storage and open it again before any other call.
pub(super) trait RowStore: Send + Sync {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Up to `limit` rows from `start` on, below `end`, in order. A range that ends before it starts is empty.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError>;

    /// Applies all of the rows, of which there is at least one, or none, and makes them durable.
    fn write(&self, rows: RowBatch) -> Result<(), EngineError>;

    /// Bytes that the rows take on disk.
    fn bytes_on_disk(&self) -> Result<u64, EngineError>;
}
