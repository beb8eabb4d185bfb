//! A tree in memory whose reads and writes can be made to wait, and its writes to fail or to panic.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::store::engine::batch::Bytes;
use crate::store::engine::error::EngineError;
use crate::store::engine::tree::{RowChange, Tree};

/// Rows that a scan reads before it waits again: the scans of a real tree are no snapshots either.
const ROWS_BETWEEN_WAITS: usize = 8;

#[derive(Clone, Default)]
pub(super) struct FakeTree(Arc<Mutex<FakeTreeState>>, Arc<Condvar>);

#[derive(Default)]
pub(super) struct FakeTreeState {
    pub rows: BTreeMap<Bytes, Bytes>,
    is_held: bool,
    /// The flusher has written half of its rows, and waits.
    pub is_waiting: bool,
    pub error: Option<EngineError>,
    pub panics: bool,
    /// The order in which keys were written.
    pub written: Vec<Bytes>,
    reads: Option<Sender<ReadEvent>>,
}

/// What became of a read by a thread of a test.
pub(super) enum ReadEvent {
    /// It waits in the tree until the sender is dropped.
    Held(Sender<()>),
    /// It has returned these rows.
    Ended(Vec<(Bytes, Bytes)>),
}

/// The name of the threads whose reads wait: the test's own thread never does.
pub(super) const READER: &str = "reader";

impl FakeTree {
    pub(super) fn state(&self) -> MutexGuard<'_, FakeTreeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether writes wait when half of their rows are written.
    pub(super) fn hold(&self, is_held: bool) {
        self.state().is_held = is_held;
        self.1.notify_all();
    }

    /// Returns when the flusher has written half of its rows, and waits.
    pub(super) fn wait_until_half_flushed(&self) {
        drop(self.1.wait_while(self.state(), |state| !state.is_waiting).expect("not poisoned"));
    }

    /// From now on each read by a thread with the name `READER` waits in the tree, and says so.
    pub(super) fn hold_reads(&self, reads: Sender<ReadEvent>) {
        self.state().reads = Some(reads);
    }

    fn wait_if_held(&self) {
        if std::thread::current().name() != Some(READER) {
            return;
        }
        let Some(reads) = self.state().reads.clone() else { return };
        let (release, released) = mpsc::channel();
        // The sender is dropped, here too if the test has ended.
        let _ = reads.send(ReadEvent::Held(release));
        let _ = released.recv();
    }
}

impl Tree for FakeTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.wait_if_held();
        Ok(self.state().rows.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
        let (mut found, mut start) = (Vec::new(), start.to_vec());
        loop {
            self.wait_if_held();
            let wanted = ROWS_BETWEEN_WAITS.min(limit - found.len());
            let before = found.len();
            found.extend(self.state().rows.range(start..end.to_vec()).take(wanted).map(|(key, row)| (key.clone(), row.clone())));
            match found.last() {
                Some((last, _)) if found.len() - before == wanted && found.len() < limit => start = [last.as_slice(), &[0]].concat(),
                _ => return Ok(found),
            }
        }
    }

    fn write(&self, rows: &[RowChange<'_>]) -> Result<(), EngineError> {
        for (n, (key, row)) in rows.iter().enumerate() {
            let mut state = self.state();
            if n == rows.len() / 2 {
                state.is_waiting = state.is_held;
                self.1.notify_all();
                state = self.1.wait_while(state, |state| state.is_held).expect("not poisoned");
                state.is_waiting = false;
            }
            if let Some(error) = &state.error {
                return Err(error.clone());
            }
            if state.panics {
                drop(state);
                panic!("a page is damaged");
            }
            state.written.push(key.to_vec());
            match row {
                Some(row) => drop(state.rows.insert(key.to_vec(), row.to_vec())),
                None => drop(state.rows.remove(*key)),
            }
        }
        Ok(())
    }

    fn bytes_on_disk(&self) -> Result<u64, EngineError> {
        Ok(0)
    }
}
