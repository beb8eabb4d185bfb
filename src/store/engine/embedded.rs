//! The engine that lives in a data folder of this machine: it returns an answer or an error whatever happens below.
//!
//! - A panic of the engine is an error ([`EngineError::Damaged`]) and never ends the calling thread.
//! - After a commit with an unknown outcome every call is refused, because the engine may show rows that were never durable.
//!   [`EmbeddedEngine::recover`] opens it again, on what is on disk.
//! - Free space is checked before a commit (`free_space`), and commits are counted (`commit_counter`).
//! - Rows whose key begins with a zero byte are the engine's own; the store has none.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tracing::{debug, error};

use super::batch::{Batch, Bytes, CommitOutcome, Fence, Owner, ROW_BYTES, RowBatch};
use super::commit_counter::{self, CommitCounter};
use super::config::EngineConfig;
use super::contract::Engine;
use super::data_folder::DataFolder;
use super::error::EngineError;
use super::fences::Fences;
use super::free_space::FreeSpace;
use super::memtable::WrittenOnce;
use super::panics;
use super::row_store::RowStore;
use super::storage::{EngineSizes, EngineStorage};

pub struct EmbeddedEngine {
    state: RwLock<EngineState>,
    /// Held by a commit and by a recovery: one at a time.
    counter: Mutex<CommitCounter>,
    fences: Fences,
    /// Whether `state` says why it failed: to be asked without waiting for the reads that go on.
    is_failed: AtomicBool,
    storage: EngineStorage,
}

struct EngineState {
    /// `None` while they are closed or could not be opened again.
    rows: Option<Box<dyn RowStore>>,
    /// Why every call is refused, after a commit with an unknown outcome.
    failed: Option<String>,
}

impl EmbeddedEngine {
    /// Opens or creates the store in a folder. Fails if another process holds the folder, if another engine created it, if the disk fails,
    /// or if the files are damaged.
    ///
    /// `is_written_once` says which keys are set in one commit, deleted in a later one, and never used again: a row that was deleted before it
    /// reached the tree need not be looked for there.
    pub fn open(folder: &Path, config: &EngineConfig, is_written_once: fn(&[u8]) -> bool) -> Result<EmbeddedEngine, EngineError> {
        EmbeddedEngine::open_with(folder, config, EngineSizes::new(config), is_written_once)
    }

    /// Opens it so that every commit is flushed to the tree.
    #[cfg(test)]
    pub(super) fn open_flushing(folder: &Path, config: &EngineConfig) -> Result<EmbeddedEngine, EngineError> {
        let thresholds = super::journaled::FlushThresholds { memtable_bytes: 1, journal_bytes: 1 };
        EmbeddedEngine::open_with(folder, config, EngineSizes { thresholds, ..EngineSizes::new(config) }, |_| false)
    }

    /// A folder must always be opened with the same segment size.
    fn open_with(
        folder: &Path,
        config: &EngineConfig,
        sizes: EngineSizes,
        is_written_once: WrittenOnce,
    ) -> Result<EmbeddedEngine, EngineError> {
        let space = Arc::new(FreeSpace::new(folder, config.reserve_mib));
        let folder = DataFolder::acquire(folder, config.engine, &config.address)?;
        let counter = CommitCounter::with_file(folder.path())?;
        if counter.lower_bound() > 0 && !folder.has_data() {
            let lost = format!("{} has no data, and {} commits were acknowledged", folder.path().display(), counter.lower_bound());
            return Err(EngineError::Damaged(lost));
        }
        let storage = EngineStorage::Disk { folder, space, config: config.clone(), sizes, is_written_once, panicked: Arc::default() };
        EmbeddedEngine::start(storage, counter)
    }

    /// Opens an engine in memory, for tests that make it fail.
    #[cfg(test)]
    pub(crate) fn in_memory(memory: &super::memory::Memory) -> Result<EmbeddedEngine, EngineError> {
        EmbeddedEngine::start(EngineStorage::Memory(memory.clone()), CommitCounter::without_file())
    }

    fn start(storage: EngineStorage, mut counter: CommitCounter) -> Result<EmbeddedEngine, EngineError> {
        let rows = storage.open(&mut counter)?;
        let state = RwLock::new(EngineState { rows: Some(rows), failed: None });
        Ok(EmbeddedEngine { state, counter: Mutex::new(counter), fences: Fences::new(), is_failed: AtomicBool::new(false), storage })
    }

    fn fail(&self, why: String) {
        self.is_failed.store(true, Ordering::SeqCst);
        self.state_mut().failed = Some(why);
    }

    /// Calls the storage. A panic is returned as an error.
    fn call<T>(&self, request: impl FnOnce(&dyn RowStore) -> Result<T, EngineError>) -> Result<T, EngineError> {
        self.try_call(request).unwrap_or_else(|panic| Err(EngineError::Damaged(panic)))
    }

