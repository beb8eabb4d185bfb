//! What stands below the journal: a sorted set of rows on disk.

use super::{Bytes, EngineError};

/// A row to set or to delete (`None`).
pub(super) type Row<'a> = (&'a [u8], Option<&'a [u8]>);

/// Rows in the order of their keys. It promises less than an engine: rows that are written together may be seen, and after a crash be found,
/// some without the others. [`super::journaled`] makes an engine of it.
pub(super) trait Tree: Send + Sync {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Up to `limit` rows from `start` on, below `end`, in order. A range that ends before it starts is empty.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError>;

    /// Sets and deletes rows, each key at most once. When it returns they survive a loss of power; an error leaves open which of them are there.
    fn write(&self, rows: &[Row<'_>]) -> Result<(), EngineError>;

    /// Bytes that it takes on disk.
    fn bytes_on_disk(&self) -> Result<u64, EngineError>;
}
