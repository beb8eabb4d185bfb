//! The rows above the tree: an active memtable, which takes the rows of commits, and an immutable one, which is being flushed.
//!
//! Reads look here first, then in the tree. The lock is held while rows in memory are looked up, copied or set, never while the tree or
//! the journal is read or written: nobody waits here for the disk of another.

use super::batch::Bytes;
use super::error::EngineError;
use super::memtable::{Chunk, Memtable, MemtableVersion, RowValue, WrittenOnce};
use super::open_scans::{OpenScans, ScansEnded};
use super::primitives::{Arc, PoisonError, RwLock, RwLockReadGuard};
use super::tree::Tree;

pub(super) struct Memtables(RwLock<MemtablePair>);

struct MemtablePair {
    active: Memtable,
    /// Hides the tree's rows until all of its own are there.
    immutable: Option<Arc<Memtable>>,
    /// The scans that began since the active memtable is the active one.
    scans: Arc<OpenScans>,
}

/// A memtable that takes no more rows, ready to be flushed.
pub(super) struct FrozenMemtable {
    pub memtable: Arc<Memtable>,
    /// The end of the scans that began before it was frozen; `None`: there were none yet.
    pub earlier_scans: Option<Arc<ScansEnded>>,
}

/// The memtables as one moment had them, for a scan.
pub(super) struct Snapshot {
    /// The active memtable, if the scan will need more than its first chunk.
    version: Option<MemtableVersion>,
    pub immutable: Option<Arc<Memtable>>,
    scans: Arc<OpenScans>,
}

impl Memtables {
    pub(super) fn new(active: Memtable, immutable: Option<Arc<Memtable>>) -> Memtables {
        Memtables(RwLock::new(MemtablePair { active, immutable, scans: Arc::new(OpenScans::new()) }))
    }

    fn lock(&self) -> RwLockReadGuard<'_, MemtablePair> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a row, from the memtables or else from the tree.
    ///
    /// The tree may have a newer value by the time that it is read, of a memtable that was active at the look-up and is being flushed. That
    /// is no harm to a single row: it was set during this call.
    pub(super) fn get(&self, tree: &dyn Tree, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.lock().find(key);
        found.map_or_else(|| tree.get(key), Ok)
    }

    /// Makes the rows of a commit visible, all at once. Returns the bytes of the active memtable.
    pub(super) fn apply(&self, rows: &[(Bytes, RowValue)], is_written_once: WrittenOnce) -> usize {
        let mut pair = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let unneeded = pair.active.apply(rows, is_written_once);
        let bytes = pair.active.memory_bytes();
        // Freed without the lock.
        drop(pair);
        drop(unneeded);
        bytes
    }

    /// Turns the active memtable into the immutable one and starts an empty one.
    pub(super) fn rotate(&self) -> FrozenMemtable {
        let mut pair = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let memtable = Arc::new(std::mem::take(&mut pair.active));
        let earlier_scans = pair.scans.freeze(&memtable);
        pair.immutable = Some(Arc::clone(&memtable));
        pair.scans = Arc::new(OpenScans::new());
        FrozenMemtable { memtable, earlier_scans: Some(earlier_scans) }
    }

    /// Drops the immutable memtable: the tree has its rows.
    pub(super) fn forget_immutable(&self) {
        let flushed = self.0.write().unwrap_or_else(PoisonError::into_inner).immutable.take();
        // Freed without the lock.
        drop(flushed);
    }

    /// Begins a scan that needs up to `limit` rows of a range, with the first chunk of the active memtable. While the snapshot lives, no
    /// later rows are flushed to the tree.
    pub(super) fn snapshot(&self, start: &[u8], end: &[u8], limit: usize) -> (Chunk, Snapshot) {
        let pair = self.lock();
        let first = pair.active.chunk(start, end, limit);
        let version = first.next.is_some().then(|| pair.active.version());
        (first, Snapshot { version, immutable: pair.immutable.clone(), scans: Arc::clone(&pair.scans) })
    }

    /// The next rows of the memtable that was active when a scan began.
    pub(super) fn next_chunk(&self, snapshot: &Snapshot, start: &[u8], end: &[u8], wanted: usize) -> Chunk {
        let Some(version) = &snapshot.version else { return Chunk::default() };
        let pair = self.lock();
        let Some(frozen) = snapshot.scans.frozen() else { return pair.active.chunk_at(version, start, end, wanted) };
        drop(pair);
        frozen.chunk_at(version, start, end, wanted)
    }

    #[cfg(test)]
    pub(super) fn has_immutable(&self) -> bool {
        self.lock().immutable.is_some()
    }

    pub(super) fn is_active_empty(&self) -> bool {
        self.lock().active.is_empty()
    }
}

impl MemtablePair {
    /// A row as the memtables have it; `None`: it is in neither.
    fn find(&self, key: &[u8]) -> Option<RowValue> {
        let row = self.active.rows.get(key).or_else(|| self.immutable.as_ref()?.rows.get(key))?;
        Some(row.map(<[u8]>::to_vec))
    }
}
