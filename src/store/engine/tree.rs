//! The storage below the journal: a sorted set of rows on disk.

use super::batch::Bytes;
use super::error::EngineError;

/// A row to set or to delete (`None`).
pub(super) type RowChange<'a> = (&'a [u8], Option<&'a [u8]>);

/// Rows in the order of their keys. A tree promises less than an engine: rows that are written together may become visible, and be found
/// after a crash, without each other. [`super::journaled`] adds the rest.
pub(super) trait Tree: Send + Sync {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Up to `limit` rows from `start` on, below `end`, in order. A range that ends before it starts is empty. Rows that are written
    /// meanwhile may be missing or have either value; all other rows are there.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError>;

    /// Sets and deletes rows, each key at most once. On success they survive a loss of power; after an error any of them may be there.
    fn write(&self, rows: &[RowChange<'_>]) -> Result<(), EngineError>;

    /// Bytes that the tree takes on disk.
    fn bytes_on_disk(&self) -> Result<u64, EngineError>;
}