    /// Calls the storage. A panic is returned as its text, apart from the storage's own errors.
    fn try_call<T>(&self, request: impl FnOnce(&dyn RowStore) -> Result<T, EngineError>) -> Result<Result<T, EngineError>, String> {
        let state = self.state();
        let rows = match state.as_open() {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        panics::catch(|| request(rows)).map_err(|panic| self.storage.panic_text(&panic))
    }

    fn state(&self) -> RwLockReadGuard<'_, EngineState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, EngineState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_counter(&self) -> MutexGuard<'_, CommitCounter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for EmbeddedEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.call(|rows| rows.get(key))
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let start = commit_counter::clamp_scan_start(start);
        self.call(|rows| rows.scan(&start, end, limit))
    }

    fn fence(&self, owner: &Owner) -> Fence {
        self.fences.of(owner)
    }

    fn commit(&self, batches: Vec<Batch>) -> Result<Vec<CommitOutcome>, EngineError> {
        let mut counter = self.lock_counter();
        counter.note();
        let outcomes: Vec<CommitOutcome> = batches.iter().map(|batch| self.fences.outcome(batch)).collect();
        let (mut rows, mut owners) = (RowBatch::new(), Vec::new());
        for (batch, outcome) in batches.into_iter().zip(&outcomes) {
            if *outcome == CommitOutcome::Applied && !batch.rows.is_empty() {
                owners.extend(batch.fences.into_iter().map(|(owner, _)| owner));
                if rows.is_empty() { rows = batch.rows } else { rows.extend(batch.rows) }
            }
        }
        if rows.is_empty() {
            return Ok(outcomes);
        }
        check_rows(&rows)?;
        self.storage.check_space(&rows)?;
        rows.push(counter.next_row());
        let written = self.try_call(|store| store.write(rows));
        match written {
            Ok(Ok(())) => {
                counter.increment();
                self.fences.raise(owners.iter());
                Ok(outcomes)
            }
            Ok(Err(error @ (EngineError::Full(_) | EngineError::Failed(_) | EngineError::Damaged(_)))) => Err(error),
            Ok(Err(error @ (EngineError::Io(_) | EngineError::Open(_)))) => {
                self.fail(error.to_string());
                Err(error)
            }
            Err(panic) => {
                let error = EngineError::Damaged(panic);
                self.fail(error.to_string());
                Err(error)
            }
        }
    }

    fn after_answers(&self) {
        self.lock_counter().note();
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        self.call(|rows| rows.bytes_on_disk())
    }

    fn is_failed(&self) -> bool {
        self.is_failed.load(Ordering::SeqCst)
    }

    /// Closes the storage after a failed commit and opens it again on what is on disk.
    fn recover(&self) -> Result<(), EngineError> {
        let mut counter = self.lock_counter();
        if !self.is_failed() {
            return Ok(());
        }
        let old = self.state_mut().rows.take();
        if let Err(panic) = panics::catch(|| drop(old)) {
            // The rows that it could not flush while closing are in the journal.
            error!(panic, "panic while closing the failed engine");
        }
        let opened = self.storage.discard_cached_pages().and_then(|()| self.storage.open(&mut counter));
        // The commit whose outcome was unknown may be there.
        self.fences.raise_all();
        let mut state = self.state_mut();
        match opened {
            Ok(rows) => {
                *state = EngineState { rows: Some(rows), failed: None };
                self.is_failed.store(false, Ordering::SeqCst);
                debug!("engine opened again after a failed commit");
                Ok(())
            }
            Err(error) => {
                state.failed = Some(error.to_string());
                Err(error)
            }
        }
    }
}

impl Drop for EmbeddedEngine {
    /// Closing an engine flushes its rows, and may panic.
    fn drop(&mut self) {
        self.lock_counter().note();
        let EngineState { rows, failed } = std::mem::replace(&mut *self.state_mut(), EngineState { rows: None, failed: None });
        let closed = panics::catch(|| drop(rows));
        if let Err(panic) = &closed {
            error!(panic, "panic while closing the store");
        }
        if closed.is_ok() && failed.is_none() {
            self.storage.shorten_next_replay();
        }
    }
}

impl EngineState {
    fn as_open(&self) -> Result<&dyn RowStore, EngineError> {
        match (&self.failed, &self.rows) {
            (None, Some(rows)) => Ok(rows.as_ref()),
            (Some(why), _) => Err(EngineError::Failed(why.clone())),
            (None, None) => Err(EngineError::Failed("it is closed".to_owned())),
        }
    }
}

/// Refuses a row over the bound before anything is applied: it is a bug of the store.
fn check_rows(rows: &RowBatch) -> Result<(), EngineError> {
    match rows.iter().filter_map(|(_, row)| row.as_ref()).find(|row| row.len() > ROW_BYTES) {
        Some(row) => Err(EngineError::Io(format!("a row of {} bytes is over the engine's {ROW_BYTES}", row.len()))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod tests;
