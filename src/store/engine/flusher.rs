//! The flusher thread: writes the rows of immutable memtables to the tree, then recycles their journal file.
//!
//! It must never write while the disk has too little space for the tree: a tree that meets a full disk may not open any more. It must never
//! recycle a file before all of its rows are durable in the tree. It must never write rows that an open scan would take for older ones
//! (`open_scans`). It holds no lock while it reads or writes the tree.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tracing::error;

use super::batch::Bytes;
use super::error::EngineError;
use super::journal::Journal;
use super::memtables::FrozenMemtable;
use super::shared_memtables::{FlushState, SharedMemtables};
use super::tree::Tree;
use super::{commit_counter, panics};

/// Bytes of rows that are written before the tree is made durable. The tree writes many times as much, and a commit that comes meanwhile
/// waits behind it on the same disk. Besides, sled frees segments as it goes, and must not reuse one long before the rows that were in it
/// are durable elsewhere.
const FLUSH_BYTES: usize = 64 << 10;

/// How often a flusher that waits for disk space tries again.
const SPACE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Returns an error while the disk has too little space for the tree to grow.
pub(super) type SpaceCheck = Box<dyn Fn() -> Result<(), EngineError> + Send>;

/// A row on its way to the tree, whose key was put together.
type FlushedRow<'a> = (Bytes, Option<&'a [u8]>);

pub(super) struct Flusher {
    pub tree: Arc<dyn Tree>,
    pub shared: Arc<SharedMemtables>,
    pub check_space: SpaceCheck,
    /// Whether the tree has panicked before, also before a recovery.
    pub panicked: Arc<AtomicBool>,
    /// Bytes that a recycled journal file keeps at most.
    pub kept_bytes: u64,
}

impl Flusher {
    /// Runs until the engine stops it and no job is left.
    pub(super) fn run(self) {
        loop {
            let job = {
                let is_idle = |state: &mut FlushState| state.job.is_none() && !state.stop;
                let state = self.shared.flush_state();
                self.shared.changed.wait_while(state, is_idle).unwrap_or_else(PoisonError::into_inner).job.take()
            };
            let Some(job) = job else { return };
            let outcome = panics::catch(|| self.flush(job.journal, job.frozen, job.next_generation))
                .unwrap_or_else(|panic| Err(self.panic_error(&panic)));
            let mut state = self.shared.flush_state();
            match outcome {
                Ok(spare) => state.spare = Some(spare),
                Err(error) => {
                    error!(%error, "flush failed: committed rows stay in the journal, writes are refused");
                    let _ = self.shared.failed.set(error);
                }
            }
            self.shared.changed.notify_all();
        }
    }

    /// Writes the rows of a memtable to the tree, in the order of their keys, and recycles its journal file.
    fn flush(&self, mut journal: Journal, frozen: FrozenMemtable, next_generation: u64) -> Result<Journal, EngineError> {
        let FrozenMemtable { memtable, earlier_scans } = frozen;
        if let Some(scans) = earlier_scans {
            scans.wait();
        }
        let (mut rows, mut bytes): (Vec<FlushedRow<'_>>, usize) = (Vec::new(), 0);
        // The engine's own rows go last: the commit count says what the tree holds, and a tree can lose its end (`commit_counter`).
        let own = memtable.rows.range(&[], commit_counter::FIRST_STORE_KEY);
        for (key, row) in memtable.rows.starting_at(commit_counter::FIRST_STORE_KEY) {
            bytes += key.len() + row.map_or(0, <[u8]>::len);
            rows.push((key, row));
            if bytes >= FLUSH_BYTES {
                self.write(&rows)?;
                rows.clear();
                bytes = 0;
            }
        }
        self.write(&rows)?;
        self.write(&own.collect::<Vec<_>>())?;
        // A file system that overwrites nothing in place needs space for it.
        self.retry_while_full(|| journal.recycle(next_generation, self.kept_bytes))?;
        self.shared.memtables.forget_immutable();
        Ok(journal)
    }

    fn write(&self, rows: &[FlushedRow<'_>]) -> Result<(), EngineError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.retry_while_full(|| (self.check_space)())?;
        self.tree.write(&rows.iter().map(|(key, row)| (key.as_slice(), *row)).collect::<Vec<_>>())
    }

    /// Tries again while the disk is full. Fails if the engine is closed meanwhile; the rows that are not flushed stay in the journal.
    fn retry_while_full(&self, mut attempt: impl FnMut() -> Result<(), EngineError>) -> Result<(), EngineError> {
        loop {
            // Without the lock, because it asks the disk.
            let outcome = attempt();
            let mut state = self.shared.flush_state();
            let error = match outcome {
                Err(error @ EngineError::Full(_)) if !state.stop => error,
                other => {
                    state.waiting_for_space = None;
                    return other;
                }
            };
            state.waiting_for_space = Some(error);
            self.shared.changed.notify_all();
            drop(self.shared.changed.wait_timeout(state, SPACE_CHECK_INTERVAL).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The error for a panic of the tree. The first one may be transient, and reopening the engine may help; a damaged page panics again.
    fn panic_error(&self, panic: &str) -> EngineError {
        let why = format!("the journal cannot be flushed to the tree ({panic})");
        match self.panicked.swap(true, Ordering::Relaxed) {
            false => EngineError::Io(why),
            true => EngineError::Damaged(why),
        }
    }
}
