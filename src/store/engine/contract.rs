//! What every engine promises. `contract_tests` runs one set of tests against each of them.

use super::batch::{Batch, Bytes, CommitOutcome, Fence, Owner};
use super::error::EngineError;

/// One ordered key space on some storage.
///
/// **Isolation.** A `scan` sees one state of the store: all of a batch or nothing of it, whatever is committed meanwhile. Two calls of
/// `scan` or `get` may see two states. What a read returns is durable.
///
/// **Fences.** A writer that decides on rows takes the fence of their owner *first*, then reads, and names the fence in the batch. A batch is applied
/// only if no commit to any of its owners was applied since. The owners of the batches of one call differ, so none of them waits for another. A
/// batch with rows raises the fences of its owners by at least one: a writer that finds a fence one above the one it named knows that nobody else
/// has committed.
///
/// **Atomicity.** All rows of a batch are applied or none, now and after any crash.
///
/// **Order and durability.** Calls are applied one after the other, whichever thread makes them. When `commit` returns success, all of it
/// survives a crash of the process and a loss of power. A crash leaves a prefix of the commits.
///
/// **Errors.** After [`EngineError::Damaged`] and [`EngineError::Full`] nothing of the call was applied, and the engine stays usable. After
/// any other error of `commit` what became of its batches is unknown, and every call is refused until [`Engine::recover`] succeeds.
pub trait Engine: Send + Sync {
    /// The value of a row.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Up to `limit` rows from `start` on, below `end`, in the order of their bytes. A range that ends before it starts is empty.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError>;

    /// The fence of an owner. One that owns nothing yet has one, too.
    fn fence(&self, owner: &Owner) -> Fence;

    /// Applies the batches whose fences stand, and makes them durable together. A batch without rows is only compared.
    fn commit(&self, batches: Vec<Batch>) -> Result<Vec<CommitOutcome>, EngineError>;

    /// The answers of the last commit are sent: the engine does here what they need not wait for.
    fn after_answers(&self) {}

    /// Bytes that the store takes.
    fn bytes_on_disk(&self) -> Result<u64, EngineError>;

    /// Whether a commit failed and the engine has not recovered since: every call returns [`EngineError::Failed`].
    fn is_failed(&self) -> bool;

    /// Makes a failed engine usable again, once running reads are done. A commit with an unknown outcome is then either fully there or not at
    /// all. An error says why that is not possible now; the caller may try again.
    fn recover(&self) -> Result<(), EngineError>;
}
