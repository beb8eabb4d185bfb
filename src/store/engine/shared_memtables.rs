//! The state that commits, reads and the flusher thread share: the memtables, and how far flushing is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::error::EngineError;
use super::journal::Journal;
use super::memtables::{Memtable, Memtables};

pub(super) struct SharedMemtables {
    pub memtables: RwLock<Memtables>,
    state: Mutex<FlushState>,
    /// Notified when `state` changes.
    pub changed: Condvar,
}

pub(super) struct FlushJob {
    /// The file with its commits.
    pub journal: Journal,
    pub memtable: Arc<Memtable>,
    /// The generation that the file is recycled with.
    pub next_generation: u64,
}

#[derive(Default)]
pub(super) struct FlushState {
    /// The immutable memtable and its file, until the flusher takes them.
    pub job: Option<FlushJob>,
    /// The other file, while it is free: there is no immutable memtable then.
    pub spare: Option<Journal>,
    /// The disk has too little space, and the flusher waits for more.
    pub waiting_for_space: Option<EngineError>,
    /// The flusher failed and does nothing more. The rows that it did not flush are in the journal.
    pub failed: Option<EngineError>,
    pub stop: bool,
}

impl FlushState {
    /// Whether the flusher has work and can finish it.
    pub(super) fn is_flushing(&mut self) -> bool {
        self.spare.is_none() && self.failed.is_none() && self.waiting_for_space.is_none()
    }
}

impl SharedMemtables {
    pub(super) fn new(memtables: Memtables, state: FlushState) -> SharedMemtables {
        SharedMemtables { memtables: RwLock::new(memtables), state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn memtables(&self) -> RwLockReadGuard<'_, Memtables> {
        self.memtables.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn flush_state(&self) -> MutexGuard<'_, FlushState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the flusher is done, or cannot go on.
    pub(super) fn wait_for_flush<'a>(&'a self, state: MutexGuard<'a, FlushState>) -> MutexGuard<'a, FlushState> {
        self.changed.wait_while(state, FlushState::is_flushing).unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns the active memtable into the immutable one and starts an empty one.
    pub(super) fn rotate(&self) -> Arc<Memtable> {
        let mut memtables = self.memtables.write().unwrap_or_else(PoisonError::into_inner);
        let immutable = Arc::new(std::mem::take(&mut memtables.active));
        memtables.immutable = Some(Arc::clone(&immutable));
        immutable
    }
}
