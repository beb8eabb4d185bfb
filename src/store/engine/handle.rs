//! What the store holds of its engine: three calls that answer whatever happens below them.
//!
//! - A panic of the engine is an error ([`EngineError::Damaged`]), never the end of the thread that asked.
//! - After a commit whose outcome is unknown nobody reads from the engine any more: it may show rows that were never durable.
//!   [`Handle::recover`] opens it again, on what is on disk.
//! - Free space is checked before a commit (`space`), and commits are counted (`commits`).
//! - Rows whose key begins with a zero byte are the engine's own; the store has none.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tracing::{error, info, warn};

use super::commits::{self, Commits};
use super::contract::Engine;
use super::folder::Folder;
use super::journaled::{Bounds, Journaled, Setting};
use super::redb_engine::Redb;
use super::sled_engine::{SEGMENT_BYTES, Sled};
use super::space::Space;
use super::tree::Tree;
use super::{Batch, Bytes, Committed, EngineConfig, EngineError, Kind, ROW_BYTES, guarded, sled_log};

type Opened = Result<Box<dyn Engine>, EngineError>;

/// The store's way to its engine.
pub struct Handle {
    state: RwLock<State>,
    /// Whoever commits or recovers holds this: one at a time.
    commits: Mutex<Commits>,
    storage: Storage,
}

/// The engine, until a commit fails.
struct State {
    engine: Option<Box<dyn Engine>>,
    failed: Option<String>,
}

/// What an engine is opened on.
enum Storage {
    Disk {
        folder: Folder,
        space: Arc<Space>,
        config: EngineConfig,
        sizes: Sizes,
        /// Whether the tree has panicked while rows were moved into it.
        panicked: Arc<AtomicBool>,
    },
    #[cfg(test)]
    Memory(super::memory::Memory),
}

/// Segments that are replayed in some tenths of a second.
const LONG_LOG: usize = 4;

/// How the files of an engine are laid out.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Bytes of a segment of sled's.
    segment_bytes: usize,
    /// Segments of its log that the next opening may have to replay.
    long_log: usize,
    journal: Bounds,
}

impl Handle {
    /// Opens or makes the store in a folder. Fails if another process holds it, if it is another engine's, if the disk does, or if its files
    /// are damaged.
    pub fn open(folder: &Path, config: &EngineConfig) -> Result<Handle, EngineError> {
        let sizes = Sizes { segment_bytes: SEGMENT_BYTES, long_log: LONG_LOG, journal: Bounds::of(config.journal_mib) };
        Handle::open_with(folder, config, sizes)
    }

    /// The same with other sizes; a folder keeps that of its segments.
    fn open_with(folder: &Path, config: &EngineConfig, sizes: Sizes) -> Result<Handle, EngineError> {
        let space = Arc::new(Space::new(folder, config.reserve_mib));
        let folder = Folder::take(folder, config.engine, &config.address)?;
        let commits = Commits::noted(folder.path())?;
        if commits.noted_count() > 0 && !folder.has_data() {
            let lost = format!("{} has no data, and {} commits were acknowledged", folder.path().display(), commits.noted_count());
            return Err(EngineError::Damaged(lost));
        }
        Handle::start(Storage::Disk { folder, space, config: config.clone(), sizes, panicked: Arc::default() }, commits)
    }

    /// Over an engine in memory, for tests that make it fail.
    #[cfg(test)]
    pub(crate) fn over(memory: &super::memory::Memory) -> Result<Handle, EngineError> {
        Handle::start(Storage::Memory(memory.clone()), Commits::unnoted())
    }

    fn start(storage: Storage, mut commits: Commits) -> Result<Handle, EngineError> {
        let engine = storage.open(&mut commits)?;
        let state = RwLock::new(State { engine: Some(engine), failed: None });
        Ok(Handle { state, commits: Mutex::new(commits), storage })
    }

