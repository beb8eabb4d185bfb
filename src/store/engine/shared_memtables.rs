//! The state that commits, reads and the flusher thread share: the memtables, and how far flushing is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::batch::Bytes;
use super::error::EngineError;
use super::journal::Journal;
use super::memtable::{RowValue, WrittenOnce};
use super::memtables::{FrozenMemtable, Memtables};

pub(super) struct SharedMemtables {
    pub memtables: Memtables,
    /// Bytes of the active memtable. Only commits change them, one at a time.
    active_bytes: AtomicUsize,
    /// Why the flusher does nothing more. The rows that it did not flush are in the journal. Set while `state` is locked.
    pub failed: OnceLock<EngineError>,
    state: Mutex<FlushState>,
    /// Notified when `state` changes.
    pub changed: Condvar,
}

pub(super) struct FlushJob {
    /// The file with its commits.
    pub journal: Journal,
    pub frozen: FrozenMemtable,
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
    pub stop: bool,
}

impl SharedMemtables {
    pub(super) fn new(memtables: Memtables, active_bytes: usize, state: FlushState) -> SharedMemtables {
        SharedMemtables {
            memtables,
            active_bytes: AtomicUsize::new(active_bytes),
            failed: OnceLock::new(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(super) fn active_bytes(&self) -> usize {
        self.active_bytes.load(Ordering::Relaxed)
    }

    /// Makes the rows of a commit visible.
    pub(super) fn apply(&self, rows: &[(Bytes, RowValue)], is_written_once: WrittenOnce) {
        self.active_bytes.store(self.memtables.apply(rows, is_written_once), Ordering::Relaxed);
    }

    /// Turns the active memtable into the immutable one and starts an empty one.
    pub(super) fn rotate(&self) -> FrozenMemtable {
        self.active_bytes.store(0, Ordering::Relaxed);
        self.memtables.rotate()
    }

    pub(super) fn flush_state(&self) -> MutexGuard<'_, FlushState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the flusher has work and can finish it.
    pub(super) fn is_flushing(&self, state: &FlushState) -> bool {
        state.spare.is_none() && self.failed.get().is_none() && state.waiting_for_space.is_none()
    }

    /// Waits until the flusher is done, or cannot go on.
    pub(super) fn wait_for_flush<'a>(&'a self, state: MutexGuard<'a, FlushState>) -> MutexGuard<'a, FlushState> {
        self.changed.wait_while(state, |state| self.is_flushing(state)).unwrap_or_else(PoisonError::into_inner)
    }
}
