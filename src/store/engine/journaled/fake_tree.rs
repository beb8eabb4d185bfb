//! A tree in memory whose reads and writes can be made to wait, and its writes to fail or to panic.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
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
    held_reads: Option<Sender<HeldRead>>,
}

/// A read that waits in the tree until this is dropped.
pub(super) struct HeldRead {
    /// The name of the reading thread.
    pub reader: String,
    _release: Sender<()>,
}

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

    /// From now on the reads of named threads wait in the tree, as long as the receiver lives. The test's own thread never waits.
    pub(super) fn hold_reads(&self) -> Receiver<HeldRead> {
        let (sender, receiver) = mpsc::channel();
        self.state().held_reads = Some(sender);
        receiver
    }

    fn wait_if_held(&self) {
        let current = std::thread::current();
        let reader = current.name().filter(|name| name.starts_with("reader"));
        let Some((reads, reader)) = self.state().held_reads.clone().zip(reader) else { return };
        let (_release, released) = mpsc::channel();
        // An error, here and when it waits: the test does not hold it any more.
        let _ = reads.send(HeldRead { reader: reader.to_owned(), _release });
        let _: Result<(), _> = released.recv();
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
