//! The open scans of one pair of memtables.
//!
//! A scan reads the memtables as they were when it began, and the tree later. So the rows that commits add to the active memtable meanwhile
//! must not get into the tree before the scan ends: the flusher waits for the scans that began before it was frozen. Nothing else waits for
//! them, and they wait for nothing.

use super::memtable::Memtable;
use super::primitives::{Arc, Condvar, Mutex, OnceLock, PoisonError};

/// Each scan of the pair holds it until it ends; so does the pair, until its active memtable is frozen.
pub(super) struct OpenScans {
    frozen: OnceLock<Arc<Memtable>>,
    ended: Arc<ScansEnded>,
}

/// Whether all scans of a pair have ended, and no other one can begin.
#[derive(Default)]
pub(super) struct ScansEnded(Mutex<bool>, Condvar);

impl OpenScans {
    pub(super) fn new() -> OpenScans {
        OpenScans { frozen: OnceLock::new(), ended: Arc::default() }
    }

    /// Lets open scans find the rest of the memtable that was active when they began. Returns their end.
    pub(super) fn freeze(&self, memtable: &Arc<Memtable>) -> Arc<ScansEnded> {
        // It is frozen once, so this never fails.
        let _ = self.frozen.set(Arc::clone(memtable));
        Arc::clone(&self.ended)
    }

    /// The memtable that was active, once it is frozen.
    pub(super) fn frozen(&self) -> Option<&Arc<Memtable>> {
        self.frozen.get()
    }
}

impl Drop for OpenScans {
    fn drop(&mut self) {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.1.notify_all();
    }
}

impl ScansEnded {
    /// Waits for the scans. An engine that is being closed has none: each of them borrows it.
    pub(super) fn wait(&self) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            ended = self.1.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
