//! Batches of rows: the unit of an atomic commit.

/// The largest value of one row, in bytes. sled moves larger values to files of their own that it never syncs; with segments of 8 MiB it
/// does so above 128 KiB, and this bound stays well below. The store splits larger values.
pub const ROW_BYTES: usize = 48 * 1024;

/// A row's key or value.
pub type Bytes = Vec<u8>;

/// Rows to set and to delete together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The rows that the decision was based on, with their values at that time; `None`: the row did not exist. The batch is applied only if
    /// all of them are unchanged.
    pub preconditions: Vec<(Bytes, Option<Bytes>)>,
    /// New values; `None` deletes.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
}

/// The outcome of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    Applied,
    /// A precondition no longer holds; no row of the batch was applied.
    Stale,
}