    /// The value of a row.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.ask(|engine| engine.get(key))
    }

    /// Up to `limit` rows from `start` on, below `end`, in order, all of one moment.
    pub fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let start = commits::start(start);
        self.ask(|engine| engine.scan(&start, end, limit))
    }

    /// Applies batches in order and makes them durable together. After [`EngineError::Io`] their outcome is unknown and the store is failed.
    pub fn commit(&self, mut batches: Vec<Batch>) -> Result<Vec<Committed>, EngineError> {
        let mut commits = self.commits();
        check_rows(&batches)?;
        self.storage.check_space(&batches)?;
        batches.push(commits.next());
        let outcome = self.try_ask(|engine| engine.commit(batches));
        match outcome {
            Ok(Ok(mut done)) => {
                done.pop();
                commits.durable();
                Ok(done)
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
        self.ask(|engine| engine.bytes_on_disk())
    }

    /// Whether a commit failed and the store was not recovered since: every call is answered with [`EngineError::Failed`].
    pub fn is_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// Closes the engine of a failed store, waiting for whoever reads, and opens it again on what is on disk. Of a commit whose outcome was
    /// unknown all is found, or nothing. An error says why it does not open yet; the store stays failed and can be asked to recover again.
    pub fn recover(&self) -> Result<(), EngineError> {
        let mut commits = self.commits();
        if !self.is_failed() {
            return Ok(());
        }
        let old = self.state_mut().engine.take();
        if let Err(panic) = guarded::run(|| drop(old)) {
            // It failed already: what it could not move while closing is in the journal.
            error!(panic, "closing the failed engine");
        }
        let opened = self.storage.settle().and_then(|()| self.storage.open(&mut commits));
        let mut state = self.state_mut();
        match opened {
            Ok(engine) => {
                *state = State { engine: Some(engine), failed: None };
                info!("the store is open again");
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

    /// Asks the engine something; a panic is an error.
    fn ask<T>(&self, call: impl FnOnce(&dyn Engine) -> Result<T, EngineError>) -> Result<T, EngineError> {
        self.try_ask(call).unwrap_or_else(|panic| Err(EngineError::Damaged(panic)))
    }

    /// The same; a panic is returned apart, as a text.
    fn try_ask<T>(&self, call: impl FnOnce(&dyn Engine) -> Result<T, EngineError>) -> Result<Result<T, EngineError>, String> {
        let state = self.state();
        let engine = match state.as_open() {
            Ok(engine) => engine,
            Err(error) => return Ok(Err(error)),
        };
        guarded::run(|| call(engine)).map_err(|panic| self.storage.broken(&panic))
    }

    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn commits(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    /// An engine writes what it still has when it is closed, and may panic over it.
    fn drop(&mut self) {
        let State { engine, failed } = std::mem::replace(&mut *self.state_mut(), State { engine: None, failed: None });
        let closed = guarded::run(|| drop(engine));
        if let Err(panic) = &closed {
            error!(panic, "closing the store");
        }
        if closed.is_ok() && failed.is_none() {
            self.storage.ease_next_opening();
        }
    }
}

impl State {
    fn as_open(&self) -> Result<&dyn Engine, EngineError> {
        match (&self.failed, &self.engine) {
            (None, Some(engine)) => Ok(engine.as_ref()),
            (Some(why), _) => Err(EngineError::Failed(why.clone())),
            (None, None) => Err(EngineError::Failed("it is closed".to_owned())),
        }
    }
}

impl Storage {
    /// Opens the engine, and refuses it if it has lost commits.
    fn open(&self, commits: &mut Commits) -> Opened {
        guarded::run(|| self.open_engine(commits)).unwrap_or_else(|panic| Err(EngineError::Damaged(self.broken(&panic))))
    }

    fn open_engine(&self, commits: &mut Commits) -> Opened {
        match self {
            Storage::Disk { folder, space, config, sizes, panicked } => {
                let is_known = commits.noted_count() > 0;
                if config.engine == Kind::Sled && is_known {
                    sled_log::check(folder.path(), sizes.segment_bytes)?;
                }
                let tree: Box<dyn Tree> = match config.engine {
                    Kind::Sled => Box::new(Sled::open(folder.path(), config.cache_mib, sizes.segment_bytes)?),
                    Kind::Redb => Box::new(Redb::open(folder.path(), config.cache_mib)?),
                };
                let space = Arc::clone(space);
                let room = Box::new(move || space.check_for_tree());
                let setting = Setting { bounds: sizes.journal, room, refuses_gaps: is_known, panicked: Arc::clone(panicked) };
                let engine = Journaled::open(folder.path(), tree, setting, |row| commits.begin(row))?;
                folder.sync()?;
                Ok(Box::new(engine))
            }
            #[cfg(test)]
            Storage::Memory(memory) => {
                let engine = memory.open()?;
                commits.begin(engine.get(commits::KEY)?.as_deref())?;
                Ok(engine)
            }
        }
    }

    /// sled replays its log, and writes a table of what it found, only when it opens. A store that is closed with a long log is opened for a moment:
    /// whoever starts next does not wait for it. If that fails nothing is lost, and the next opening says why.
    fn ease_next_opening(&self) {
        match self {
            Storage::Disk { folder, config, sizes, .. } if config.engine == Kind::Sled => {
                let segments = sled_log::segments_to_replay(folder.path(), sizes.segment_bytes).unwrap_or(0);
                if segments > sizes.long_log {
                    info!(mib = (segments * sizes.segment_bytes) >> 20, "the store's log is put into its table, for a fast start");
                    let open = || {
                        // Damage that sled would pass over must not get into the table.
                        sled_log::check(folder.path(), sizes.segment_bytes)?;
                        Sled::open(folder.path(), config.cache_mib, sizes.segment_bytes).map(drop)
                    };
                    if let Err(error) = guarded::run(open).unwrap_or_else(|panic| Err(EngineError::Damaged(self.broken(&panic)))) {
                        warn!(%error, "the next start has to do it");
                    }
                }
            }
            Storage::Disk { .. } => {}
            #[cfg(test)]
            Storage::Memory(_) => {}
        }
    }

    fn check_space(&self, batches: &[Batch]) -> Result<(), EngineError> {
        match self {
            Storage::Disk { space, .. } => space.check(batches),
            #[cfg(test)]
            Storage::Memory(_) => Ok(()),
        }
    }

    fn settle(&self) -> Result<(), EngineError> {
        match self {
            Storage::Disk { folder, .. } => folder.settle(),
            #[cfg(test)]
            Storage::Memory(_) => Ok(()),
        }
    }

    /// What a panic of the engine means.
    fn broken(&self, panic: &str) -> String {
        match self {
            Storage::Disk { folder, .. } => format!("{} is beyond what the engine can mend ({panic})", folder.path().display()),
            #[cfg(test)]
            Storage::Memory(_) => panic.to_owned(),
        }
    }
}

/// A row over the bound is a mistake of the store's: it is refused before anything is applied.
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
mod full;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod tests;
