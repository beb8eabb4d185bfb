//! Batches of rows: the unit of an atomic commit.

use std::borrow::Borrow;
use std::sync::Arc;

/// The largest value of one row, in bytes. sled moves larger values to files of their own that it never syncs; with segments of 8 MiB it
/// does so above 128 KiB, and this bound stays well below. The store splits larger values.
pub const ROW_BYTES: usize = 48 * 1024;

/// A row's key or value.
pub type Bytes = Vec<u8>;

/// New values of rows; `None` deletes. Of two changes of one row the later one counts.
pub type RowBatch = Vec<(Bytes, Option<Bytes>)>;

/// The id of whose rows they are: what an owner's fence is kept for. The store derives it from the keys of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<[u8]>);

/// How far the commits to an owner are: every commit to it raises its fence, by any number.
pub type Fence = u64;

/// Rows to set and to delete together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The owners of all rows that the decision has read or writes, each with its fence as it was before the first of those reads. The batch is
    /// applied only if none of them was raised since.
    pub fences: Vec<(Owner, Fence)>,
    pub rows: RowBatch,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    Applied,
    /// The fence of an owner was raised since: no row of the batch was applied, and its decision has to be made again.
    Stale,
}

impl Batch {
    /// Rows of a store that nobody else writes to.
    pub fn unfenced(rows: RowBatch) -> Batch {
        Batch { fences: Vec::new(), rows }
    }
}

impl From<&[u8]> for Owner {
    fn from(id: &[u8]) -> Owner {
        Owner(id.into())
    }
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Owner {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}
