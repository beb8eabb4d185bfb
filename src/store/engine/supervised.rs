//! The engine as the store uses it: `get`, `scan` and `commit`, which return an answer or an error whatever happens below.
//!
//! - A panic of the engine is an error ([`EngineError::Damaged`]) and never ends the calling thread.
//! - After a commit with an unknown outcome every call is refused, because the engine may show rows that were never durable.
//!   [`SupervisedEngine::recover`] opens it again, on what is on disk.
//! - Free space is checked before a commit (`free_space`), and commits are counted (`commit_counter`).
//! - Rows whose key begins with a zero byte are the engine's own; the store has none.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tracing::{debug, error};

use super::batch::{Batch, Bytes, Committed, ROW_BYTES};
use super::commit_counter::{self, CommitCounter};
use super::config::EngineConfig;
use super::contract::Engine;
use super::data_folder::DataFolder;
use super::error::EngineError;
use super::free_space::FreeSpace;
use super::panics;
use super::storage::{EngineSizes, EngineStorage};

pub struct SupervisedEngine {
    state: RwLock<EngineState>,
    /// Held by a commit and by a recovery: one at a time.
    counter: Mutex<CommitCounter>,
    storage: EngineStorage,
}

struct EngineState {
    /// `None` while it is closed or could not be opened again.
    engine: Option<Box<dyn Engine>>,
    /// Why every call is refused, after a commit with an unknown outcome.
    failed: Option<String>,
}

impl SupervisedEngine {
    /// Opens or creates the store in a folder. Fails if another process holds the folder, if another engine created it, if the disk fails,
    /// or if the files are damaged.
    pub fn open(folder: &Path, config: &EngineConfig) -> Result<SupervisedEngine, EngineError> {
        SupervisedEngine::open_with(folder, config, EngineSizes::new(config))
    }

    /// A folder must always be opened with the same segment size.
    fn open_with(folder: &Path, config: &EngineConfig, sizes: EngineSizes) -> Result<SupervisedEngine, EngineError> {
        let space = Arc::new(FreeSpace::new(folder, config.reserve_mib));
        let folder = DataFolder::acquire(folder, config.engine, &config.address)?;
        let counter = CommitCounter::with_file(folder.path())?;
        if counter.lower_bound() > 0 && !folder.has_data() {
            let lost = format!("{} has no data, and {} commits were acknowledged", folder.path().display(), counter.lower_bound());
            return Err(EngineError::Damaged(lost));
        }
        SupervisedEngine::start(EngineStorage::Disk { folder, space, config: config.clone(), sizes, panicked: Arc::default() }, counter)
    }

    /// Opens an engine in memory, for tests that make it fail.
    #[cfg(test)]
    pub(crate) fn in_memory(memory: &super::memory::Memory) -> Result<SupervisedEngine, EngineError> {
        SupervisedEngine::start(EngineStorage::Memory(memory.clone()), CommitCounter::without_file())
    }

    fn start(storage: EngineStorage, mut counter: CommitCounter) -> Result<SupervisedEngine, EngineError> {
        let engine = storage.open(&mut counter)?;
        let state = RwLock::new(EngineState { engine: Some(engine), failed: None });
        Ok(SupervisedEngine { state, counter: Mutex::new(counter), storage })
    }

    /// The value of a row.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.call(|engine| engine.get(key))
    }

    /// Up to `limit` rows from `start` on, below `end`, in order, from one state of the store.
    pub fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let start = commit_counter::clamp_scan_start(start);
        self.call(|engine| engine.scan(&start, end, limit))
    }

    /// Applies batches in order and makes them durable together. After [`EngineError::Io`] their outcome is unknown, and every call is
    /// refused until [`SupervisedEngine::recover`] succeeds.
    pub fn commit(&self, mut batches: Vec<Batch>) -> Result<Vec<Committed>, EngineError> {
        let mut counter = self.lock_counter();
        check_rows(&batches)?;
        self.storage.check_space(&batches)?;
        batches.push(counter.next_batch());
        let outcome = self.try_call(|engine| engine.commit(batches));
        match outcome {
            Ok(Ok(mut outcomes)) => {
                outcomes.pop();
                counter.increment();
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

    /// Bytes that the store takes on disk.
    pub fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        self.call(|engine| engine.bytes_on_disk())
    }

    /// Whether a commit failed and the store has not been recovered since: every call returns [`EngineError::Failed`].
    pub fn is_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// Closes the engine after a failed commit, once running reads are done, and opens it again on what is on disk. A
    /// commit with an unknown outcome is then either fully there or not at all. An error says why the engine does not open; the caller may
    /// try again.
    pub fn recover(&self) -> Result<(), EngineError> {
        let mut counter = self.lock_counter();
        if !self.is_failed() {
            return Ok(());
        }
        let old = self.state_mut().engine.take();
        if let Err(panic) = panics::catch(|| drop(old)) {
            // The rows that it could not flush while closing are in the journal.
            error!(panic, "panic while closing the failed engine");
        }
        let opened = self.storage.discard_cached_pages().and_then(|()| self.storage.open(&mut counter));
        let mut state = self.state_mut();
        match opened {
            Ok(engine) => {
                *state = EngineState { engine: Some(engine), failed: None };
                debug!("engine opened again after a failed commit");
                Ok(())
            }
            Err(error) => {
                state.failed = Some(error.to_string());
                Err(error)
            }
        }
    }

    fn fail(&self, why: String) {
        self.state_mut().failed = Some(why);
    }

    /// Calls the engine. A panic is returned as an error.
    fn call<T>(&self, request: impl FnOnce(&dyn Engine) -> Result<T, EngineError>) -> Result<T, EngineError> {
        self.try_call(request).unwrap_or_else(|panic| Err(EngineError::Damaged(panic)))
    }

    /// Calls the engine. A panic is returned as its text, apart from the engine's own errors.
    fn try_call<T>(&self, request: impl FnOnce(&dyn Engine) -> Result<T, EngineError>) -> Result<Result<T, EngineError>, String> {
        let state = self.state();
        let engine = match state.as_open() {
            Ok(engine) => engine,
            Err(error) => return Ok(Err(error)),
        };
        panics::catch(|| request(engine)).map_err(|panic| self.storage.panic_text(&panic))
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

impl Drop for SupervisedEngine {
    /// Closing an engine flushes its rows, and may panic.
    fn drop(&mut self) {
        let EngineState { engine, failed } = std::mem::replace(&mut *self.state_mut(), EngineState { engine: None, failed: None });
        let closed = panics::catch(|| drop(engine));
        if let Err(panic) = &closed {
            error!(panic, "panic while closing the store");
        }
        if closed.is_ok() && failed.is_none() {
            self.storage.shorten_next_replay();
        }
    }
}

impl EngineState {
    fn as_open(&self) -> Result<&dyn Engine, EngineError> {
        match (&self.failed, &self.engine) {
            (None, Some(engine)) => Ok(engine.as_ref()),
            (Some(why), _) => Err(EngineError::Failed(why.clone())),
            (None, None) => Err(EngineError::Failed("it is closed".to_owned())),
        }
    }
}

/// Refuses a row over the bound before anything is applied: it is a bug of the store.
fn check_rows(batches: &[Batch]) -> Result<(), EngineError> {
    let rows = batches.iter().flat_map(|batch| &batch.rows);
    match rows.filter_map(|(_, row)| row.as_ref()).find(|row| row.len() > ROW_BYTES) {
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
